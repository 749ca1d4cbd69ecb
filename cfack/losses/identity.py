"""Identity classification."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor


def identity_loss(logits: Iterable[Tensor], identity: Tensor) -> Tensor:
    """Sum of the cross-entropies of several views.

    Args:
        logits: of each view (B, identities).
        identity: int64 (B,).

    Returns:
        Scalar.
    """
    return torch.stack([F.cross_entropy(view.float(), identity) for view in logits]).sum()
