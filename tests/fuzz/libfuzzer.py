"""Builds the decoder for libFuzzer, with sanitizers, and runs it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
INCLUDE = ROOT / "proto/skytorch_wire/include"
SOURCE = Path(__file__).with_name("records.cpp")
_LONGEST_INPUT = 16 << 10
_MEGABYTES = 1024


class FuzzError(RuntimeError):
    """It can't be built, or something was found; the message says what."""


def compiler() -> str | None:
    """A clang++ that has libFuzzer."""
    names = ["clang++", *(f"clang++-{version}" for version in range(22, 13, -1))]
    return next((found for name in names if (found := shutil.which(name))), None)


def build(target: Path) -> None:
    """Compiles the fuzzer to `target`. Raises FuzzError."""
    clang = compiler()
    if clang is None:
        raise FuzzError("no clang++ was found: install clang and its compiler-rt (Debian: clang libclang-rt-dev)")
    command = [clang, "-std=c++20", "-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    done = subprocess.run(
        [*command, f"-I{INCLUDE}", str(SOURCE), "-o", str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise FuzzError(done.stderr)


def run(program: Path, corpus: Path, runs: int, seed: int) -> str:
    """Runs it on so many inputs that it makes of those in `corpus`; what it says at the end. Raises FuzzError."""
    found = program.with_name("found-")
    done = subprocess.run(
        [
            str(program),
            f"-runs={runs}",
            f"-seed={seed}",
            f"-max_len={_LONGEST_INPUT}",
            f"-rss_limit_mb={_MEGABYTES}",
            f"-artifact_prefix={found}",
            "-timeout=5",
            "-print_final_stats=1",
            str(corpus),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FuzzError(done.stderr[-8000:])
    executed = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
    coverage = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", done.stderr)
    memory = re.search(r"stat::peak_rss_mb:\s+(\d+)", done.stderr)
    if executed is None or not coverage or memory is None:
        raise FuzzError(done.stderr[-8000:])
    edges, features, kept = coverage[-1]
    return (
        f"{executed[1]} inputs, {edges} edges and {features} features covered by {kept} inputs, "
        f"{memory[1]} MiB at most, nothing found"
    )
