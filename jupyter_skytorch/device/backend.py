"""Registers ``sky`` with PyTorch: the C++ core, the module ``torch.sky``, and the ops that are sent whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch

from skytorch_wire import native

from . import (
    addresses,
    autograd,
    compile,  # noqa: A004  (as torch's)
    errors,
    module,
    printing,
    saving,
    settings,
    sparse,
    together,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

__all__ = ["Sink", "core", "marks", "new_sink"]


class Sink(Protocol):
    """The near end of a session's ordered log: the device writes records into it, the session drains it."""

    def attached(self, executed: int, received: int, chunk_bytes: int) -> int:
        """A new stream sends what the server lacks; the stream's number. Older ones are given nothing any more.

        `executed`: every record up to there is executed. `received`: the first record of the last frame that arrived.
        Bulk data travels in chunks of so many bytes. Raises RuntimeError for numbers that can't be.
        """

    def detached(self, stream: int) -> None:
        """Give a stream no more frames: whoever takes or sends them stops."""

    def replies_received(self) -> int:
        """The number of the last message with replies that arrived."""

    def take(self, seconds: float, stream: int) -> bytes | None:
        """The next serialized StreamRequest of a stream.

        None when there is none in time, the session is over, or a newer stream is attached.
        """

    def feed(self, message: bytes) -> None:
        """Take in a serialized StreamResponse. Raises RuntimeError when it is not one."""

    def send_to(self, socket: int, stream: int) -> None:
        """Write a stream's StreamRequests to a Unix socket until it ends, or a newer stream is attached."""

    def receive_from(self, socket: int) -> bytes:
        """Take in StreamResponses from a Unix socket until it ends; a serialized Ended, or nothing.

        Raises RuntimeError when it sends something else.
        """

    def append(self, record: bytes, urgent: bool = False) -> None:
        """Add one record that Python wrote; dropped when the session is over. Never waits. `urgent`: send it now."""

    def limit_ahead(self, records: int) -> None:
        """Run at most so many records ahead of the server; called before `start`."""

    def may_share(self) -> None:
        """The server is on this machine: large data can pass through memory that it shares with this process."""

    def stopped(self) -> bool:
        """Whether the session is over."""

    def stop(self, kind: str, message: str) -> None:
        """End the session ("closed" or "lost"): whoever waits, and every later op, raises that."""

    def drain(self, seconds: float) -> bool:
        """Wait until all that was issued is executed; whether it was, in time."""

    def raise_pending(self) -> None:
        """Raise the oldest remote error that was not raised yet."""

    def counters(self) -> Mapping[str, int]:
        """Cumulative: ops, bytes_up, bytes_down, sync_points, {wait,remote}_nanoseconds, issued, executed."""

    def ask(self, record: bytes) -> bytes:
        """Add one record that Python wrote, and wait for what is replied to it."""

    def save(self, name: str, pickle: bytes, addresses: Sequence[int]) -> bytes:
        """Keep the storages of tensors (their _cdata) by a name; what the server replies."""

    def take_lines(
        self,
    ) -> tuple[list[tuple[int, int, int, int, int, int]], list[tuple[int, int, int, int, int, int, str, int]]]:
        """What each line, (cell, line), has cost since the last call: what was issued, and what was waited for.

        Issued: ops, bytes, uploads, their bytes. Waited: sync points, nanoseconds, bytes answered, how many of the
        sync points asked for shapes, the last op that did, and nanoseconds until the server had caught up.
        """

    def open_device(self, type: str, index: int) -> int:  # noqa: A002  (torch's word)
        """Name a device of the server; the index of the sky device that stands for it."""


#: Ops that PyTorch would take apart, or answer with an error, before the device could see them.
_WHOLE = (
    "convolution",
    "_convolution",
    "convolution_backward",
    "native_layer_norm_backward",
    "abs",
    "conj_physical_",
    "mode",
    "mode.values",
)


def _whole_ops() -> list[str]:
    names = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::")]
    families = ("aten::_foreach_", "aten::_fused_adam", "aten::_fused_sgd", "aten::_amp_", "aten::fbgemm_")
    of_families = [name for name in names if name.startswith(families) and not name.endswith(("out", "_out"))]
    return [*_WHOLE, *(name[6:] for name in [*of_families, *filter(_rounds_otherwise, names)])]


def _rounds_otherwise(name: str) -> bool:
    """Whether an op has a kernel on the CPU, where PyTorch would compose it of others for sky, and round in between."""
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return has(name, "CPU") and (has(name, "CompositeExplicitAutograd") or has(name, "CompositeImplicitAutograd"))


def _register() -> ModuleType:
    # Before anything is changed: a core that can't be had leaves torch as it was.
    core = native.load("jupyter_skytorch.device")
    torch.utils.rename_privateuse1_backend("sky")  # type: ignore[attr-defined]
    core.register_whole(_whole_ops())
    core.set_exception_factory(errors.make)
    torch._register_device_module(  # type: ignore[no-untyped-call]
        "sky", module.build(core)
    )
    torch.utils.generate_methods_for_privateuse1_backend(for_storage=True)  # type: ignore[attr-defined]
    autograd.run_on_callers_thread()
    settings.watch()
    printing.print_from_the_cpu()
    addresses.keep_off()
    saving.save_without_index()
    saving.open_safetensors()
    together.read_together(core)
    compile.register(core)
    return core


core: Any = _register()
_sparse_kernels = sparse.register(core)

#: The line of the user's program, its lower byte and the rest: stored before each statement of a cell and read by the
#: core, so that errors and costs can be named by it.
marks: list[int] = core.marks()


def new_sink(name: str) -> Sink:
    """The sink of a new session that the user knows by `name`."""
    sink: Sink = core.Sink(name)
    return sink
