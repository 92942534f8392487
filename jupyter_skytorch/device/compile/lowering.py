"""From a graph of aten ops, as AOTAutograd hands it over, to one that the server has."""

from __future__ import annotations

import operator
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import Node

from skytorch_wire.graphs import DROPPED, KEPT, Definition, kept_list
from skytorch_wire.graphs import Node as Op

from .arguments import UnsupportedError, value
from .symbols import Symbols
from .views import base_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from skytorch_wire.graphs import Runner
    from skytorch_wire.records import Writer

__all__ = ["UnsupportedError", "lower"]

# They tell the compiler something, and nothing happens when they run.
_TOLD_ONLY = {
    "aten::_assert_tensor_metadata",
    "aten::sym_constrain_range",
    "aten::sym_constrain_range_for_size",
    "aten::_assert_scalar",
}
_SYMBOLIC = (int, float, bool, torch.SymInt, torch.SymFloat, torch.SymBool)


class Origin(IntEnum):
    """Where a result comes from, as graph.cpp knows it."""

    NONE = 0
    ARGUMENT = 1
    NUMBER = 2
    FRESH = 3
    FRESH_VIEW = 4
    ARGUMENT_VIEW = 5


def lower(core: Any, module: torch.fx.GraphModule, runner: Runner) -> Any:
    """The graph on the server: ``run(list of arguments)`` gives the list of its results.

    Raises:
        UnsupportedError: the graph does something that can't be sent; the message says what.
    """
    return _Lowering(core, module, runner).graph()


