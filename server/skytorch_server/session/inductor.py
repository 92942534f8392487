"""Graphs by torch's own compiler, for sessions that ask for it.

Compiling takes seconds and a C++ compiler (or, on CUDA, Triton). It is done on a thread of its own, while the executor
runs the graph as it is; when it can't be done, it goes on so.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import torch

from skytorch_wire import native

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Job"]

_log = logging.getLogger(__name__)
_one_at_a_time = threading.Lock()


class Job:
    """One graph being compiled. `function` is None until it is, and for ever if it can't be."""

    def __init__(
        self,
        trace: Callable[[list[torch.Tensor]], list[torch.Tensor]],
        inputs: Sequence[torch.Tensor],
        devices: Sequence[str],
    ) -> None:
        """Begins. `trace` runs the graph's ops on tensors; `inputs`, of no memory, say what it will be given."""
        self.function: Callable[..., Sequence[torch.Tensor]] | None = None
        threading.Thread(target=self._compile, args=(trace, inputs, devices), name="inductor", daemon=True).start()

    def _compile(self, trace: Any, inputs: Sequence[torch.Tensor], devices: Sequence[str]) -> None:
        with _one_at_a_time:
            try:
                self.function = _compiled(trace, inputs, devices)
                _log.info("a graph is compiled")
            except Exception as error:  # noqa: BLE001 - whatever a compiler raises, the loop runs the graph
                _log.warning("a graph can't be compiled here, and runs op by op: %s", str(error).partition("\n")[0])


def _compiled(trace: Any, inputs: Sequence[torch.Tensor], devices: Sequence[str]) -> Any:
    from torch._inductor import compile_fx, config
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    # PyTorch's own choice is a folder under /tmp that anybody could have made.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(native.cache_folder() / "inductor"))
    with torch.no_grad():
        with FakeTensorMode():
            examples = [
                torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
                for tensor, device in zip(inputs, devices, strict=True)
            ]
            graph = make_fx(lambda *given: trace(list(given)))(*examples)
        # Random numbers are those of the session's generators, and no process is started beside the session's.
        with config.patch(fallback_random=True, compile_threads=1):
            return compile_fx.compile_fx(graph, examples)
