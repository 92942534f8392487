"""Finds, or compiles, the C++ part of a package.

A package with a ``csrc`` folder has one native module, ``_native``, made of all ``csrc/*.cpp``. It is tied to one
torch version, one Python and one platform, so it is looked for in this order: ``prebuilt`` in the package (a wheel
carries what it was built beside), the user's cache, and else it is compiled into the cache, once.

``python -m skytorch_wire.native compile PACKAGE ...`` fills the cache, ``prebuild`` writes into the packages.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_FLAGS = ["-std=c++20", "-O2", "-g0", "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-attributes"]
_COMPILE_SECONDS = 600
_HEADERS = Path(__file__).parent / "include"


class BuildError(RuntimeError):
    """The native part is missing and can't be compiled; the message says what to install."""


def load(package: str) -> ModuleType:
    """The native module of `package`, from its ``prebuilt`` folder, the cache, or the compiler.

    Raises:
        BuildError: there is no library for this torch and Python, and none can be made.
    """
    name = f"{package}._native"
    if name in sys.modules:
        return sys.modules[name]
    folder = _folder(package)
    file = _file_name(package, folder)
    path = folder / "prebuilt" / file
    if not path.exists():
        path = compile_into(package, cache_folder())
    # The library finds torch's own by their being loaded, so that it holds no path of the machine that built it.
    importlib.import_module("torch")
    loader = importlib.machinery.ExtensionFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None:
        msg = f"{path} is not an extension module"
        raise BuildError(msg)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[name] = module
    return module


def cache_folder() -> Path:
    """Where compiled libraries are kept: ``$XDG_CACHE_HOME/skytorch/native``, private to this user."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "skytorch" / "native"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A library that somebody else can replace is somebody else's code in this process.
    status = folder.stat()
    if status.st_uid != os.getuid():
        msg = f"{folder} belongs to another user: set XDG_CACHE_HOME to a folder of your own"
        raise BuildError(msg)
    if status.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def compile_into(package: str, target: Path) -> Path:
    """Compiles the native module of `package` into the folder `target` unless it is there; its path.

    Takes about 40 s and 1 GB of memory. Several processes may ask at once: one compiles, the others wait.
    """
    folder = _folder(package)
    library = target / _file_name(package, folder)
    if library.exists():
        return library
    with _lock(target / f"{package}.lock"):
        if not library.exists():
            _compile(package, folder, library)
    return library


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        msg = f"{package} is not an installed package"
        raise BuildError(msg)
    return Path(spec.submodule_search_locations[0])


def _torch_folder() -> Path:
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        msg = "PyTorch isn't installed: pip install torch"
        raise BuildError(msg)
    return Path(spec.submodule_search_locations[0])


def _sources(folder: Path) -> list[Path]:
    return sorted((folder / "csrc").glob("*.cpp"))


def _file_name(package: str, folder: Path) -> str:
    """Names everything that the binary depends on."""
    digest = hashlib.sha256(" ".join(_FLAGS).encode())
    for path in [*_sources(folder), *sorted((folder / "csrc").glob("*.h")), *sorted(_HEADERS.rglob("*.h"))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    torch = importlib.metadata.version("torch")
    abi = sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag
    return f"{package}-torch{torch}-{abi}-{platform.machine()}-{digest.hexdigest()[:16]}.so"


def _compile(package: str, folder: Path, library: Path) -> None:
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("g++", "clang++", "c++")), None)
    if compiler is None:
        msg = "no C++ compiler found to build the sky device: install g++ (Debian, Ubuntu: apt install g++)"
        raise BuildError(msg)
    include = sysconfig.get_paths()["include"]
    if not (Path(include) / "Python.h").exists():
        msg = f"Python.h isn't in {include}: install Python's headers (Debian, Ubuntu: apt install python3-dev)"
        raise BuildError(msg)
    torch = _torch_folder()
    what = f"{package} for torch {importlib.metadata.version('torch')}"
    print(f"Compiling {what}: once, about 40 s ...", file=sys.stderr, flush=True)  # noqa: T201
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        # One translation unit: parsing torch's headers is most of the time, and this way it is done once.
        unit = Path(scratch) / "unit.cpp"
        unit.write_text("".join(f'#include "{path}"\n' for path in _sources(folder)))
        output = Path(scratch) / "native.so"
        command = [compiler, *_FLAGS, str(unit), "-o", str(output), f"-I{_HEADERS}", f"-I{folder / 'csrc'}"]
        command += [f"-isystem{torch / 'include'}", f"-isystem{torch / 'include/torch/csrc/api/include'}"]
        command += [f"-I{include}", f"-L{torch / 'lib'}", "-lc10", "-ltorch_cpu", "-ltorch_python"]
        if sys.platform == "darwin":
            command += ["-undefined", "dynamic_lookup"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            msg = f"compiling {what} took over {_COMPILE_SECONDS} s"
            raise BuildError(msg) from error
        if done.returncode:
            msg = f"compiling {what} failed:\n{done.stderr[-4000:]}"
            raise BuildError(msg)
        output.replace(library)
    print(f"Compiled {what} in {time.monotonic() - started:.0f} s.", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Holds `path` exclusively; waits at most as long as a compilation may take."""
    deadline = time.monotonic() + _COMPILE_SECONDS
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    msg = f"another process has held {path} for {_COMPILE_SECONDS} s"
                    raise BuildError(msg) from None
                time.sleep(0.1)
        yield


def main() -> None:
    """The command line: ``compile`` into the cache or ``prebuild`` into the packages."""
    parser = argparse.ArgumentParser(prog="python -m skytorch_wire.native", description=main.__doc__)
    parser.add_argument("action", choices=["compile", "prebuild"])
    parser.add_argument("packages", nargs="+", help="packages with a csrc folder")
    arguments = parser.parse_args()
    for package in arguments.packages:
        if arguments.action == "compile":
            target = cache_folder()
        else:
            target = _folder(package) / "prebuilt"
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
        try:
            print(compile_into(package, target))  # noqa: T201
        except BuildError as error:
            parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
