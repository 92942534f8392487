"""What the user's variables hold on a Compute, by name. A storage counts once, however many views and names it has."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["Holding", "holdings"]

# What IPython keeps of earlier cells stands as Out[n].
_IPYTHONS = re.compile(r"_{1,3}|_i{0,3}\d*|_[iod]h|In|Out")


@dataclass
class Holding:
    """Something that fills a device: the names that it has, what it is, and the bytes of its storages."""

    names: list[str]
    what: str
    bytes: int
    storages: set[int] = field(default_factory=set)


def holdings(namespace: Mapping[str, object], devices: Collection[torch.device]) -> list[Holding]:
    """The namespace's variables that hold storages on `devices`, the largest first."""
    variables = {name: value for name, value in namespace.items() if not _IPYTHONS.fullmatch(name)}
    outputs = namespace.get("Out")
    if isinstance(outputs, dict):
        variables |= {f"Out[{number}]": value for number, value in outputs.items()}
    found: list[Holding] = []
    # A module's parameter that has a name of its own, or is in a list, is the module's.
    for name, value in sorted(variables.items(), key=lambda item: _rank(item[1])):
        storages = dict(_storages(value, devices, set()))
        if not storages:
            continue
        fresh = storages.keys() - set().union(*(holding.storages for holding in found))
        if fresh:
            found.append(Holding([name], _what(value), sum(storages[address] for address in fresh), fresh))
        else:
            next(holding for holding in found if holding.storages & storages.keys()).names.append(name)
    return sorted(found, key=lambda holding: -holding.bytes)


def _rank(value: object) -> int:
    kinds = (torch.nn.Module, torch.optim.Optimizer, torch.Tensor)
    return next((rank for rank, kind in enumerate(kinds) if isinstance(value, kind)), len(kinds))


def _what(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__


def _storages(value: object, devices: Collection[torch.device], seen: set[int]) -> Iterator[tuple[int, int]]:
    """The storages that a value holds: their addresses, which no two share, and sizes in bytes."""
    if id(value) in seen:
        return
    seen.add(id(value))
    parts: list[object] = []
    if isinstance(value, torch.Tensor):
        if value.layout is torch.strided and value.device in devices:
            storage = value.untyped_storage()
            yield storage.data_ptr(), storage.nbytes()
        if value.is_leaf:
            parts = [value.grad]
    elif isinstance(value, torch.nn.Module):
        parts = [*value.parameters(), *value.buffers()]
    elif isinstance(value, torch.optim.Optimizer):
        parts = [value.state]
    elif isinstance(value, dict):
        parts = [*value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = [*value]
    for part in parts:
        yield from _storages(part, devices, seen)
