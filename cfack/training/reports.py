"""What a run tells its caller while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StepValues:
    """What one optimiser step measured: means over its micro-batches and over the processes."""

    loss: float
    terms: dict[str, float]
    gradient_norm: float
    """Over all weights, before clipping; not finite in an fp16 step that loss scaling leaves out."""


@dataclass(frozen=True)
class StepReport:
    """One optimiser step."""

    step: int
    """Optimiser steps done, this one included."""
    total_steps: int
    epoch: int
    """Counted from 1."""
    values: StepValues
    learning_rate: float
    """Of the heads; the encoders may have others."""
    images_per_second: float
    """Over all processes, since the last logged step."""


@dataclass(frozen=True)
class EvaluationReport:
    """One evaluation."""

    epoch: int
    """Epochs done."""
    r1: float
    """R@1 in percent, re-ranked if `train.rerank` is not 0."""
    is_best: bool
    """Whether these weights are the best so far."""


StepCallback = Callable[[StepReport], None]
EvaluationCallback = Callable[[EvaluationReport], None]


def no_report(report: object) -> None:
    """Report to nobody."""
