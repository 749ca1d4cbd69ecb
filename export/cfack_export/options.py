"""What an export is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cfack_export.engines import EngineOptions
from cfack_export.parity import SampleSize
from cfack_export.parity.limits import FP16, FP32, INT8, INT8_CPU, QUANTIZED
from cfack_export.precision.histograms import METHODS
from cfack_export.stages import default_cache
from cfack_runtime.errors import UsageError

PRECISIONS = (FP32, FP16, INT8, INT8_CPU)
DEFAULT_CALIBRATION = 64
DEFAULT_METHOD = "minmax"


@dataclass(frozen=True)
class EngineRequest:
    """Engines of one library, built from every precision that passes and that the library can build."""

    builder: str
    """"tensorrt" or "tensorrt-rtx"."""
    targets: tuple[str, ...] = ()
    """TensorRT-RTX: compute capabilities such as "8.9"; none: its own portable target."""
    options: EngineOptions = field(default_factory=EngineOptions)


@dataclass(frozen=True)
class ExportOptions:
    """What `export_bundle` makes beside the FP32 graphs, and what it measures with."""

    precisions: Sequence[str] = (FP32,)
    """FP32 is always made: everything else comes from it."""
    data: Path | None = None
    """A prepared data set: retrieval is measured on one split, and ranges on the one trained on. 8 bits need
    it."""
    split: str | None = None
    """Split that retrieval is measured on; None: "val" where there is one, else "test"."""
    sample: SampleSize | None = None
    """How much of the split; None: as much as a CPU measures in minutes."""
    max_drop: float | None = None
    """Points of R@1 that a quantised precision may lose; None: as `docs/parity.md` says."""
    calibration: int = DEFAULT_CALIBRATION
    """Images of the training split, and captions, that ranges of activations are measured on."""
    method: str = DEFAULT_METHOD
    """How `int8` takes a scale from what was measured: "minmax" or "entropy"."""
    rewrites: bool = True
    """Whether to add the re-ranker's two rewrites, which share its weights but not their bytes."""
    engines: Sequence[EngineRequest] = ()
    keep_going: bool = False
    """Write the precisions that passed, and mark those that did not, which the runtime then refuses."""
    cache: Path | None = field(default_factory=default_cache)
    """Folder of finished stages; None: nothing is kept."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.precisions if name not in PRECISIONS]
        if unknown:
            raise UsageError(f"precision {unknown[0][:80]!r} is unknown, expected {', '.join(PRECISIONS)}")
        if self.method not in METHODS:
            raise UsageError(f"calibration method {self.method[:80]!r}, expected {' or '.join(METHODS)}")
        if self.calibration < 1:
            raise UsageError(f"calibration with {self.calibration} images, expected at least 1; 64 is usual")
        quantized = [name for name in QUANTIZED if name in self.precisions]
        if quantized and self.data is None:
            calibrated = "is calibrated on real images and " if INT8 in quantized else ""
            raise UsageError(
                f"{quantized[0]} {calibrated}must be shown not to lose images: name a prepared data set with "
                "--data (`cfack data prepare` writes one)"
            )

    @property
    def ordered(self) -> tuple[str, ...]:
        """The precisions, FP32 first, each once."""
        return tuple(name for name in PRECISIONS if name == FP32 or name in self.precisions)
