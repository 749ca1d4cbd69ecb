"""How much memory this process, and a device, hold at most."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak() -> bool:
    """Begin a new peak; False where the system keeps one for the whole life of a process only."""
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return True


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


def device_bytes(device: str) -> int | None:
    """Device memory that this process holds now, as nvidia-smi says; None if it does not say.

    Between visits nothing is given back (arenas keep what they took), so that this is also the most so far.
    """
    if device == "cpu":
        return None
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.splitlines()
        mebibytes = [
            int(used) for pid, used in (line.split(",") for line in lines) if int(pid) == os.getpid()
        ]
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return sum(mebibytes) << 20 if mebibytes else None
