"""One entry of PyTorch's own operator database with one dtype, on sky and on the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch.testing._internal.common_device_type import toleranceOverride
from torch.testing._internal.common_methods_invocations import op_db

from .comparison import Call, Copier, MismatchError, compare, copied, noise, sharing, tensors_of

DTYPES = (
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.complex64,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
)
# Second order is asked of the dtypes that PyTorch's own tests ask it of: in the others it is too coarse.
SECOND_ORDER = (torch.float64, torch.complex64)
# Their results are whatever the memory held.
UNINITIALISED = {
    "empty",
    "empty_like",
    "empty_permuted",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
}
# PyTorch wants their arguments after the first on the CPU, whatever the device.
ON_THE_CPU = {"tensor_split"}
SEED = 20


@cache
def entries() -> dict[str, Any]:
    """The database, by unique names."""
    return {entry.formatted_name: entry for entry in op_db}


@dataclass(frozen=True)
class Pair:
    """An operator with a dtype."""

    op: str
    dtype: str

    @property
    def torch_dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    def __str__(self) -> str:
        return f"{self.op}[{self.dtype}]"


def pairs() -> list[Pair]:
    """Every operator with every dtype that the CPU supports."""
    return [
        Pair(name, str(dtype).removeprefix("torch."))
        for name, entry in entries().items()
        for dtype in DTYPES
        if dtype in entry.dtypes
    ]


def has_gradient(pair: Pair) -> bool:
    """Whether the CPU computes gradients of the operator in the dtype."""
    entry = entries()[pair.op]
    differentiable = pair.torch_dtype.is_floating_point or pair.torch_dtype.is_complex
    return bool(differentiable and entry.supports_autograd and pair.torch_dtype in entry.backward_dtypes)


def _tolerance(entry: Any, dtype: torch.dtype) -> tuple[float, float] | None:
    """(rtol, atol): the widest that PyTorch's own tests give the operator in the dtype, or nothing special."""
    overrides = [one for decorator in entry.decorators for one in getattr(decorator, "decorators", [decorator])]
    own = [one.d[dtype] for one in overrides if isinstance(one, toleranceOverride) and dtype in one.d]
    return (max(one.rtol for one in own), max(one.atol for one in own)) if own else None


