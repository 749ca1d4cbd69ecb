"""Masked language modelling."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""Label of a position that does not count."""


def select_positions(hidden: Tensor, positions: Tensor) -> Tensor:
    """Pick tokens (B, M, C) at positions int64 (B, M) out of (B, T, C)."""
    return hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[-1]))


def masked_language_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the vocabulary at the masked positions.

    Args:
        logits: (B, M, V).
        labels: int64 (B, M); -100 is ignored.

    Returns:
        Scalar: the mean over what is not ignored; 0 where all is.
    """
    total = F.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / (labels != IGNORED).sum().clamp(min=1)
