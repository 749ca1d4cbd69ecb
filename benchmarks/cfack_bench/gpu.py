"""What nvidia-smi says of one GPU: its name and limits, its state, and the memory that is taken."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

_FACTS = {
    "name": "name",
    "driver": "driver_version",
    "compute_capability": "compute_cap",
    "memory_mib": "memory.total",
    "power_limit_w": "power.limit",
    "highest_sm_mhz": "clocks.max.sm",
    "persistence": "persistence_mode",
    "mig": "mig.mode.current",
}
_STATE = {
    "performance_state": "pstate",
    "sm_mhz": "clocks.sm",
    "memory_mhz": "clocks.mem",
    "power_w": "power.draw",
    "celsius": "temperature.gpu",
    "throttled": "clocks_throttle_reasons.active",
}
_USED = "memory.used"


def describe_gpu(device: str) -> dict[str, str] | None:
    """What decides speed on a GPU; None for a CPU, or where nvidia-smi does not answer."""
    return _asked(device, _FACTS)


def gpu_state(device: str) -> dict[str, str] | None:
    """What changes while a benchmark runs: clocks, power, temperature, reasons to slow down."""
    return _asked(device, _STATE)


def used_bytes(device: str) -> int | None:
    """Memory that is taken on a GPU by whomever."""
    found = _query(device, [_USED])
    try:
        return None if found is None else int(found[0]) << 20
    except ValueError:
        return None


class DeviceMemory:
    """Device memory of this process: what was taken while it was at work, and not given back since.

    nvidia-smi counts memory by process only where it sees the processes, which in a container it does not.
    Candidates take turns, so what grows during a turn belongs to whose turn it is. Allocators keep what they
    took, so that the sum is also the most so far. What somebody else takes meanwhile is counted too.
    """

    def __init__(self, device: str) -> None:
        self._device, self._own, self._known = device, 0, True
        self._before: int | None = None

    def begin(self) -> None:
        """A turn begins."""
        self._before = used_bytes(self._device)

    def end(self) -> int | None:
        """A turn ends; bytes held by this process, None where nothing says so."""
        now = used_bytes(self._device)
        if now is None or self._before is None:
            self._known = False
        else:
            self._own = max(0, self._own + now - self._before)
        return self._own if self._known else None


def _asked(device: str, fields: Mapping[str, str]) -> dict[str, str] | None:
    found = _query(device, list(fields.values()))
    return None if found is None else dict(zip(fields, found, strict=True))


def _query(device: str, fields: Sequence[str]) -> list[str] | None:
    if device == "cpu":
        return None
    asked = f"--query-gpu={','.join(fields)}"
    command = ["nvidia-smi", f"--id={_name(device)}", asked, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    values = [value.strip() for value in done.stdout.strip().split(",")]
    return values if done.returncode == 0 and len(values) == len(fields) else None


def _name(device: str) -> str:
    """What nvidia-smi calls a device of CUDA, which may be told to see some of them only."""
    index = int(device.partition(":")[2] or 0)
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return seen[index] if index < len(seen) else str(index)
