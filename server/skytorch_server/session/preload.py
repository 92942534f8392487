"""What the fork server imports before it forks sessions, so that a session starts in hundredths of a second.

Importing torch and gRPC initialises neither CUDA nor gRPC; both may only be initialised after the fork.
"""

from __future__ import annotations

import logging
import os

# A server has no sky device of its own: torch must not load the client's backend.
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
# Huge pages for large CPU tensors: faulting fresh memory in by small pages takes three times as long as filling it.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# Threads of OpenMP that wait by spinning take the cores from other sessions, and from the notebook beside an embedded
# server: two sessions on two cores ran five times slower than one after the other.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

try:
    from skytorch_wire import native

    from . import devices, worker  # noqa: F401

    native.load(__package__)
except Exception:
    # The fork server lives on; each session tries again and tells its client what is wrong.
    logging.getLogger(__name__).exception("the session process could not be prepared")
