"""Calls ops of aten with whatever comes to mind, on sky. Run by test_wild.py in a process of its own.

    wild.py DEVICE SEED CALLS [NAME...]

DEVICE is sky, or cpu: what PyTorch does without us. Named ops are left out.

Says each call on stdout before it is made, so that the last line names the one that ended the process. What should
come of it are Python exceptions, which are not looked at. A session that is lost on the way is replaced, which is said.
"""

from __future__ import annotations

import random
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import jupyter_skytorch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

#: These end any PyTorch that is asked for them, or hold it up.
_NEVER = (
    "aten::from_file", "aten::_print", "aten::_test_", "aten::warn", "aten::_assert_scalar", "aten::_make_dep_token",
    "aten::range.out_", "aten::reflection_pad1d_backward", "aten::_nnpack_spatial_convolution", "aten::_stack",
    "aten::_remove_batch_dim", "aten::to.prim_dtype", "aten::fractional_max_pool2d_backward", "aten::copy.out",
    "aten::_saturate_weight_to_fp16", "aten::_foreach_copy", "aten::choose_qparams_optimized",
)  # fmt: skip
_SECONDS = 10
_DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool,
    torch.complex64, torch.complex32, torch.float8_e4m3fn, torch.uint16, torch.bits8, torch.float4_e2m1fn_x2,
)  # fmt: skip
_SHAPES = ((), (0,), (1,), (3,), (2, 3), (3, 3), (2, 0, 3), (2, 3, 3), (1, 2, 4, 4), (2, 1, 2, 3, 3), (1,) * 9)


class _Refusing(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise ArithmeticError("not today")


class _Wrapping(torch.Tensor):
    @staticmethod
    def __new__(cls, inside: torch.Tensor) -> _Wrapping:  # noqa: PYI034
        made = torch.Tensor._make_wrapper_subclass(cls, inside.shape, dtype=inside.dtype, device=inside.device)
        made.inside = inside
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*[a.inside if isinstance(a, _Wrapping) else a for a in args], **(kwargs or {}))


def _escaped(x: torch.Tensor) -> torch.Tensor:
    kept = []
    torch.func.vmap(lambda row: kept.append(row) or row)(x.reshape(1, -1))
    return kept[0]