class Check:
    """Runs the samples of a pair on both devices. Raises MismatchError, or what sky raised and the CPU did not."""

    def __init__(self, pair: Pair, device: torch.device) -> None:
        self._pair = pair
        self._entry = entries()[pair.op]
        self._device = device
        self._gradient = has_gradient(pair)
        self._values = pair.op not in UNINITIALISED
        self._tolerance = _tolerance(self._entry, pair.torch_dtype)

    def run(self, limit: int | None = None, variants: int = 3) -> int:
        """Compares up to `limit` samples, the first `variants` of them in place and with out= too; says how many."""
        count = 0
        torch.manual_seed(SEED)
        dtype = self._pair.torch_dtype
        samples = self._entry.sample_inputs("cpu", dtype, requires_grad=self._gradient)
        for count, sample in enumerate(islice(samples, limit), 1):
            call = Call(self._entry.op, (sample.input, *sample.args), dict(sample.kwargs))
            self._function(call, sample)
            if count <= variants:
                self._in_place(call, sample)
                self._out(call)
        return count

    def _compare(self, actual: Any, expected: Any, what: str) -> None:
        compare(actual, expected, what, values=self._values, tolerance=self._tolerance)

    def _both(self, local: Call, what: str, *, strict: bool = True) -> tuple[tuple[Call, Call], Any, Any] | None:
        """Runs the call on both, with the same random numbers; nothing if both refuse it alike.

        Not strict: sky may do what the CPU refuses.
        """
        local = copied(local, torch.device("cpu"))
        remote = copied(local, self._device, first_only=self._pair.op in ON_THE_CPU)
        torch.manual_seed(SEED)
        try:
            expected = local.run()
        except Exception as refusal:  # noqa: BLE001 (whatever it is, sky must do alike)
            if strict:
                self._refuses(remote, refusal, what)
            return None
        torch.manual_seed(SEED)
        actual = remote.run()
        if any(one.device != self._device for one in tensors_of(actual)):
            # A factory that was not told where: the default device is the other way to tell it.
            torch.manual_seed(SEED)
            with self._device:
                actual = remote.run()
        if isinstance(expected, Iterator):
            actual, expected = list(actual), list(expected)
        self._compare(actual, expected, what)
        self._compare(remote.tensors(), local.tensors(), f"{what}, arguments afterwards")
        elsewhere = {str(one.device) for one in tensors_of(actual)} - {str(self._device)}
        if elsewhere:
            raise MismatchError(f"{what}: on {elsewhere}")
        before = [*local.tensors(), *tensors_of(expected)]
        after = [*remote.tensors(), *tensors_of(actual)]
        if sharing(before) != sharing(after):
            raise MismatchError(f"{what}: memory shared as {sharing(after)} instead of {sharing(before)}")
        return (remote, local), actual, expected

    def _refuses(self, remote: Call, refusal: Exception, what: str) -> None:
        try:
            for tensor in tensors_of(remote.run()):
                tensor.cpu()
        except Exception as own:
            if isinstance(own, type(refusal)) or isinstance(refusal, type(own)):
                return
            raise MismatchError(f"{what}: raised {own!r} instead of {refusal!r}") from own
        raise MismatchError(f"{what}: did not raise {refusal!r}")

    def _function(self, local: Call, sample: Any) -> None:
        results = self._both(local, "result")
        if results is None or not self._gradient:
            return
        (remote, local), actual, expected = results
        process = sample.output_process_fn_grad or (lambda result: result)
        wanted = [one for one in tensors_of(process(expected)) if one.requires_grad]
        given = [one for one in tensors_of(process(actual)) if one.requires_grad]
        into = [index for index, one in enumerate(local.tensors()) if one.requires_grad and one.is_leaf]
        if not wanted or not into:
            return
        second = self._entry.supports_gradgrad and self._pair.torch_dtype in SECOND_ORDER
        self._backward(
            (given, wanted),
            ([remote.tensors()[i] for i in into], [local.tensors()[i] for i in into]),
            second=second,
        )

    def _backward(
        self,
        outputs: tuple[list[torch.Tensor], list[torch.Tensor]],
        inputs: tuple[list[torch.Tensor], list[torch.Tensor]],
        *,
        second: bool,
        order: int = 1,
    ) -> None:
        what = f"gradient of order {order}"
        with torch.no_grad():
            seeds = noise(outputs[1], order)
        options = {"allow_unused": True, "create_graph": second}
        remote = Call(torch.autograd.grad, (outputs[0], inputs[0], Copier(self._device)(seeds)), options)
        try:
            expected = torch.autograd.grad(outputs[1], inputs[1], seeds, **options)
        except RuntimeError as refusal:
            self._refuses(remote, refusal, what)
            return
        actual = remote.run()
        self._compare(actual, expected, what)
        if not second:
            return
        again = [
            ([one for one in gradients if one is not None and one.requires_grad]) for gradients in (actual, expected)
        ]
        if again[1]:
            self._backward((again[0], again[1]), inputs, second=False, order=2)

    def _in_place(self, call: Call, sample: Any) -> None:
        variant = self._entry.inplace_variant
        if variant is None or sample.broadcasts_input or not isinstance(sample.input, torch.Tensor):
            return
        with torch.no_grad():
            self._both(Call(variant, (sample.input.detach().clone(), *call.arguments[1:]), call.keywords), "in place")

    def _out(self, call: Call) -> None:
        if not self._entry.supports_out:
            return
        with torch.no_grad():
            torch.manual_seed(SEED)
            try:
                expected = call.run()
            except Exception:  # noqa: BLE001 (compared by _function)
                return
            fitting = tensors_of(expected)
            forms = {
                "out= that fits": [torch.empty_like(one).fill_(0) for one in fitting],
                "out= strided": [torch.zeros((*one.shape, 2), dtype=one.dtype)[..., 0] for one in fitting],
                "out= empty": [torch.empty(0, dtype=one.dtype) for one in fitting],
                "out= of another size": [torch.zeros((*one.shape, 2), dtype=one.dtype) for one in fitting],
            }
            for what, out in forms.items():
                given = out[0] if isinstance(expected, torch.Tensor) else tuple(out)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    self._both(Call(call.function, call.arguments, {**call.keywords, "out": given}), what, strict=False)
