"""Where figures were measured."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch


def describe_machine() -> dict[str, str]:
    """Processor, threads and the versions that decide speed."""
    packages = ("torch", "timm", "transformers", "onnxruntime", "numpy")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "torch_threads": str(torch.get_num_threads()),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _processor() -> str:
    """The name in /proc/cpuinfo where there is one: `platform.processor` is empty on most Linux systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
