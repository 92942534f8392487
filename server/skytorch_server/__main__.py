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
from skytorch_wire.sizes import size_text

from .admission_flags import add_admission_flags, check_admission
from .allowance import Allowance, add_allowance_flags
from .arguments import FlagGroup, port, positive_int, seconds, size
from .checkpoints.flags import add_checkpoint_flags
from .copy_targets import CopyTargets, copy_patterns
from .limits import CHUNK_BYTES, CHUNK_BYTES_RANGE, DRAIN_SECONDS
from .logs import set_up_logging
from .watch_flags import add_watch_flags

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: list[str] | None = None) -> int:
    """Runs a server until it is told to stop. Returns the process's exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    check_admission(parser, options)
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
        direct=not options.no_direct,
        functions=not options.no_functions,
        checkpoint_folder=options.checkpoint_dir,
        checkpoint_limits=CheckpointLimits(options.max_checkpoints, options.max_checkpoint_bytes),
        max_message_bytes=options.max_message_bytes,
        quota=Quota(options.max_sessions_per_principal, options.max_memory_per_principal),
        audit_log=options.audit_log,
        metrics_port=options.metrics_port,
        metrics_host=options.metrics_host,
        log_format=options.log_format,
        drain_seconds=options.drain_seconds,
        copy_targets=CopyTargets(options.copy_to or (), insecure=options.insecure),
    )
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, server.stop)
    await serve(server, host=options.host, port=options.port, chunk_size=options.chunk_size)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skytorch-server",
        description="Runs the ops of remote notebooks with PyTorch: one process a session, reached over gRPC. A flag "
        "may come from the environment variable beside it instead.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_serving_flags(parser)
    add_admission_flags(parser)
    add_watch_flags(parser)
    add_allowance_flags(parser)
    add_checkpoint_flags(parser)
    return parser


def _add_serving_flags(parser: argparse.ArgumentParser) -> None:
    group = FlagGroup(parser, "what is served, and where")
    group.value("--port", port, "PORT", "TCP port, 0 for any free one", default="50051")
    group.value(
        "--host",
        str,
        "HOST",
        "address to listen on; loopback only, whatever it says, unless other machines are safe to let in: see who may "
        "come in",
        default="[::]",
    )
    group.value("--unix-socket", Path, "PATH", "listen on this Unix socket only, in a folder of mode 0700")
    group.switch(
        "--no-direct",
        "tell clients of no socket but this server's own, so that even those on this machine come through it: for "
        "proxies and tunnels on this machine",
    )
    group.switch("--no-functions", "run ops only, and no functions that clients send")
    group.value(
        "--chunk-size",
        _chunk_size,
        "SIZE",
        "preferred payload of one frame of bulk data",
        default=size_text(CHUNK_BYTES),
    )
    group.value(
        "--copy-to",
        copy_patterns,
        "HOSTS",
        "servers that sessions may send tensors to: comma separated HOST or HOST:PORT, where * and ? stand for "
        "anything, as *.team.svc.cluster.local",
        otherwise="none but those of the same user on this machine",
    )
    group.value("--max-sessions", positive_int, "N", "sessions at a time", default="64")
    group.value(
        "--drain-seconds",
        seconds,
        "TIME",
        "what sessions have to finish what was issued, and to write checkpoints, when the server is told to stop; it "
        "ends within 8 s more",
        default=f"{DRAIN_SECONDS:g}",
    )
    group.value("--exit-when-idle", seconds, "TIME", "stop after this long without a session", otherwise="never")


def _chunk_size(text: str) -> int:
    number = size(text)
    if not CHUNK_BYTES_RANGE[0] <= number <= CHUNK_BYTES_RANGE[1]:
        raise argparse.ArgumentTypeError(
            f"a chunk has from {CHUNK_BYTES_RANGE[0]} to {CHUNK_BYTES_RANGE[1]} bytes, not {text}"
        )
    return number


if __name__ == "__main__":
    sys.exit(main())
