"""``jupyter skytorch build``: compiles the native parts ahead, so that no notebook has to wait for it."""

from __future__ import annotations

import argparse
import sys

from skytorch_wire import __version__, native

PACKAGES = ("jupyter_skytorch.device", "skytorch_server.session")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="jupyter skytorch", description="SkyTorch from the command line.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="compile the sky device and the executor for this Python and torch")
    parser.parse_args()
    try:
        folder = native.cache_folder()
        for package in PACKAGES:
            print(native.compile_into(package, folder))  # noqa: T201
    except native.BuildError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
