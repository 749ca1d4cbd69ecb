"""How engines are built. Precision is not among it: that is in the ONNX file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cfack_export.engines.profiles import ProfileSettings
from cfack_runtime.engine import COMPATIBILITIES
from cfack_runtime.errors import UsageError


@dataclass(frozen=True)
class EngineOptions:
    """Settings of one build; the defaults give the fastest engine for exactly the machine it is built for."""

    profiles: ProfileSettings = field(default_factory=ProfileSettings)
    compatibility: str = "none"
    """TensorRT only: which other GPUs may run it, one of `COMPATIBILITIES`; costs speed."""
    version_compatible: bool = False
    """TensorRT only: later releases of the same major version may load it; costs speed."""
    strip_weights: bool = False
    """Leave the weights out; they are put in from the bundle's ONNX file when the engine is loaded."""
    workspace: int | None = None
    """Most scratch memory of one layer on the GPU, in bytes; None: all of it."""
    optimization_level: int | None = None
    """0 builds fastest, 5 searches longest; None: the library's default."""
    timing_cache: Path | None = None
    """TensorRT only: file that keeps kernel timings between builds, read if there and then written."""

    def __post_init__(self) -> None:
        if self.compatibility not in COMPATIBILITIES:
            raise UsageError(
                f"compatibility is {self.compatibility[:80]!r}, expected {', '.join(COMPATIBILITIES)}"
            )
        if self.workspace is not None and self.workspace < 1:
            raise UsageError(f"workspace is {self.workspace} bytes, expected at least 1")
        if self.optimization_level is not None and not 0 <= self.optimization_level <= 5:
            raise UsageError(f"optimization level is {self.optimization_level}, expected 0 to 5")
