"""The contract between a SkyTorch client and a SkyTorch server.

Protocol buffers and their generated stubs, the record format (``include/skytorch_wire``, and :mod:`.records` for
people and tests), and the build-and-load of native code (:mod:`.native`). Depends on nothing else of this project.
"""

from __future__ import annotations

from ._version import PROTOCOL_VERSION, __version__

__all__ = ["PROTOCOL_VERSION", "__version__"]
