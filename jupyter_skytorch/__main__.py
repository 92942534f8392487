"""``jupyter skytorch``: what is done from a shell."""

from __future__ import annotations

import argparse
import asyncio
import sys

from skytorch_wire import __version__, native

from .compute.survey import SurveyError, close, find, keep, survey
from .display.sessions import sessions_table

PACKAGES = ("jupyter_skytorch.device", "skytorch_server.session")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="jupyter skytorch", description="SkyTorch from the command line.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="compile the sky device and the executor for this Python and torch")
    sessions = commands.add_parser("sessions", help="list your sessions at all servers that are known here")
    what = sessions.add_mutually_exclusive_group()
    what.add_argument("--close", metavar="ID", help="end a session, and free what it holds")
    what.add_argument("--keep", metavar="ID", help="renew a session's lease")
    options = parser.parse_args()
    try:
        if options.command == "build":
            _build()
        else:
            asyncio.run(_sessions(options))
    except (native.BuildError, SurveyError) as error:
        sys.exit(str(error))


def _build() -> None:
    """Compiles the native parts ahead, so that no notebook has to wait for it."""
    folder = native.cache_folder()
    for package in PACKAGES:
        print(native.compile_into(package, folder))  # noqa: T201


async def _sessions(options: argparse.Namespace) -> None:
    found = await survey()
    if options.close:
        known = find(found, options.close)
        await close(known)
        print(f"closed session {known.session_id} on {known.name}")  # noqa: T201
        return
    if options.keep:
        found = [await keep(find(found, options.keep))]
    print(sessions_table(found))  # noqa: T201


if __name__ == "__main__":
    main()
