"""The stages of a quickstart and how far the whole of it is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

from cfack_runtime.progress import ProgressCallback

# Share of the whole time that each stage took on two CPU cores; only the estimate of the time left uses it.
STAGES: dict[str, float] = {
    "Rendering pedestrians": 0.10,
    "Training": 0.71,
    "Exporting to ONNX": 0.08,
    "Fitting scores": 0.01,
    "Evaluating with PyTorch": 0.04,
    "Indexing the gallery": 0.02,
    "Searching with ONNX Runtime": 0.04,
}


class StageCallback(Protocol):
    """Called with the stage at work, the share of the whole that is done (0 to 1) and seconds so far."""

    def __call__(self, stage: str, share_done: float, seconds: float, /) -> None:
        """Take note of the progress."""


def no_stages(stage: str, share_done: float, seconds: float, /) -> None:
    """Report to nobody."""


@dataclass
class StageClock:
    """Runs through `STAGES` in order, reports the progress of the whole and keeps each stage's seconds."""

    report: StageCallback
    seconds: dict[str, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.perf_counter)
    _stage_began: float = 0.0
    _stage: str = ""

    def start(self, stage: str) -> ProgressCallback:
        """End the stage before, begin this one; returns its progress callback."""
        self.finish()
        self._stage, self._stage_began = stage, time.perf_counter()
        before = sum(share for name, share in STAGES.items() if name in self.seconds)

        def progress(done: int, total: int, /) -> None:
            inside = STAGES[stage] * done / max(total, 1)
            self.report(stage, before + inside, time.perf_counter() - self._began)

        progress(0, 1)
        return progress

    def finish(self) -> None:
        """End the stage at work."""
        if self._stage:
            self.seconds[self._stage] = time.perf_counter() - self._stage_began
            self._stage = ""

    @property
    def total_seconds(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._began
