"""The example notebooks run in a real kernel, and show what they say they show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from notebooks.execute import execute, outputs, save

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)


def number(pattern: str, text: str) -> float:
    """The one number that `pattern` finds in `text`."""
    match = re.search(pattern, text)
    assert match, text
    return float(match.group(1))


def test_quickstart_trains_the_same_network_on_sky_as_on_the_cpu(tmp_path: Path) -> None:
    notebook = execute("quickstart")

    assert "sky:0" in "".join(outputs(notebook, "first"))
    # Two runs of this training on one CPU, with one thread and with two, differ by up to 3e-5.
    assert number(r"curves: (\S+)", "".join(outputs(notebook, "difference"))) < 1e-4
    assert number(r"accuracy: ([\d.]+)%", "".join(outputs(notebook, "accuracy"))) > 97
    assert "connected" in "".join(outputs(notebook, "status")).lower()

    saved = save(notebook, "quickstart", tmp_path)
    assert tmp_path / "quickstart-curves.png" in saved
    assert all(path.stat().st_size > 0 for path in saved)


def test_language_model_learns_and_writes() -> None:
    notebook = execute("language_model")

    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", "".join(outputs(notebook, "train")))]
    # Without learning a letter costs ln(56) = 4.0; the frequencies of letters alone are worth 2.9.
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1.8
    assert number(r"not seen: ([\d.]+)", "".join(outputs(notebook, "held-back"))) < 2.0
    sample = "".join(outputs(notebook, "write"))
    assert sample.startswith("In the morning ")
    assert len(sample) > 400
