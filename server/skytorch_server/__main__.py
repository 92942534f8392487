"""The command line: ``python -m skytorch_server``, also installed as ``skytorch-server``."""

from __future__ import annotations

import os

# A server has no sky device of its own, so nothing that imports torch from here on may load the client's backend.
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from skytorch_wire import __version__

from .allowance import Allowance, add_flags
from .arguments import port, positive_int, seconds, whole_number
from .checkpoints.flags import add_checkpoint_flags
from .limits import CHUNK_BYTES, CHUNK_BYTES_RANGE
from .logs import set_up_logging
from .trust_flags import add_trust_flags, check_trust
from .watch_flags import add_watch_flags

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: list[str] | None = None) -> int:
    """Runs a server until it is told to stop. Returns the process's exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    check_trust(parser, options)
    set_up_logging(options.log_level, options.log_format)
    # Until the server runs and ends in its own order, the ordinary exit cleans up what there is.
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))
    # Torch takes longest to load, and does it beside everything that this process loads.
    from .front.forkserver import warm_up

    warm_up()
    from .front.listening import ListenError
    from .front.secret_file import SecretFileError

    try:
        asyncio.run(_serve(options))
    except (ListenError, SecretFileError, OSError) as error:
        sys.stderr.write(f"skytorch-server: {error}\n")
        return 1
    return 0


async def _serve(options: argparse.Namespace) -> None:
    from .front.checkpoints import CheckpointLimits
    from .front.server import Server, serve
    from .front.tls import Tls
    from .quota import Quota

    server = Server(
        token_file=options.token_file,
        tls=Tls(options.tls_cert, options.tls_key, options.tls_client_ca) if options.tls_cert else None,
        insecure=options.insecure,
        max_sessions=options.max_sessions,
        metrics_sources=options.metrics_sources,
        allowance=Allowance.from_options(options),
        exit_when_idle=options.exit_when_idle,
        unix_socket=options.unix_socket,
        direct=options.direct,
        functions=options.functions,
        checkpoint_folder=options.checkpoint_dir,
        checkpoint_limits=CheckpointLimits(options.max_checkpoints, options.max_checkpoint_bytes),
        max_message_bytes=options.max_message_bytes,
        quota=Quota(options.max_sessions_per_principal, options.max_memory_per_principal),
        audit_log=options.audit_log,
        metrics_port=options.metrics_port,
        metrics_host=options.metrics_host,
        log_format=options.log_format,
    )
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, server.stop)
    await serve(server, host=options.host, port=options.port, chunk_size=options.chunk_size)


def _parser() -> argparse.ArgumentParser:
    environment = os.environ.get
    parser = argparse.ArgumentParser(
        prog="skytorch-server",
        description="Runs the ops of remote notebooks with PyTorch: one process a session, reached over gRPC.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--port",
        type=port,
        default=environment("SKYTORCH_PORT", "50051"),
        help="TCP port, 0 for any free one (SKYTORCH_PORT, default 50051)",
    )
    parser.add_argument(
        "--host",
        default=environment("SKYTORCH_HOST", "[::]"),
        help="address to listen on (SKYTORCH_HOST, default [::]); loopback only, whatever it says, without a "
        "--token-file and without --insecure",
    )
    parser.add_argument(
        "--unix-socket", type=Path, metavar="PATH", help="listen on this Unix socket only, in a folder of mode 0700"
    )
    parser.add_argument(
        "--no-direct",
        dest="direct",
        action="store_false",
        help="tell clients of no socket but this server's own, so that even those on this machine come through it: for "
        "proxies and tunnels on this machine",
    )
    parser.add_argument(
        "--no-functions",
        dest="functions",
        action="store_false",
        default=not environment("SKYTORCH_NO_FUNCTIONS"),
        help="run ops only, and no functions that clients send (SKYTORCH_NO_FUNCTIONS, where it isn't empty)",
    )
    parser.add_argument(
        "--chunk-size",
        type=_chunk_size,
        default=environment("SKYTORCH_CHUNK_SIZE", str(CHUNK_BYTES)),
        metavar="BYTES",
        help=f"preferred payload of one frame of bulk data (SKYTORCH_CHUNK_SIZE, default {CHUNK_BYTES})",
    )
    add_trust_flags(parser)
    add_watch_flags(parser)
    parser.add_argument(
        "--max-sessions", type=positive_int, default=64, metavar="N", help="sessions at a time (default 64)"
    )
    parser.add_argument(
        "--exit-when-idle", type=seconds, metavar="SECONDS", help="stop after this long without a session"
    )
    add_flags(parser)
    add_checkpoint_flags(parser)
    return parser


def _chunk_size(text: str) -> int:
    number = whole_number(text)
    if not CHUNK_BYTES_RANGE[0] <= number <= CHUNK_BYTES_RANGE[1]:
        raise argparse.ArgumentTypeError(
            f"a chunk has from {CHUNK_BYTES_RANGE[0]} to {CHUNK_BYTES_RANGE[1]} bytes, not {text}"
        )
    return number


if __name__ == "__main__":
    sys.exit(main())
