"""Names the platform of a wheel that carries prebuilt native cores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PREBUILT = ("jupyter_skytorch/device/prebuilt", "server/skytorch_server/session/prebuilt")


class PrebuiltTag(BuildHookInterface):  # type: ignore[type-arg]
    """Without prebuilt libraries the wheel is pure Python, and the cores are compiled when they are first used."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        if any(library for folder in PREBUILT for library in Path(self.root, folder).glob("*.so")):
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
