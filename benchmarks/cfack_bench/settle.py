"""Waiting until a process is really idle.

The threads of BLAS go on spinning for 80 ms after a product, those of ONNX Runtime for 30, and would take
processors from the candidate whose turn is next.
"""

from __future__ import annotations

import time

_PAUSE = 0.01
_QUIET = 0.1
"""Share of one processor below which a process counts as idle."""
_PAUSES = 3
"""So many quiet pauses in a row; a thread that spins may itself be kept from running for one."""


def settle(limit: float = 0.3) -> bool:
    """Wait until this process has stopped using processors.

    Args:
        limit: seconds to wait at most.

    Returns:
        Whether it has.
    """
    began, quiet = time.perf_counter(), 0
    while time.perf_counter() - began < limit:
        used, since = time.process_time(), time.perf_counter()
        time.sleep(_PAUSE)
        idle = time.process_time() - used < _QUIET * (time.perf_counter() - since)
        quiet = quiet + 1 if idle else 0
        if quiet == _PAUSES:
            return True
    return False
