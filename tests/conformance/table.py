"""What holds and what doesn't: the table of exceptions, and the page that shows a whole run."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .operators import DTYPES, has_gradient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .operators import Pair
    from .shards import Outcome

EXCEPTIONS = Path(__file__).with_name("exceptions.toml")
SHORT = {
    "float32": "f32",
    "float64": "f64",
    "bfloat16": "bf16",
    "float16": "f16",
    "complex64": "c64",
    "int64": "i64",
    "int32": "i32",
    "uint8": "u8",
    "bool": "bool",
}

HEAD = """# PyTorch's operators on sky

PyTorch's own operator database (`torch.testing._internal.common_methods_invocations.op_db`, torch {torch}) with its
own sample inputs, on sky with a CPU server and on the CPU. Compared are dtypes, shapes, strides, aliasing, values
(within the database's tolerances), random numbers of the same seed, in-place and `out=` forms (fitting, strided,
empty, of another size), gradients, and second gradients in float64 and complex64. Written by `make conformance`.

**{held} of {pairs} (operator, dtype) pairs hold**, with {samples:,} sample inputs. The CPU differentiates {gradients}
of them; {gradients_held} of these hold, gradients included. The exceptions are {exceptions} entries in
`tests/conformance/exceptions.toml`:

{reasons}

`✓` holds, a number is the reason above, nothing: the CPU doesn't support the dtype.

"""


@dataclass(frozen=True)
class Exceptions:
    """An entry of the table: some operators, in some dtypes or in all, and why they don't hold."""

    reason: str
    ops: tuple[str, ...]
    dtypes: tuple[str, ...] | None

    def covers(self, pair: Pair) -> bool:
        """Whether the pair is one of these."""
        return pair.op in self.ops and (self.dtypes is None or pair.dtype in self.dtypes)


def exceptions() -> list[Exceptions]:
    """The table of exceptions."""
    entries = tomllib.loads(EXCEPTIONS.read_text(encoding="utf-8")).get("exception", [])
    return [
        Exceptions(entry["reason"], tuple(entry["ops"]), tuple(entry["dtypes"]) if "dtypes" in entry else None)
        for entry in entries
    ]


def unexpected(outcomes: Mapping[Pair, Outcome]) -> list[str]:
    """The pairs that don't hold and aren't exceptions, a line each."""
    known = exceptions()
    return [
        f"{pair}: {outcome.reason}"
        for pair, outcome in outcomes.items()
        if not outcome.holds and not any(one.covers(pair) for one in known)
    ]


def outdated(outcomes: Mapping[Pair, Outcome]) -> list[str]:
    """The exceptions that hold, a line each."""
    known = exceptions()
    return [
        f"{pair} holds: take it out of {EXCEPTIONS.name}"
        for pair, outcome in outcomes.items()
        if outcome.holds and any(one.covers(pair) for one in known)
    ]


def page(outcomes: Mapping[Pair, Outcome], torch_version: str) -> str:
    """The page of a whole run, as Markdown."""
    known = exceptions()
    gradients = [pair for pair in outcomes if has_gradient(pair)]
    text = HEAD.format(
        torch=torch_version.partition("+")[0],
        held=sum(outcome.holds for outcome in outcomes.values()),
        pairs=len(outcomes),
        samples=sum(outcome.samples for outcome in outcomes.values()),
        gradients=len(gradients),
        gradients_held=sum(outcomes[pair].holds for pair in gradients),
        exceptions=len(known),
        reasons="\n".join(f"{number}. {one.reason}" for number, one in enumerate(known, 1)),
    )
    names = [str(dtype).removeprefix("torch.") for dtype in DTYPES]
    rows = [f"| operator | {' | '.join(SHORT[name] for name in names)} |", "|---" * (len(names) + 1) + "|"]
    by_op: dict[str, dict[str, str]] = {}
    for pair, outcome in outcomes.items():
        number = next((str(n) for n, one in enumerate(known, 1) if one.covers(pair)), "?")
        by_op.setdefault(pair.op, {})[pair.dtype] = "✓" if outcome.holds else number
    rows += [f"| {op} | {' | '.join(cells.get(name, '') for name in names)} |" for op, cells in sorted(by_op.items())]
    return text + "\n".join(rows) + "\n"
