"""How much memory this process holds at most."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Begin a new peak, where the system keeps more than one for the whole life of a process."""
    with contextlib.suppress(OSError):
        _RESET.write_text("5")


def peak_bytes() -> int:
    """Most host memory since the last `reset_peak`: resident, shared pages of mapped files included."""
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
