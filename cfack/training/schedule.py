"""The learning rate's factor at each optimiser step: linear warm-up, then cosine or linear decay."""

from __future__ import annotations

import math

from cfack.config import ScheduleConfig


def rate_factor(step: int, total_steps: int, config: ScheduleConfig) -> float:
    """Factor of the full learning rate for one optimiser step.

    The warm-up lasts `int(warmup_fraction * total_steps)` steps and starts at 0, as in the released code;
    the decay ends at `min_rate`.

    Args:
        step: optimiser steps already done; the first step of a run has 0.
        total_steps: optimiser steps of the whole run.
        config: the kind of decay, the warm-up's share and the lowest factor.
    """
    warmup = int(config.warmup_fraction * total_steps)
    if step < warmup:
        return step / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    decayed = 0.5 * (1.0 + math.cos(math.pi * progress)) if config.name == "cosine" else 1.0 - progress
    return max(config.min_rate, decayed)
