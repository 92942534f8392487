"""The flags that say who may come in, and how."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .arguments import positive_int, size
from .limits import LEAST_MESSAGE_BYTES, MAX_MESSAGE_BYTES, MOST_MESSAGE_BYTES


def add_trust_flags(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    group = parser.add_argument_group("who may come in")
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        default=_path("SKYTORCH_TOKEN_FILE"),
        help="clients must send a token of this file: lines principal:token, or one bare token; not readable by every "
        "user of the machine, and read again when it changes (SKYTORCH_TOKEN_FILE)",
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
    group.add_argument(
        "--max-sessions-per-principal",
        type=positive_int,
        metavar="N",
        default=os.environ.get("SKYTORCH_MAX_SESSIONS_PER_PRINCIPAL"),
        help="sessions of one principal at a time, where the token file says nothing else "
        "(SKYTORCH_MAX_SESSIONS_PER_PRINCIPAL, default no limit but --max-sessions)",
    )
    group.add_argument(
        "--max-memory-per-principal",
        type=size,
        metavar="SIZE",
        default=os.environ.get("SKYTORCH_MAX_MEMORY_PER_PRINCIPAL"),
        help="of the tensors in all sessions of one principal; with that much it gets no further session, where the "
        "token file says nothing else (SKYTORCH_MAX_MEMORY_PER_PRINCIPAL, default no limit)",
    )
    group.add_argument(
        "--max-message-bytes",
        type=_message_bytes,
        metavar="SIZE",
        default=os.environ.get("SKYTORCH_MAX_MESSAGE_BYTES", str(MAX_MESSAGE_BYTES)),
        help="the largest gRPC message that is accepted; what is larger travels in several "
        "(SKYTORCH_MAX_MESSAGE_BYTES, default 300MiB)",
    )


def check_trust(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends the process where flags don't go together."""
    for flag in ("tls_key", "tls_client_ca"):
        if getattr(options, flag) and not options.tls_cert:
            parser.error(f"--{flag.replace('_', '-')} goes with --tls-cert, which is missing")
    if options.chunk_size > options.max_message_bytes // 2:
        parser.error("--max-message-bytes is at least twice --chunk-size: a chunk travels in one message")


def _message_bytes(text: str) -> int:
    number = size(text)
    if not LEAST_MESSAGE_BYTES <= number <= MOST_MESSAGE_BYTES:
        raise argparse.ArgumentTypeError(
            f"a message may have from {LEAST_MESSAGE_BYTES} to {MOST_MESSAGE_BYTES} bytes, not {text}"
        )
    return number


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None
