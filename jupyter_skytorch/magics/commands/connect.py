"""Connect to a torch server, and make it the current Compute.

Without an argument: the embedded server on this machine, started when it does not run. With the name of a Compute
that was lost: a new session on its server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.compute import connect
from jupyter_skytorch.display.quantities import count
from jupyter_skytorch.display.text import tell
from jupyter_skytorch.magics.names import targets

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.compute import Compute
    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "target",
        nargs="?",
        metavar="NAME|URL",
        completer=targets,
        explain="grpcs://host:port (within TLS), grpc://host:port, unix:/path, 'local' for the embedded server, or the "
        "name of a Compute",
    )
    parser.argument("--name", metavar="NAME", explain="what to call the Compute; otherwise its address tells")
    parser.argument("--token-file", metavar="FILE", explain="the file that holds the server's token")
    parser.argument(
        "--ca", metavar="FILE", explain="the authority of the server's certificate, where this machine doesn't know it"
    )
    parser.argument("--cert", metavar="FILE", explain="your own certificate, for servers that ask for one")
    parser.argument("--key", metavar="FILE", explain="its private key, where the certificate's file doesn't hold it")
    parser.argument(
        "--insecure", action="store_true", explain="allow a connection to another machine that is not encrypted"
    )
    parser.argument(
        "--idle-timeout", type=float, metavar="SECONDS", explain="how long the session lives on without this kernel"
    )
    parser.argument("--max-age", type=float, metavar="SECONDS", explain="how long it lives in all")
    parser.argument("--memory", metavar="SIZE", explain="what its tensors may take on each device, as 8GiB")


def run(options: argparse.Namespace, magics: SkyMagics) -> Compute:
    """Connect."""
    target = options.target or magics.target
    terms = {name: getattr(options, name) or default for name, default in magics.terms.items()}
    given = {name: value for name in magics.FILES if (value := getattr(options, name))}
    files = magics.files(target) | given
    compute = connect(
        target,
        name=options.name,
        insecure=options.insecure,
        reconnect_timeout=magics.reconnect_timeout,
        **files,
        **terms,
    )
    if compute.restorable:
        tell(f"{count(compute.restorable, 'checkpoint')} on {compute.name} can be restored: %sky restore")
    return compute
