"""Show the last profiled cell again, or save it: where its time went, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from jupyter_skytorch.compute.trace import chrome_trace
from jupyter_skytorch.display.profile import profile_page
from jupyter_skytorch.display.text import tell

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.compute.profile import Profile
    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("--trace", metavar="FILE", explain="write a Chrome trace, for chrome://tracing and ui.perfetto.dev")
    parser.argument("--html", metavar="FILE", explain="write what is shown as a page of its own")


def run(options: argparse.Namespace, magics: SkyMagics) -> Profile | None:
    """Return the profile, which shows itself, unless it is written to files."""
    profile = magics.profile
    if profile is None:
        raise UsageError("%sky profile: no cell was profiled yet; begin one with %%sky --profile")
    written = []
    if options.trace:
        written.append(_write(options.trace, json.dumps(chrome_trace(profile))))
    if options.html:
        written.append(_write(options.html, profile_page(profile)))
    if not written:
        return profile
    tell(f"wrote {' and '.join(written)}")
    return None


def _write(file: str, text: str) -> str:
    path = Path(file).expanduser()
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"%sky profile: can't write {path}: {error.strerror}") from None
    return str(path)
