"""The machine that figures are of, and how busy it was: never its name or a path."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cfack_bench.gpu import describe_gpu, gpu_state

_PACKAGES = (
    *("cfack", "numpy", "tokenizers", "pillow", "torch", "onnxruntime", "onnxruntime-gpu", "tensorrt"),
    *("tensorrt-rtx", "tensorrt-rtx-cu13-bindings", "pycuda"),
)
_CPU = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_LONG_ENOUGH = 0.2
"""Seconds in which a tick of 10 ms is a few percent."""
_NOT_SAID = "not said by the system"


@dataclass(frozen=True)
class CpuClock:
    """Seconds that all processors spent so far."""

    wall: float
    busy: float
    """At work for anybody on this system."""
    stolen: float
    """Wanted, but given to another system by the hypervisor."""


def read_cpu_clock() -> CpuClock | None:
    """Read /proc/stat; None where there is none."""
    try:
        words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    tick = os.sysconf("SC_CLK_TCK")
    user, nice, system, _idle, _wait, irq, softirq, steal = (int(word) / tick for word in words[:8])
    return CpuClock(time.perf_counter(), user + nice + system + irq + softirq, steal)


def foreign_share(before: CpuClock | None, after: CpuClock | None, own_seconds: float) -> float | None:
    """Share of all processors' time that went to other processes and other systems.

    Returns:
        At most 1, and a little below 0 by the clock's ticks, which must not be cut off: a mean over visits
        would then see others where nobody was. None if the system does not say, or too little time passed.
    """
    if before is None or after is None or after.wall - before.wall < _LONG_ENOUGH:
        return None
    others = (after.busy - before.busy) + (after.stolen - before.stolen) - own_seconds
    return min(1.0, others / ((after.wall - before.wall) * (os.cpu_count() or 1)))


def physical_cores() -> int:
    """Cores that this process may use, threads of one core counted once."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = set()
    for block in _read("/proc/cpuinfo").split("\n\n"):
        fields = dict(re.findall(r"^(.+?)\s*:\s*(.*)$", block, re.MULTILINE))
        if "core id" in fields:
            cores.add((fields.get("physical id"), fields["core id"]))
    return min(len(cores) or allowed, allowed)


def describe_machine(threads: int, gpu: str = "cpu") -> dict[str, Any]:
    """What decides speed on this machine, as plain values; of a GPU too if one is named."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "logical_processors": os.cpu_count(),
        "physical_cores_usable": physical_cores(),
        "threads": threads,
        "vector_extensions": _vector_extensions(),
        "memory_bytes": _memory_bytes(),
        "governor": _read(_CPU / "scaling_governor").strip() or _NOT_SAID,
        "power": _power(),
        "virtual": "hypervisor" in _flags(),
        "gpu": describe_gpu(gpu),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": dict(_versions(_PACKAGES)),
        "commit": _commit(),
    }


def state(gpu: str = "cpu") -> dict[str, Any]:
    """What changes while a benchmark runs, on a GPU too if one is named."""
    clocks = [float(value) for value in re.findall(r"cpu MHz\s*:\s*([\d.]+)", _read("/proc/cpuinfo"))]
    found = {
        "load1": round(os.getloadavg()[0], 2),
        "mhz": [round(min(clocks)), round(max(clocks))] if clocks else None,
        "available_bytes": _meminfo("MemAvailable"),
    }
    return found if gpu == "cpu" else {**found, "gpu": gpu_state(gpu)}


def _processor() -> str:
    """`platform.processor` is empty on most Linux systems."""
    found = re.search(r"^model name\s*:\s*(.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found.group(1) if found else platform.processor() or platform.machine()


def _flags() -> list[str]:
    found = re.search(r"^flags\s*:\s*(.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found.group(1).split() if found else []


def _vector_extensions() -> list[str]:
    return sorted(flag for flag in _flags() if re.fullmatch(r"avx\w*|amx\w*|fma|f16c", flag))


def _power() -> str:
    supplies = Path("/sys/class/power_supply")
    online = [_read(path / "online").strip() for path in _children(supplies)]
    if not any(online):
        return _NOT_SAID
    return "mains" if "1" in online else "battery"


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _memory_bytes() -> int | None:
    return _meminfo("MemTotal")


def _meminfo(name: str) -> int | None:
    found = re.search(rf"^{name}:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _versions(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _commit() -> str:
    """Commit of this source, with "+changes" if files differ from it; "" for an installed package."""
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    # An installed package may lie in somebody's repository, whose commit says nothing of it.
    return found.stdout.strip() if found.returncode == 0 and here.parent.name == "benchmarks" else ""


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
