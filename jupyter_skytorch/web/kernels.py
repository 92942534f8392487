"""The names of kernels: what a session record calls by id, a person knows by its notebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jupyter_core.utils import ensure_async


@dataclass(frozen=True)
class Kernel:
    """A kernel that this Jupyter server runs."""

    kernel_id: str
    name: str
    state: str
    notebook: str | None


class Kernels:
    """Asks the Jupyter server's own managers."""

    def __init__(self, kernel_manager: Any, session_manager: Any) -> None:
        self._kernel_manager = kernel_manager
        self._session_manager = session_manager

    async def running(self) -> dict[str, Kernel]:
        """The running kernels, by kernel id."""
        notebooks = {
            session["kernel"]["id"]: session["path"]
            for session in await ensure_async(self._session_manager.list_sessions())
            if session.get("kernel")
        }
        return {
            model["id"]: Kernel(
                kernel_id=model["id"],
                name=model["name"],
                state=model.get("execution_state", "unknown"),
                notebook=notebooks.get(model["id"]),
            )
            for model in await ensure_async(self._kernel_manager.list_kernels())
        }
