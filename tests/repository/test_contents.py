"""What lies in the repository is meant for everybody: no machine, registry or person in it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from skytorch_wire import __version__

ROOT = Path(__file__).parents[2]
#: Where this checkout lies and whose it is, which is what somebody's absolute path would say.
HERE = [re.escape(str(path)) for path in (ROOT, Path.home()) if path.name]
MACHINE = re.compile(rf"(?<![\w.])(?:{'|'.join(HERE)})/")
#: Split so that this file doesn't hold what it looks for.
REGISTRY = re.compile(r"regist" r"ry\.(?:npmjs|yarnpkg)|npmRegist" r"ryServer|pypi\.org/sim" r"ple|--index-" r"url")
BINARY = {".png", ".ico", ".gif"}
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def committed() -> list[Path]:
    """Every file that is, or would be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    return [path for path in (ROOT / line for line in listed.splitlines()) if path.is_file()]


def texts() -> dict[str, str]:
    """The text of every committed file, by its path."""
    files = [path for path in committed() if path.suffix not in BINARY]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


@pytest.mark.parametrize("pattern", [MACHINE, REGISTRY], ids=["machine", "registry"])
def test_no_file_names_a_machine_or_a_registry(pattern: re.Pattern[str]) -> None:
    found = {name: match.group() for name, text in texts().items() if (match := pattern.search(text))}
    assert found == {}


def test_the_version_is_stated_once() -> None:
    package = json.loads((ROOT / "labextension/package.json").read_text(encoding="utf-8"))
    assert package["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_notebooks_are_committed_without_outputs_and_name_their_kernel() -> None:
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        assert notebook.metadata.kernelspec.name == "python3"
        for cell in notebook.cells:
            assert not cell.get("outputs"), path.name
            assert cell.get("execution_count") is None, path.name


def test_links_between_documents_lead_somewhere() -> None:
    links = [
        (path, target)
        for path in committed()
        if path.suffix == ".md"
        for target in LINK.findall(path.read_text(encoding="utf-8"))
        if "://" not in target
    ]
    dead = [f"{path.relative_to(ROOT)}: {target}" for path, target in links if not (path.parent / target).exists()]
    assert dead == []
