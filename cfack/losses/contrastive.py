"""Contrastive loss with identity soft targets."""

from __future__ import annotations

from torch import Tensor

from cfack.losses.similarity import similarity_logits


def contrastive_loss(a: Tensor, b: Tensor, targets: Tensor, temperature: Tensor) -> Tensor:
    """Cross-entropy of the similarities in both directions, halved.

    Args:
        a: (N, D) embeddings, gathered over processes where there are several.
        b: (N, D) embeddings of the other side, in the same order.
        targets: (N, N) from `identity_targets` or `diagonal_targets`; symmetric in its support.
        temperature: scalar.

    Returns:
        Scalar: `(H(targets, softmax(a b^T / t)) + H(targets, softmax(b a^T / t))) / 2`, means over rows.
    """
    logits = similarity_logits(a, b, temperature)
    forward = -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()
    backward = -(targets * logits.T.log_softmax(dim=1)).sum(dim=1).mean()
    return (forward + backward) / 2
