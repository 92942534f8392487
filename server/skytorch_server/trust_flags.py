"""The flags that say who may come in, and how."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_trust_flags(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    group = parser.add_argument_group("who may come in")
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="clients must send a token of this file: lines principal:token, or one bare token; not readable by every "
        "user of the machine, and read again when it changes",
    )
    group.add_argument(
        "--tls-cert",
        type=Path,
        metavar="FILE",
        default=_path("SKYTORCH_TLS_CERT"),
        help="PEM: the server's certificate and those that lead to its authority; connections to the port are then "
        "encrypted. Read again when it changes, as the next two are (SKYTORCH_TLS_CERT)",
    )
    group.add_argument(
        "--tls-key",
        type=Path,
        metavar="FILE",
        default=_path("SKYTORCH_TLS_KEY"),
        help="PEM: its private key, where the certificate's file doesn't hold it (SKYTORCH_TLS_KEY)",
    )
    group.add_argument(
        "--tls-client-ca",
        type=Path,
        metavar="FILE",
        default=_path("SKYTORCH_TLS_CLIENT_CA"),
        help="PEM: clients must have a certificate of one of these authorities, beside their token "
        "(SKYTORCH_TLS_CLIENT_CA)",
    )
    group.add_argument(
        "--insecure",
        action="store_true",
        help="let other machines in although nothing protects the connection, or nobody is asked for a token",
    )


def check_trust(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends the process where flags don't go together."""
    for flag in ("tls_key", "tls_client_ca"):
        if getattr(options, flag) and not options.tls_cert:
            parser.error(f"--{flag.replace('_', '-')} goes with --tls-cert, which is missing")


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None
