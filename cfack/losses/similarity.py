"""Similarity logits and their targets, shared by the losses on embeddings.

Logits are computed in float32 even under autocast: divided by a temperature of 0.07, a cosine rounded to
bfloat16 is off by up to 0.06.
"""

from __future__ import annotations

import torch
from torch import Tensor


def similarity_logits(a: Tensor, b: Tensor, temperature: Tensor) -> Tensor:
    """Dot products over a temperature.

    Args:
        a: (N, D).
        b: (M, D).
        temperature: scalar.

    Returns:
        (N, M) float32.
    """
    with torch.autocast(a.device.type, enabled=False):
        return a.float() @ b.float().T / temperature.float()


def identity_targets(identity: Tensor) -> Tensor:
    """Probability of each candidate where all of the same identity are equally right.

    Args:
        identity: int64 (N,).

    Returns:
        (N, N) float32, each row sums to 1.
    """
    same = (identity[:, None] == identity[None, :]).float()
    return same / same.sum(dim=1, keepdim=True)


def diagonal_targets(count: int, device: torch.device) -> Tensor:
    """Targets (N, N) where only the sample's own pair is right."""
    return torch.eye(count, device=device)
