"""An installed wheel brings everything: four packages, the native sources, the sidebar and the server extension."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from skytorch_wire import __version__

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, folder: Path) -> str:
    """What `command`, run in `folder`, prints, both streams without colours; fails the test when it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return re.sub("\x1b\\[\\d*m", "", done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this tree. The sidebar's bundle must have been built, as `make test` does first."""
    assert (ROOT / "jupyter_skytorch/labextension/static/style.js").exists(), "build the sidebar first: make test"
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, folder=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_packages_and_their_native_sources(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for package in ("jupyter_skytorch", "skytorch_operator", "skytorch_server", "skytorch_wire"):
        assert f"{package}/__init__.py" in names
        assert f"{package}/py.typed" in names
    assert any(name.startswith("jupyter_skytorch/device/csrc/") and name.endswith(".cpp") for name in names)
    assert any(name.startswith("skytorch_server/session/csrc/") and name.endswith(".cpp") for name in names)
    assert any(name.startswith("skytorch_wire/include/") and name.endswith(".h") for name in names)
    assert not any(name.startswith("jupyter_skytorch/labextension/") for name in names)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment with the wheel in it, which borrows the rest from this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, folder=folder)
    scheme = {"base": str(folder), "platbase": str(folder)}
    # Files like this one count only in folders of the environment itself, so an editable installation stays out.
    borrowed = Path(sysconfig.get_path("purelib", vars=scheme)) / "borrowed.pth"
    borrowed.write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder / "bin"


def test_jupyter_finds_both_extensions_of_an_installed_wheel(installed: Path) -> None:
    extensions = run(installed / "python", "-m", "jupyter_server.extension.serverextension", "list", folder=installed)
    assert "jupyter_skytorch enabled" in extensions
    assert re.search(r"jupyter_skytorch \S+ OK", extensions)
    bundles = run(installed / "python", "-m", "jupyterlab.labextensions", "list", folder=installed)
    assert re.search(r"jupyter-skytorch v\S+ enabled OK", bundles)


def test_the_commands_of_an_installed_wheel_start(installed: Path) -> None:
    assert __version__ in run(installed / "skytorch-server", "--version", folder=installed)
    assert "build" in run(installed / "jupyter-skytorch", "--help", folder=installed)
