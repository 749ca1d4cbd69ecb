"""The run's metrics: `metrics.jsonl`, one JSON object a line, and TensorBoard where it is installed."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


class MetricsLog:
    """Appends records; a resumed run first cuts off what came after the state that it continues.

    Args:
        folder: the run's output folder; `metrics.jsonl` and `tensorboard/` are written there.
        resume_at: size in bytes that `metrics.jsonl` had at the saved state; 0 starts anew.
        resume_step: optimiser steps of that state.
    """

    def __init__(self, folder: Path, resume_at: int = 0, resume_step: int = 0) -> None:
        path = folder / "metrics.jsonl"
        self._file = path.open("a", encoding="utf-8")
        if path.stat().st_size > resume_at:
            os.truncate(path, resume_at)
        self._board = _tensorboard(folder / "tensorboard", resume_step)

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append one record.

        Args:
            kind: "train" or "evaluation".
            step: optimiser steps done.
            values: JSON values; numbers, also nested ones, go to TensorBoard too.
        """
        self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, number in _numbers(kind, values):
                self._board.add_scalar(name, number, step)

    def size(self) -> int:
        """Bytes of `metrics.jsonl` so far, safely on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Close both outputs."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a `metrics.jsonl`; a line that a kill cut short is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            records.append(json.loads(line))
    return records


def _tensorboard(folder: Path, resume_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.info("TensorBoard is not installed; metrics go to metrics.jsonl only")
        return None
    return SummaryWriter(folder, purge_step=resume_step + 1)


def _numbers(prefix: str, values: dict[str, Any]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _numbers(f"{prefix}/{name}", value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append((f"{prefix}/{name}", float(value)))
    return found
