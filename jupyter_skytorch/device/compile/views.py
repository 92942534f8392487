"""Which results of a graph share memory with what."""

from __future__ import annotations

import operator

import torch
from torch.fx import Node

__all__ = ["base_of"]


def base_of(node: Node) -> Node:
    """The input, or the result of an op, whose memory `node` is a view of; itself where it is none."""
    while (viewed := _viewed(node)) is not None:
        node = viewed
    return node


def _viewed(node: Node) -> Node | None:
    if node.op != "call_function":
        return None
    if node.target is operator.getitem and isinstance(node.args[0], Node):
        # One of a list of views, or one of several results, of which each is a tensor of its own.
        return _viewed(node.args[0])
    if not isinstance(node.target, torch._ops.OpOverload):
        return None
    schema = node.target._schema
    if len(schema.returns) != 1 or schema.returns[0].alias_info is None:
        return None
    for place, declared in enumerate(schema.arguments):
        if declared.alias_info is not None:
            given = node.args[place] if place < len(node.args) else node.kwargs.get(declared.name)
            return given if isinstance(given, Node) else None
    return None
