"""A fixed number of inputs to everything that takes bytes from strangers; `make fuzz` gives it a million."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fuzz import calls, corpus, door, interpreter, libfuzzer

if TYPE_CHECKING:
    from pathlib import Path

SEED = 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def recorded(folder: Path) -> tuple[Path, Path]:
    return corpus.write(folder)


@pytest.mark.skipif(libfuzzer.compiler() is None, reason="needs clang++ and its libFuzzer")
def test_the_decoder(folder: Path, recorded: tuple[Path, Path]) -> None:
    libfuzzer.build(folder / "records")
    assert "nothing found" in libfuzzer.run(folder / "records", recorded[0], 20_000, SEED)


def test_the_interpreter(folder: Path, recorded: tuple[Path, Path]) -> None:
    run = interpreter.Run(recorded[1], folder, SEED)
    run.run(3000)
    assert run.crashes == []
    assert run.outcomes["damaged: malformed"] > 1000


def test_every_call() -> None:
    told, problems = calls.beside_a_bystander(600, SEED)
    assert problems == [], told


def test_the_port_and_the_local_socket() -> None:
    told, problems = door.beside_a_bystander(200, SEED)
    assert problems == [], told
