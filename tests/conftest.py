"""What every test stands on: no test sees, or leaves behind, anything of the person who runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.embedded import private_runtime
from tests.certificates import Certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def private_jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Jupyter's and IPython's folders, and with them the embedded server and the session records, of this run alone."""
    with private_runtime() as runtime, pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(runtime))
        for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
            patch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))
        # Kernels and sessions share few processors, and torch's threads burn theirs while they wait for each other.
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """An authority, and what it issues for this machine."""
    return Certificates(tmp_path)


@pytest.fixture
def other_certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Those of another authority."""
    return Certificates(tmp_path_factory.mktemp("others"))
