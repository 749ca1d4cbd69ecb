"""Complete feature aggregation over two encoders and their momentum copies, and knowledge conversion."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor

PairLoss = Callable[[Tensor, Tensor], Tensor]
"""A symmetric loss of two sets of embeddings (N, D)."""


def complete_aggregation(
    pair_loss: PairLoss, image: Tensor, text: Tensor, momentum_image: Tensor, momentum_text: Tensor
) -> Tensor:
    """Mean of the losses of all six pairs among the four sets of embeddings, each (N, D)."""
    pairs = combinations((image, text, momentum_image, momentum_text), 2)
    return torch.stack([pair_loss(a, b) for a, b in pairs]).mean()


def with_knowledge_conversion(pairs: Tensor, num_pairs: int, conversion: Tensor, weight: float) -> Tensor:
    """Add the term of the CNN branch to the mean of the pairs.

    Args:
        pairs: scalar, the mean loss of `num_pairs` pairs.
        num_pairs: 6 with momentum encoders, 1 without.
        conversion: scalar, the loss between images and the CNN's embeddings of them.
        weight: of that loss beside one pair.

    Returns:
        Scalar: the mean of all, weighted; `(sum of six + 0.5 * conversion) / 6.5` as published.
    """
    return (num_pairs * pairs + weight * conversion) / (num_pairs + weight)
