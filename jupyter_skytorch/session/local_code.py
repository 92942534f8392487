"""Code that the server hasn't got travels with the functions that use it."""

from __future__ import annotations

import sys
import sysconfig
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["by_value"]

_OURS = {"jupyter_skytorch", "skytorch_wire", "skytorch_server"}
_INSTALLED = {
    Path(place).resolve() for place in (sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values())
}
_one_at_a_time = threading.RLock()


@contextmanager
def by_value() -> Iterator[None]:
    """Pickles what is defined in modules that aren't installed, as those beside a notebook, with all that it uses.

    What is defined in the notebook itself always travels so.
    """
    with _one_at_a_time:
        known = cloudpickle.list_registry_pickle_by_value()
        local = [module for name, module in list(sys.modules.items()) if name not in known and _is_local(name, module)]
        for module in local:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in local:
                cloudpickle.unregister_pickle_by_value(module)


def _is_local(name: str, module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or name == "__main__" or name.partition(".")[0] in _OURS or module.__name__ != name:
        return False
    return _INSTALLED.isdisjoint(Path(file).resolve().parents)
