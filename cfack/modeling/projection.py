"""From tokens to the embedding space that both encoders share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def embed(projection: nn.Module, tokens: Tensor) -> Tensor:
    """Project token 0 of (B, S, C) and L2-normalise it in float32.

    Returns:
        (B, D) float32.
    """
    return F.normalize(projection(tokens[:, 0]).float(), dim=-1)
