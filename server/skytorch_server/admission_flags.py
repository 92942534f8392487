"""The flags that say who may come in, and how."""

from __future__ import annotations

import argparse
from pathlib import Path

from skytorch_wire.sizes import size_text

from .arguments import FlagGroup, positive_int, size
from .limits import LEAST_MESSAGE_BYTES, MAX_MESSAGE_BYTES, MOST_MESSAGE_BYTES


def add_admission_flags(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    group = FlagGroup(parser, "who may come in")
    group.value(
        "--token-file",
        Path,
        "FILE",
        "clients must send a token of this file: lines principal:token, or one bare token; not readable by every user "
        "of the machine, and read again when it changes",
    )
    group.value(
        "--tls-cert",
        Path,
        "FILE",
        "PEM: the server's certificate and those that lead to its authority; connections to the port are then "
        "encrypted. Read again when it changes, as the next two are",
    )
    group.value("--tls-key", Path, "FILE", "PEM: its private key, where the certificate's file doesn't hold it")
    group.value(
        "--tls-client-ca",
        Path,
        "FILE",
        "PEM: clients must have a certificate of one of these authorities, beside their token",
    )
    group.switch(
        "--insecure", "let other machines in although nothing protects the connection, or nobody is asked for a token"
    )
    group.value(
        "--max-sessions-per-principal",
        positive_int,
        "N",
        "sessions of one principal at a time, where the token file says nothing else",
        otherwise="no limit but --max-sessions",
    )
    group.value(
        "--max-memory-per-principal",
        size,
        "SIZE",
        "of the tensors in all sessions of one principal; with that much it gets no further session, where the token "
        "file says nothing else",
        otherwise="no limit",
    )
    group.value(
        "--max-message-bytes",
        _message_bytes,
        "SIZE",
        "the largest gRPC message that is accepted; what is larger travels in several",
        default=size_text(MAX_MESSAGE_BYTES),
    )


def check_admission(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
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
