"""Imports go one way, so that a reader finds out from the folder what a file may know of."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "skytorch_wire": ROOT / "proto/skytorch_wire",
    "skytorch_server": ROOT / "server/skytorch_server",
    "skytorch_operator": ROOT / "server/skytorch_operator",
    "jupyter_skytorch": ROOT / "jupyter_skytorch",
}

#: Which of our packages each package may import beside itself.
MAY_IMPORT = {
    "skytorch_wire": set(),
    "skytorch_server": {"skytorch_wire"},
    "skytorch_operator": {"skytorch_wire"},
    "jupyter_skytorch": {"skytorch_wire"},
}

#: What the images install: a server's has nothing of Jupyter and Kubernetes, an operator's no torch.
THIRD_PARTY = {
    "skytorch_wire": {"cloudpickle", "google", "grpc", "torch", "zstandard"},
    "skytorch_server": {
        "cloudpickle",
        "google",
        "grpc",
        "grpc_health",
        "grpc_reflection",
        "prometheus_client",
        "psutil",
        "pynvml",
        "safetensors",
        "torch",
    },
    "skytorch_operator": {"aiohttp", "cryptography", "google", "grpc", "kopf", "kubernetes_asyncio", "yaml"},
}

#: Inside jupyter_skytorch, each folder with the folders that it may import.
LAYERS = {
    "device": set(),
    "session": {"device"},
    "compute": {"session", "device"},
    "display": {"compute", "session", "device"},
    "magics": {"display", "compute", "session", "device"},
    "web": {"compute", "session", "device"},
}

#: Loaded in processes where torch would cost a second and 150 MiB: the Jupyter server and the server's front.
WITHOUT_TORCH = [
    "skytorch_wire",
    "skytorch_wire.compression",
    "skytorch_wire.native",
    "skytorch_wire.sessions_pb2_grpc",
    "skytorch_server",
    "skytorch_server.__main__",
    "skytorch_server.front",
    "skytorch_server.metrics",
    "skytorch_operator.__main__",
    "jupyter_skytorch",
    "jupyter_skytorch.compute",
    "jupyter_skytorch.compute.channel",
    "jupyter_skytorch.compute.kubernetes.locating",
    "jupyter_skytorch.compute.records",
    "jupyter_skytorch.web",
]


def modules(package: str) -> Iterator[tuple[str, Path]]:
    """Every module of `package` that people write, with its file."""
    folder = PACKAGES[package]
    for path in sorted(folder.rglob("*.py")):
        if "_pb2" not in path.name and "labextension" not in path.relative_to(folder).parts:
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


def imported(module: str, path: Path) -> set[str]:
    """The absolute names of all modules that a file imports, wherever in the file the import stands."""
    parts = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # `from . import name`: the name may be a module.
            names.update(f"{source}.{alias.name}" for alias in node.names)
    return names


ALL_MODULES = [(package, *entry) for package in PACKAGES for entry in modules(package)]


@pytest.mark.parametrize(("package", "module", "path"), ALL_MODULES, ids=[module for _, module, _ in ALL_MODULES])
def test_a_package_imports_only_those_below_it(package: str, module: str, path: Path) -> None:
    allowed = MAY_IMPORT[package] | {package}
    ours = {name.split(".")[0] for name in imported(module, path)} & set(PACKAGES)
    assert ours <= allowed


@pytest.mark.parametrize(
    ("package", "module", "path"),
    [entry for entry in ALL_MODULES if entry[0] in THIRD_PARTY],
    ids=[module for package, module, _ in ALL_MODULES if package in THIRD_PARTY],
)
def test_what_an_image_holds_needs_only_what_it_installs(package: str, module: str, path: Path) -> None:
    names = {name.split(".")[0] for name in imported(module, path)}
    foreign = names - set(PACKAGES) - set(sys.stdlib_module_names)
    assert foreign <= THIRD_PARTY[package]


LAYER = re.compile(r"jupyter_skytorch\.(" + "|".join(LAYERS) + r")\b")
IN_LAYERS = [(module, path) for _, module, path in ALL_MODULES if LAYER.match(module)]


@pytest.mark.parametrize(("module", "path"), IN_LAYERS, ids=[module for module, _ in IN_LAYERS])
def test_a_layer_imports_only_those_below_it(module: str, path: Path) -> None:
    layer = module.split(".")[1]
    reached = {name.split(".")[1] for name in imported(module, path) if name.startswith("jupyter_skytorch.")}
    assert reached & set(LAYERS) <= LAYERS[layer] | {layer}


def test_every_folder_of_the_client_is_a_layer() -> None:
    folders = {path.name for path in PACKAGES["jupyter_skytorch"].iterdir() if list(path.glob("*.py"))}
    assert folders <= set(LAYERS)


def test_what_runs_beside_jupyter_and_in_the_front_loads_no_torch() -> None:
    folders = ("skytorch_server.front", "skytorch_server.metrics", "jupyter_skytorch.web")
    names = [*WITHOUT_TORCH, *(module for _, module, _ in ALL_MODULES if module.startswith(folders))]
    script = (
        "import importlib, sys\n"
        f"for name in {sorted(set(names))!r}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