class _Lowering:
    def __init__(self, core: Any, module: torch.fx.GraphModule, runner: Runner) -> None:
        self._core = core
        self._runner = runner
        self._module = module
        self._devices: set[int] = set()
        self._values: dict[Node, int] = {}
        self._lists: dict[Node, list[int]] = {}
        self._arguments: dict[Node, int] = {}
        self._inputs: list[int] = []
        self._constants: list[torch.Tensor] = []
        self._symbols = Symbols()
        self._ops: dict[str, int] = {}
        self._nodes: list[Op] = []
        self._written: set[int] = set()
        self._count = 0
        self._fresh: list[Node] = []
        self._views: list[tuple[Node, Node]] = []
        self._returned: list[Any] = []

    def graph(self) -> Any:
        nodes = list(self._module.graph.nodes)
        for place, node in enumerate(node for node in nodes if node.op == "placeholder"):
            self._placeholder(place, node)
        for node in nodes:
            if node.op == "get_attr":
                self._constant(node)
        results: list[tuple[int, int]] = []
        for node in nodes:
            if node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                results = [self._result(output) for output in node.args[0]]
            elif node.op not in {"placeholder", "get_attr"}:
                raise UnsupportedError(f"{node.op} {node.target}")
        if len(self._devices) != 1:
            raise UnsupportedError(f"its tensors are on {len(self._devices)} sky devices")
        definition = Definition(
            len(self._inputs) + len(self._constants),
            self._symbols.count,
            self._nodes,
            [self._values[node] for node in self._fresh],
            self._runner,
        )
        return self._core.Graph(
            self._devices.pop(),
            tuple(self._ops),
            definition.data(),
            tuple(self._inputs),
            tuple(self._constants),
            tuple(sorted(self._written)),
            self._symbols.sources,
            tuple(results),
            self._resolver(),
        )

    def _resolver(self) -> Callable[[tuple[int, ...]], tuple[Any, ...]]:
        at = self._symbols
        fresh = [at.layout(node.meta["val"], None) for node in self._fresh]
        views = [at.layout(node.meta["val"], base.meta["val"]) for node, base in self._views]
        returned = [at.expression(number) for number in self._returned]

        def resolve(given: tuple[int, ...]) -> tuple[Any, ...]:
            known = at.known(given)
            return (
                tuple(number(known) for number in at.numbers),
                tuple(layout(known) for layout in fresh),
                tuple(layout(known) for layout in views),
                tuple(number(known) for number in returned),
            )

        return resolve

    def _placeholder(self, place: int, node: Node) -> None:
        self._arguments[node] = place
        meta = node.meta.get("val")
        if isinstance(meta, torch.Tensor):
            self._check_device(meta)
            self._symbols.found_in(place, meta)
            self._value(node)
            self._inputs.append(place)
        elif isinstance(meta, torch.SymInt):
            self._symbols.given(place, meta)
        elif meta is not None and not isinstance(meta, int | float | bool):
            raise UnsupportedError(f"an input is a {type(meta).__name__}")

    def _constant(self, node: Node) -> None:
        tensor = operator.attrgetter(str(node.target))(self._module)
        if not isinstance(tensor, torch.Tensor):
            raise UnsupportedError(f"a {type(tensor).__name__} is called")
        node.meta.setdefault("val", tensor)
        self._check_device(tensor)
        self._value(node)
        self._constants.append(tensor)

    def _check_device(self, tensor: torch.Tensor) -> None:
        if tensor.is_sparse or tensor.layout != torch.strided:
            raise UnsupportedError(f"a tensor of layout {tensor.layout}")
        if tensor.device.type == "sky":
            self._devices.add(tensor.device.index)
        elif tensor.device.type != "cpu" or tensor.dim():
            raise UnsupportedError(f"a tensor is on {tensor.device}")

    def _value(self, node: Node) -> None:
        self._values[node] = self._count
        self._count += 1

    def _call(self, node: Node) -> None:
        meta = node.meta.get("val")
        if node.target is operator.getitem and isinstance(node.args[0], Node):
            self._item(node)
            return
        if isinstance(meta, _SYMBOLIC):
            # The client works it out, and each run tells it.
            self._symbols.expression(meta)
            return
        op = node.target
        if not isinstance(op, torch._ops.OpOverload) or op.namespace != "aten":
            raise UnsupportedError(f"{op} is no op of aten's")
        schema = op._schema
        if schema.name in _TOLD_ONLY:
            return
        if schema.name == "aten::as_strided" and base_of(node).op not in {"placeholder", "get_attr"}:
            raise UnsupportedError("as_strided of what the graph has computed")
        arguments = [self._argument(node, i, declared) for i, declared in enumerate(schema.arguments)]
        results = self._results(node, schema, meta)
        self._nodes.append(Op(self._op(schema.name, schema.overload_name), arguments, results))

    def _op(self, name: str, overload: str) -> int:
        name = f"{name}.{overload}" if overload else name
        if name not in self._ops:
            self._ops[name] = self._core.op_number(name)
        return self._ops[name]

    def _argument(self, node: Node, place: int, declared: Any) -> Writer:
        if place < len(node.args) and not declared.kwarg_only:
            given = node.args[place]
        elif declared.name in node.kwargs:
            given = node.kwargs[declared.name]
        else:
            given = declared.default_value
        if declared.alias_info is not None and declared.alias_info.is_write:
            for one in given if isinstance(given, list | tuple) else [given]:
                if isinstance(one, Node) and (base := base_of(one)) in self._arguments:
                    if base.meta["val"].device.type != "sky":
                        raise UnsupportedError(f"a tensor on {base.meta['val'].device} is written to")
                    self._written.add(self._arguments[base])
        try:
            return value(given, declared.type, self)
        except UnsupportedError as reason:
            raise UnsupportedError(f"{reason}, argument {declared.name} of {node.target}") from None

    def tensor(self, node: Node) -> int | None:
        """The index of a tensor among the graph's values; None when there is none."""
        if node in self._values:
            return self._values[node]
        if node.meta.get("val") is None:
            return None
        raise UnsupportedError(f"{node.target} is used as a tensor")

    def number(self, number: Any) -> int | float | bool | tuple[int]:
        """A number, or the one-tuple of its index among those that each run gives."""
        return self._symbols.number(number)

    def slot(self, device: torch.device) -> int:
        """The number of a device on the wire."""
        if device.type != "sky":
            raise UnsupportedError(f"a tensor is made on {device}")
        named: Any = device  # whose index may be missing
        index = self._core.get_device() if named.index is None else named.index
        self._devices.add(index)
        slot: int = self._core.device_slot(index)
        return slot

    def _results(self, node: Node, schema: Any, meta: Any) -> list[int]:
        returns = schema.returns
        if len(returns) == 1 and "List" not in str(returns[0].type):
            self._value(node)
            return [KEPT]
        if len(returns) == 1:
            length = len(meta)
            self._lists[node] = list(range(self._count, self._count + length))
            self._count += length
            return [kept_list(length)]
        used = {user.args[1] for user in node.users if user.target is operator.getitem}
        results, places = [], []
        for place, declared in enumerate(returns):
            if "List" in str(declared.type):
                raise UnsupportedError(f"{schema.name} returns lists")
            keep = place in used and str(declared.type) == "Tensor"
            places.append(self._count if keep else -1)
            self._count += keep
            results.append(KEPT if keep else DROPPED)
        self._lists[node] = places
        return results

    def _item(self, node: Node) -> None:
        meta = node.meta.get("val")
        index = self._lists[node.args[0]][node.args[1]]  # type: ignore[index]
        if isinstance(meta, torch.Tensor):
            self._values[node] = index
        elif meta is not None:
            self._symbols.expression(meta)

    def _result(self, output: Any) -> tuple[int, int]:
        meta = output.meta.get("val") if isinstance(output, Node) else output
        if meta is None:
            return (Origin.NONE, 0)
        if isinstance(meta, _SYMBOLIC):
            self._symbols.expression(meta)
            self._returned.append(meta)
            return (Origin.NUMBER, 0)
        if output in self._arguments:
            return (Origin.ARGUMENT, self._arguments[output])
        if meta.device.type != "sky":
            raise UnsupportedError(f"a result is on {meta.device}")
        if meta.is_conj() or meta.is_neg():
            raise UnsupportedError("a result is a conjugate or negative view")
        base = base_of(output)
        if base in self._arguments:
            self._views.append((output, base))
            return (Origin.ARGUMENT_VIEW, self._arguments[base])
        if base.op == "get_attr":
            raise UnsupportedError("a result is a view of a constant")
        if base not in self._fresh:
            self._fresh.append(base)
        if base is output:
            return (Origin.FRESH, self._fresh.index(base))
        self._views.append((output, base))
        return (Origin.FRESH_VIEW, self._fresh.index(base))
