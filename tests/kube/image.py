"""Images of this repository's own, made of files of this machine: nothing is fetched, and no builder is needed.

They hold what the Dockerfiles in ``server/deploy`` install, and no more: this tree's packages, with their native core,
the packages of their requirements with theirs, this Python, and the shared libraries that they need. There is no shell,
no home folder and no list of users.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from skytorch_wire import native

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
#: Where the packages are in the image.
PACKAGES = "/opt/skytorch"
PYTHON = f"{sys.base_prefix}/bin/{Path(sys.executable).resolve().name}"
# What torch brings for those who compile against it, and tests of packages.
_LEFT_OUT = re.compile(r"/(include|test|tests|testing/_internal/(distributed|data)|share/cmake)/|\.(a|h|hpp|pyi|cuh)$")
_LOADER = "/lib64/ld-linux-x86-64.so.2"


@dataclass(frozen=True)
class Image:
    """What is in an image; it starts this tree's package `module`."""

    name: str
    module: str
    requirements: str
    native: str = ""
    """The module whose native core is compiled ahead."""


SERVER = Image(
    "localhost/skytorch/server:test", "skytorch_server", "server/requirements.txt", "skytorch_server.session"
)
OPERATOR = Image("localhost/skytorch/operator:test", "skytorch_operator", "server/deploy/operator-requirements.txt")


def write_image(path: Path, image: Image) -> None:
    """Writes a docker-archive of the image to `path`."""
    layer = path.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        _Layer(tar).fill(image)
    digest = _digest(layer)
    settings = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Env": [f"PATH={sys.base_prefix}/bin", f"PYTHONPATH={PACKAGES}", "TORCH_DEVICE_BACKEND_AUTOLOAD=0"],
            "Entrypoint": [PYTHON, "-m", image.module],
            "User": "1000:1000",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    config = json.dumps(settings).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{digest}/layer.tar"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [image.name], "Layers": [layer_name]}]).encode()
    with tarfile.open(path, "w") as tar:
        tar.add(layer, layer_name)
        for file, content in ((config_name, config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(file)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    layer.unlink()


class _Layer:
    """The image's one layer."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._folders: set[str] = set()
        self._libraries: set[Path] = set()

    def fill(self, image: Image) -> None:
        for source, place in (*_python(), *_requirements(image), *_ours(image)):
            self._add(source, place)
        for library in _shared({*self._libraries, Path(sys.executable).resolve()}):
            self._add(library.resolve(), str(library))
        for folder in ("/tmp", "/var/run/skytorch"):  # noqa: S108 - mount points
            self._folder(folder)

    def _add(self, source: Path, place: str) -> None:
        place = place.lstrip("/")
        if place in self._folders:
            return
        self._folders.add(place)
        self._folder(str(Path(place).parent))
        entry = self._tar.gettarinfo(source, place)
        # A file that several packages share is one of each; a link to another file of the machine is that file.
        entry.type, entry.linkname = tarfile.REGTYPE, ""
        entry.size = source.stat().st_size
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if source.stat().st_mode & 0o100 else 0o644
        with source.open("rb") as content:
            self._tar.addfile(entry, content)
        if ".so" in source.suffixes:
            self._libraries.add(source)

    def _folder(self, place: str) -> None:
        place = place.strip("/")
        if place in self._folders or place in {"", "."}:
            return
        self._folders.add(place)
        self._folder(str(Path(place).parent))
        entry = tarfile.TarInfo(place)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        self._tar.addfile(entry)


def _python() -> Iterator[tuple[Path, str]]:
    yield Path(sys.executable).resolve(), PYTHON
    library = Path(sysconfig.get_path("stdlib"))
    for path in library.rglob("*"):
        inside = path.relative_to(library).parts
        unwanted = inside[0] in {"site-packages", "dist-packages", "idlelib", "lib2to3"} or _LEFT_OUT.search(f"/{path}")
        if path.is_file() and not unwanted:
            yield path, str(path)


def _requirements(image: Image) -> Iterator[tuple[Path, str]]:
    """The packages that it names, and those that they name."""
    lines = (ROOT / image.requirements).read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    seen: set[str] = set()
    while wanted:
        requirement = wanted.pop()
        if requirement.name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(requirement.name)
        package = metadata.distribution(requirement.name)
        wanted += map(Requirement, package.requires or [])
        for file in package.files or []:
            source = Path(str(package.locate_file(file)))
            if ".." not in file.parts and source.is_file() and not _LEFT_OUT.search(f"/{file}"):
                yield source, f"{PACKAGES}/{file}"


def _ours(image: Image) -> Iterator[tuple[Path, str]]:
    for package in (ROOT / "server" / image.module, ROOT / "proto/skytorch_wire"):
        for path in package.rglob("*"):
            inside = path.relative_to(package.parent)
            if path.is_file() and not {"__pycache__", "prebuilt"} & {*inside.parts}:
                yield path, f"{PACKAGES}/{inside}"
    if image.native:
        core = native.compile_into(image.native, native.cache_folder())
        yield core, f"{PACKAGES}/{image.native.replace('.', '/')}/prebuilt/{core.name}"


def _shared(files: Iterable[Path]) -> set[Path]:
    """What the dynamic linker finds for them outside of their own packages."""
    ldd = ["/usr/bin/ldd", *map(str, files)]
    said = subprocess.run(ldd, capture_output=True, text=True, check=False, timeout=120).stdout
    found = {Path(match) for match in re.findall(r"=> (/\S+)", said)}
    inside = Path(sysconfig.get_path("purelib"))
    return {Path(_LOADER), *(path for path in found if inside not in path.resolve().parents)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
