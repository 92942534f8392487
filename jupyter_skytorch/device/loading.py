"""``torch.sky.load_into``: a state dict becomes a module's own tensors, and none of them moves."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

__all__ = ["load_into"]


def load_into(model: torch.nn.Module, state: Mapping[str, Any], *, strict: bool = True) -> torch.nn.Module:
    """Puts the tensors of a state dict in the place of a module's parameters and buffers; returns the module.

    The module may be on any device, "meta" too: its own tensors are let go of, and those of `state` are taken as
    they are, with their dtypes. What was tied in the module is tied afterwards. Optimizers are to be made after this.

    Raises RuntimeError, as ``load_state_dict``, for other shapes and, unless `strict` is False, for keys that are
    missing or too many.
    """
    ties = _ties(model)
    model.load_state_dict(state, strict=strict, assign=True)
    for places in ties:
        # All of them got a tensor of their own: the last one counts, as where they are copied to one.
        owner, name = places[-1]
        for other, its_name in places[:-1]:
            setattr(other, its_name, getattr(owner, name))
    return model


def _ties(model: torch.nn.Module) -> list[list[tuple[torch.nn.Module, str]]]:
    """Parameters and buffers that stand in several places, by places."""
    places: defaultdict[int, list[tuple[torch.nn.Module, str]]] = defaultdict(list)
    for module in model.modules():
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is not None:
                places[id(tensor)].append((module, name))
    return [found for found in places.values() if len(found) > 1]
