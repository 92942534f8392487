"""Functions of the user's, run beside the tensors: ``compute.run`` and ``@compute.remote``."""

from __future__ import annotations

import functools
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from .waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jupyter_skytorch.session import FunctionCall

    from .compute import Compute

__all__ = ["RemoteFunction", "run"]

P = ParamSpec("P")
R = TypeVar("R")

_STOP_SECONDS = 10.0
"""How long a function may take to end after an interrupt before the notebook goes on without it."""
_FOREVER = 1e8


def run(compute: Compute, function: Callable[..., R], args: Sequence[Any], kwargs: Mapping[str, Any]) -> R:
    """What ``Compute.run`` does."""
    __tracebackhide__ = True
    called = getattr(function, "__qualname__", type(function).__name__)
    target = compute.session().open_device(compute.default_device, 0)
    with closing(compute.session().call(target, function, args, kwargs)) as call:
        try:
            with waiting(f"running {called} on {compute.name}"):
                _show(call, _FOREVER)
        except KeyboardInterrupt as interrupt:
            raise interrupt from _stop(compute, call, called, interrupt)
        except Exception:
            # Its output can't be shown: nobody would know of it any more.
            compute.session().cancel()
            raise
        result: R = call.result()
        return result


def _show(call: FunctionCall, seconds: float) -> None:
    """Writes what the function writes until it has ended. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while (written := call.next(max(deadline - time.monotonic(), 0.0))) is not None:
        stream, text = written
        file = sys.stdout if stream == 1 else sys.stderr
        file.write(text)
        file.flush()


def _stop(compute: Compute, call: FunctionCall, called: str, interrupt: KeyboardInterrupt) -> BaseException | None:
    """Ends the function; where in it that was. A second interrupt gives the session up."""
    try:
        with waiting(f"waiting for {called} to stop; another interrupt gives up the session on {compute.name}"):
            compute.session().cancel()
            _show(call, _STOP_SECONDS)
            call.result()
    except TimeoutError:
        interrupt.add_note(
            f"{called} doesn't stop, and the session on {compute.name} waits for it: %sky disconnect ends the session"
        )
    except KeyboardInterrupt as error:
        if error.__cause__ is not None:
            return error.__cause__
        interrupt.add_note(f"interrupted twice: the session on {compute.name} is given up, and its tensors are gone")
        compute.close()
    except Exception as error:  # noqa: BLE001  (it ended in another way, or the session did)
        return error
    return None


class RemoteFunction(Generic[P, R]):
    """A function that runs on a Compute whenever it is called."""

    def __init__(self, compute: Compute, function: Callable[P, R]) -> None:
        """Made by ``@compute.remote``."""
        functools.update_wrapper(self, function)
        self._compute = compute
        self._function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it there: see ``Compute.run``."""
        __tracebackhide__ = True
        return self._compute.run(self._function, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        # Where another function takes it along, it is called as what it is.
        return functools.partial, (self._function,)
