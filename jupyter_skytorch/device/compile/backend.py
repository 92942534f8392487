"""The backend "sky" of torch.compile."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from skytorch_wire.graphs import Runner

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

__all__ = ["compile_module"]

_log = logging.getLogger(__name__)

Compiled = Any


def compile_module(core: Any, module: torch.fx.GraphModule, inputs: Sequence[Any], **options: Any) -> Compiled:
    """A function that runs the module's graphs on the server, and those of its backward."""
    from torch._dynamo.backends.common import aot_autograd
    from torch._functorch.partitioners import default_partition, min_cut_rematerialization_partition

    runner = _runner(options)

    def compile_graph(graph: torch.fx.GraphModule, _inputs: Sequence[Any]) -> Compiled:
        return _send(core, graph, runner)

    compiler = aot_autograd(
        fw_compiler=compile_graph,
        # Computing again in backward what forward has had pays where it is fused.
        partition_fn=default_partition if runner is Runner.LOOP else min_cut_rematerialization_partition,
        # What the program writes to its inputs is written by the graph itself.
        keep_inference_input_mutations=True,
    )
    return compiler(module, inputs)


def _runner(given: dict[str, Any]) -> Runner:
    options = dict(given.pop("options", None) or {})
    name = options.pop("server", "loop")
    if unknown := sorted([*options, *(word for word, value in given.items() if value)]):
        raise ValueError(f"the backend sky has no option {', '.join(unknown)}: there is server")
    try:
        return Runner[str(name).upper()]
    except KeyError:
        raise ValueError(f'options={{"server": {name!r}}}: a server runs graphs by "loop" or "inductor"') from None


def _send(core: Any, graph: torch.fx.GraphModule, runner: Runner) -> Compiled:
    """A function of a list: one record on the server where the graph can be sent, else its ops one by one."""
    from torch._functorch._aot_autograd.utils import make_boxed_func

    from .lowering import UnsupportedError, lower

    try:
        lowered = lower(core, graph, runner)
    except UnsupportedError as reason:
        _log.warning("a compiled graph runs op by op: %s", reason)
        return make_boxed_func(graph.forward)
    run = lowered.run

    def boxed(arguments: list[Any]) -> list[Any]:
        results: list[Any] = run(arguments)
        # Whoever calls this counts on it that what isn't needed any more is freed.
        arguments.clear()
        return results

    boxed._boxed_call = True  # type: ignore[attr-defined]
    return boxed
