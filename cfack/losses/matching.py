"""Image-text matching with hard negatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cfack.losses.similarity import similarity_logits

_FLOOR = 1e-5
"""Added to each probability, so that the least similar candidate can be drawn too."""
_LEFT_OUT = -100
"""Label that the cross-entropy ignores."""


@dataclass(frozen=True)
class HardNegatives:
    """For each of B pairs K images that do not match its text, and K texts that do not match its image.

    Row k * B + b is the k-th negative of pair b. Where the candidates hold no other identity there is no
    negative: the index is then meaningless and `*_valid` is False.
    """

    image: Tensor
    """int64 (K * B,): row among the candidate images, for each text."""
    text: Tensor
    """int64 (K * B,): row among the candidate texts, for each image."""
    image_valid: Tensor
    """bool (K * B,)."""
    text_valid: Tensor
    """bool (K * B,)."""


@torch.no_grad()
def sample_hard_negatives(
    image: Tensor,
    text: Tensor,
    identity: Tensor,
    candidate_image: Tensor,
    candidate_text: Tensor,
    candidate_identity: Tensor,
    temperature: Tensor,
    hardness: float = 1.0,
    count: int = 1,
) -> HardNegatives:
    """Draw negatives of other identities, the similar ones more often.

    Args:
        image: (B, D) embeddings of this process.
        text: (B, D).
        identity: int64 (B,).
        candidate_image: (G, D) embeddings to draw from: this process's, or those of all processes.
        candidate_text: (G, D).
        candidate_identity: int64 (G,).
        temperature: scalar; the weight of a candidate is its softmax probability plus 1e-5.
        hardness: factor of the similarities: 1 is the method's, 0 draws uniformly.
        count: K, of each kind for each pair; several are drawn with replacement.
    """
    same = identity[:, None] == candidate_identity[None, :]  # (B, G)
    to_images = hardness * similarity_logits(text, candidate_image, temperature)
    to_texts = hardness * similarity_logits(image, candidate_text, temperature)
    negative_image, image_valid = _draw(to_images, same, count)
    negative_text, text_valid = _draw(to_texts, same, count)
    return HardNegatives(negative_image, negative_text, image_valid, text_valid)


def matching_loss(logits: Tensor, negatives: HardNegatives) -> Tensor:
    """Cross-entropy over positives and negatives, unweighted.

    Args:
        logits: (B + 2KB, 2): B matching pairs, KB pairs (text, its negative image), KB pairs (negative text,
            image).
        negatives: says which of the negative pairs exist; the others are left out of the mean.

    Returns:
        Scalar.
    """
    absent = torch.cat([_label_zero(negatives.image_valid), _label_zero(negatives.text_valid)])
    labels = torch.cat([absent.new_ones(len(logits) - len(absent)), absent])
    return F.cross_entropy(logits.float(), labels, ignore_index=_LEFT_OUT)


def _draw(logits: Tensor, excluded: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Draw K columns per row of (B, G): indices (K * B,) and whether the row had any column left."""
    # Broken embeddings shall give a loss that is NaN, not a draw that fails, on a GPU for good.
    weights = (logits.softmax(dim=1).nan_to_num(nan=1.0) + _FLOOR).masked_fill(excluded, 0.0)
    valid = ~excluded.all(dim=1)
    weights = torch.where(valid[:, None], weights, torch.ones_like(weights))
    drawn = torch.multinomial(weights, count, replacement=count > 1)  # (B, K)
    return drawn.t().flatten(), valid.repeat(count)


def _label_zero(valid: Tensor) -> Tensor:
    return torch.where(valid, 0, _LEFT_OUT)
