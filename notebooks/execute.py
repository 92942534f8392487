"""Executes an example notebook in a kernel of its own, and keeps what it shows.

``python -m notebooks.execute quickstart --output build/demo``
"""

from __future__ import annotations

import argparse
import base64
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

if TYPE_CHECKING:
    from nbformat import NotebookNode

FOLDER = Path(__file__).parent

#: The slowest cell trains for some 20 s; a cold first connection compiles the native core before that.
CELL_SECONDS = 600


def execute(name: str) -> NotebookNode:
    """The notebook `name` with its outputs, executed from its first cell to its last beside its data.

    Raises:
        FileNotFoundError: there is no such notebook.
        nbclient.exceptions.CellExecutionError: a cell raised.
    """
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    resources = {"metadata": {"path": str(FOLDER)}}
    # A kernel's own warnings are about ports that only this process uses.
    quiet = ["--log-level=ERROR"]
    NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources=resources, extra_arguments=quiet
    ).execute()
    return notebook


def outputs(notebook: NotebookNode, cell_id: str, mime_type: str = "text/plain") -> list[str]:
    """What the cell `cell_id` shows in `mime_type`, in order; what it prints counts as text/plain."""
    cell = next(cell for cell in notebook.cells if cell.id == cell_id)
    shown = []
    for output in cell.outputs:
        if output.output_type == "stream":
            shown += [output.text] if mime_type == "text/plain" else []
        elif mime_type in output.get("data", {}):
            shown.append(output.data[mime_type])
    return shown


def save(notebook: NotebookNode, name: str, folder: Path) -> list[Path]:
    """Writes the executed notebook and each of its pictures into `folder`; their paths, the notebook's first."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.ipynb"]
    nbformat.write(notebook, paths[0])
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for picture in outputs(notebook, cell.id, "image/png"):
            paths.append(folder / f"{name}-{cell.id}.png")
            paths[-1].write_bytes(base64.b64decode(picture))
    return paths


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.execute", description="Execute an example notebook.")
    parser.add_argument("name", choices=sorted(path.stem for path in FOLDER.glob("*.ipynb")))
    parser.add_argument("--output", type=Path, required=True, help="folder for the executed notebook and its pictures")
    arguments = parser.parse_args()
    print(f"Executing notebooks/{arguments.name}.ipynb: a minute or two ...", flush=True)
    try:
        notebook = execute(arguments.name)
    except CellExecutionError as error:
        parser.exit(1, f"{error}\n")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for shown in outputs(notebook, cell.id):
                print(shown.strip("\n"))
    notebook_path, *pictures = save(notebook, arguments.name, arguments.output)
    print(f"executed notebook: {notebook_path}")
    for picture in pictures:
        print(f"picture:           {picture}")


if __name__ == "__main__":
    main()