class Wild:
    """Where the arguments come from."""

    def __init__(self, device: str) -> None:
        self.random = random.Random(0)
        self.device = torch.device("cpu")
        self.compute: jupyter_skytorch.Compute | None = None
        self._closed = torch.ones(3)
        if device == "sky":
            with jupyter_skytorch.connect(name="gone") as gone:
                self._closed = torch.ones(3, device=gone.device("cpu"))
            self.settle()

    def settle(self) -> str:
        """Waits for what was called, and has a session that lives after it; what became of the last one."""
        end = ""
        if self.compute:
            try:
                self.compute.session().synchronize()
            except TimeoutError:
                self.compute.close()
            except Exception:  # noqa: BLE001, S110  (what a call made of itself)
                pass
            end = self.compute.session().reason
        if end or not self.compute:
            signal.alarm(0)
            self.compute = jupyter_skytorch.connect()
            self.device = self.compute.device("cpu")
        return end

    def plain(self) -> torch.Tensor:
        """An ordinary sky tensor, of any type and shape, now and then a view."""
        dtype = self.random.choice(_DTYPES[: self.random.choice((1, 5, len(_DTYPES)))])
        x = (
            torch.zeros(self.random.choice(_SHAPES), device=self.device)
            .add_(self.random.choice((0, 1, -1, 7)))
            .to(dtype)
        )
        kind = self.random.randrange(8)
        if kind == 0 and x.dim() > 1:
            return x.transpose(0, -1)
        if kind == 1:
            return x.expand(2, *x.shape)
        if kind == 2 and dtype.is_floating_point:
            return x.requires_grad_()
        if kind == 3 and dtype.is_complex:
            return x.conj()
        if kind == 4:
            return x._neg_view() if dtype is not torch.bool else x
        return x

    def odd(self) -> torch.Tensor:
        """A tensor that no sky op expects."""
        here = torch.ones(2, 3)
        makers: tuple[Callable[[], torch.Tensor], ...] = (
            lambda: here,
            lambda: torch.tensor(2),
            lambda: here.to("meta"),
            here.to_sparse,
            here.to_sparse_csr,
            here.to_mkldnn,
            lambda: torch.quantize_per_tensor(here, 0.1, 0, torch.quint8),
            lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
            lambda: self._closed,
            lambda: here.as_subclass(_Refusing),
            lambda: here.to(self.device).as_subclass(_Refusing),
            lambda: _Wrapping(here.to(self.device)),
            lambda: FakeTensorMode().from_tensor(here.to(self.device)),
            lambda: _escaped(here.to(self.device)),
            lambda: torch._efficientzerotensor((2, 3), device=self.device),
            lambda: torch.empty(2**40, device=self.device),
            lambda: torch.empty(0, device=self.device).set_(torch.UntypedStorage(0, device=self.device)),
            lambda: torch.sparse_coo_tensor(here[:1, :1].long().to(self.device), here[:1, 0].to(self.device), (3,)),
            lambda: torch.ones(3, device=self.device).as_strided((3,), (0,)),
            lambda: torch.full((3,), 2**62, device=self.device, dtype=torch.int64),
            lambda: torch.full((3,), float("nan"), device=self.device),
        )  # fmt: skip
        return self.random.choice(makers)()

    def tensor(self) -> torch.Tensor:
        """Mostly an ordinary one."""
        return self.odd() if self.random.random() < 0.15 else self.plain()

    def value(self, kind: str) -> Any:  # noqa: C901  (one line a type)
        """Something of a schema's type, sensible or not."""
        pick = self.random.choice
        if kind.startswith("Optional["):
            return None if self.random.random() < 0.4 else self.value(kind[9:-1])
        if kind.startswith("List["):
            return [self.value(kind[5:-1]) for _ in range(pick((0, 1, 2, 2, 3, 4)))]
        if kind == "Tensor":
            return self.tensor()
        if kind in {"int", "SymInt"}:
            return pick((0, 1, 1, 2, 3, -1, -2, 4, 64, -(2**63), 100))
        if kind in {"number", "float", "Scalar"}:
            real = (0.0, 1.0, 0.5, -1.0, 1e30, float("nan"), float("inf"))
            return pick(real if kind == "float" else (*real, 1, 2, -3, 2 + 1j))
        if kind == "bool":
            return pick((True, False))
        if kind == "str":
            return pick(("", "none", "mean", "sum", "ij,jk->ik", "linear", "\x00", "é" * 300))
        if kind == "Device":
            return pick(
                (
                    self.device,
                    self.device,
                    torch.device("cpu"),
                    torch.device("meta"),
                    torch.device(self.device.type, 63),
                )
            )
        if kind == "Generator":
            return pick((None, torch.Generator(self.device), torch.Generator()))
        if kind == "Storage":
            return self.tensor().untyped_storage()
        return None

    def size(self) -> int:
        """The length of a dimension, or what is none."""
        return self.random.choice((0, 1, 1, 2, 3, 3, -1, 2**40, 2**62, -(2**63)))

    def arguments(self, schema: Any) -> tuple[list[Any], dict[str, Any]]:
        """For one call of an op."""
        args: list[Any] = []
        named: dict[str, Any] = {}
        for argument in schema.arguments:
            kind = str(argument.real_type) if hasattr(argument, "real_type") else str(argument.type)
            if argument.has_default_value() and self.random.random() < 0.5:
                if not argument.kwarg_only:
                    args.append(argument.default_value)
                continue
            if argument.name in {"dtype", "output_dtype", "out_dtype"} and "int" in kind.lower():
                value: Any = self.random.choice(_DTYPES)
            elif argument.name in {"layout", "memory_format"}:
                value = None if "Optional" in kind else torch.strided
            elif argument.name in {"size", "shape", "sizes", "output_size"} and "int" in kind.lower():
                value = [self.size() for _ in range(self.random.choice((0, 1, 2, 3)))]
            else:
                value = self.value(kind)
            if argument.kwarg_only:
                named[argument.name] = value
            else:
                args.append(value)
        return args, named


def _ops(names: list[str]) -> Iterator[tuple[str, Any, Any]]:
    for schema in torch._C._jit_get_all_schemas():
        name = f"{schema.name}.{schema.overload_name}" if schema.overload_name else schema.name
        if not schema.name.startswith("aten::") or schema.name.startswith(_NEVER) or name in names:
            continue
        packet = getattr(torch.ops.aten, schema.name[6:], None)
        if not any("Tensor" in str(argument.type) or argument.name == "device" for argument in schema.arguments):
            continue
        try:
            yield name, schema, getattr(packet, schema.overload_name or "default")
        except AttributeError:  # a TorchScript op, which eager PyTorch doesn't have
            continue


def _late(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError("took too long")


def main(device: str, seed: int, calls: int, names: list[str]) -> None:
    """Makes the calls."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _late)
    wild = Wild(device)
    ops = list(_ops(names))
    done = 0
    for number in range(calls):
        wild.random.seed(f"{seed} {number}")  # whatever the calls before came to
        name, schema, op = wild.random.choice(ops)
        print(name, flush=True)
        signal.alarm(_SECONDS)
        try:
            args, named = wild.arguments(schema)
            op(*args, **named)
            done += 1
        except Exception:  # noqa: BLE001, S110  (any, as long as it is one)
            pass
        if end := wild.settle():
            print(f"= {name}: {end}", flush=True)
        signal.alarm(0)
    print(f"= survived: {done} of {calls} calls returned", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
