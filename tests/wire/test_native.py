"""Finding, compiling and keeping native code."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from skytorch_wire import native

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
#include <Python.h>
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", "", -1, nullptr, nullptr, nullptr, nullptr, nullptr};
PyMODINIT_FUNC PyInit__native() {
  PyObject* module = PyModule_Create(&definition);
  PyModule_AddIntConstant(module, "answer", ANSWER);
  return module;
}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with native code that includes no torch, and so compiles in a second; and an empty cache."""
    folder = tmp_path / "some_package" / "csrc"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "module.cpp").write_text("#define ANSWER 41\n" + SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return "some_package"


def run(package: str) -> subprocess.CompletedProcess[str]:
    """In a fresh process, since a module is loaded once in each."""
    return subprocess.run(
        [sys.executable, "-c", f"from skytorch_wire import native\nprint(native.load({package!r}).answer)"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def test_compiles_once_says_so_and_then_takes_it_from_the_cache(package: str) -> None:
    first, second = run(package), run(package)
    assert (first.stdout.strip(), second.stdout.strip()) == ("41", "41")
    assert "Compiling some_package" in first.stderr
    assert second.stderr == ""
    assert native.cache_folder().stat().st_mode & 0o777 == 0o700


def test_changed_sources_are_compiled_anew(package: str, tmp_path: Path) -> None:
    run(package)
    (tmp_path / "some_package/csrc/module.cpp").write_text("#define ANSWER 42\n" + SOURCE)
    assert run(package).stdout.strip() == "42"


def test_a_prebuilt_library_needs_no_compiler(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "some_package" / "prebuilt"
    target.mkdir()
    native.compile_into(package, target)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert run(package).stdout.strip() == "41"


def test_without_a_compiler_one_line_says_what_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(native.BuildError, match=r"no C\+\+ compiler found .* install g\+\+"):
        native.compile_into(package, native.cache_folder())


def test_a_cache_that_others_can_write_is_made_private(package: str) -> None:
    folder = native.cache_folder()
    folder.chmod(0o777)
    assert native.cache_folder().stat().st_mode & 0o777 == 0o700
