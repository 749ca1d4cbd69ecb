"""Similarity distribution matching (Jiang and Ye, IRRA, CVPR 2023)."""

from __future__ import annotations

from torch import Tensor

from cfack.losses.similarity import similarity_logits

_EPSILON = 1e-8
"""Keeps the logarithm of a zero target finite."""


def sdm_loss(a: Tensor, b: Tensor, targets: Tensor, temperature: Tensor) -> Tensor:
    """Divergence of the predicted from the true distribution of matches, both directions summed.

    Args:
        a: (N, D) L2-normalised embeddings, gathered over processes where there are several.
        b: (N, D) of the other side, in the same order.
        targets: (N, N), each row sums to 1.
        temperature: scalar; no gradient flows to it.

    Returns:
        Scalar: `KL(softmax(a b^T / t) || targets + 1e-8)`, mean over rows, plus the same of `b a^T`.
    """
    logits = similarity_logits(a, b, temperature.detach())
    log_targets = (targets + _EPSILON).log()
    return _divergence(logits, log_targets) + _divergence(logits.T, log_targets)


def _divergence(logits: Tensor, log_targets: Tensor) -> Tensor:
    log_predicted = logits.log_softmax(dim=1)
    return (log_predicted.exp() * (log_predicted - log_targets)).sum(dim=1).mean()
