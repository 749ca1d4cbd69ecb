"""What each precision may differ by: the one table, explained row by row in `docs/parity.md`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cfack_runtime.errors import UsageError

FP32, FP16, INT8, INT8_CPU = "fp32", "fp16", "int8", "int8-cpu"

QUANTIZED = (INT8, INT8_CPU)
"""Precisions whose rounding is coarse enough that a user decides how much retrieval it may cost."""

DEFAULT_MAX_DROP = 0.5
"""Points of R@1."""


@dataclass(frozen=True)
class Limits:
    """The limits of one precision; `docs/parity.md` gives the reason for each.

    Errors are the largest difference, divided by the largest expected value where that is above 1.
    """

    embedding_error: float
    """Embeddings, in the cases."""
    token_error: float
    """Image and text tokens, in the cases."""
    logit_error: float
    """Match logits, in the cases: the re-ranker alone, given the reference's tokens."""
    case_cosine: float
    """Lowest cosine of an embedding with the reference's, in the cases."""
    batch_error: float
    """A row beside others against the same row alone, in the same graph."""
    padding_error: float
    """A row with garbage in its padded slots against the same call with a clean one."""
    split_cosine: float
    """Lowest cosine of an embedding with the reference's, on the split."""
    split_logit_error: float
    """Match logits on the split, with the precision's own tokens, relative to the largest."""
    dual_flip_margin: float
    """Cosine by which the reference preferred the first image of a query that now has another."""
    reranked_flip_margin: float
    """The same after re-ranking, as a share of the spread of match logits."""
    top10_overlap: float
    """Mean share of the reference's first 10 images that are still among the first 10."""
    top100_overlap: float
    """The same of the first 100."""
    kendall_tau: float
    """Mean Kendall tau of the reference's first 100 images."""
    r1_drop: float
    """Points of R@1 that may be lost, dual encoder and re-ranked each."""
    map_drop: float
    """Points of mAP that may be lost, each."""


_INT8 = Limits(
    embedding_error=0.15,
    token_error=0.3,
    logit_error=0.3,
    case_cosine=0.95,
    batch_error=2e-2,
    padding_error=1e-6,
    split_cosine=0.98,
    split_logit_error=0.25,
    dual_flip_margin=0.06,
    reranked_flip_margin=0.75,
    top10_overlap=0.85,
    top100_overlap=0.93,
    kendall_tau=0.8,
    r1_drop=DEFAULT_MAX_DROP,
    map_drop=DEFAULT_MAX_DROP,
)

LIMITS: Mapping[str, Limits] = {
    FP32: Limits(
        embedding_error=2e-5,
        token_error=1e-4,
        logit_error=1e-4,
        case_cosine=0.99999,
        batch_error=2e-5,
        padding_error=1e-6,
        split_cosine=0.99999,
        split_logit_error=2e-3,
        dual_flip_margin=1e-5,
        reranked_flip_margin=5e-3,
        top10_overlap=0.995,
        top100_overlap=0.995,
        kendall_tau=0.995,
        r1_drop=0.1,
        map_drop=0.1,
    ),
    FP16: Limits(
        embedding_error=5e-3,
        token_error=1e-2,
        logit_error=1e-2,
        case_cosine=0.9999,
        batch_error=5e-3,
        padding_error=1e-6,
        split_cosine=0.9999,
        split_logit_error=2e-2,
        dual_flip_margin=3e-3,
        reranked_flip_margin=0.03,
        top10_overlap=0.98,
        top100_overlap=0.99,
        kendall_tau=0.98,
        r1_drop=0.2,
        map_drop=0.2,
    ),
    INT8: _INT8,
    INT8_CPU: _INT8,
}


def limits_for(precision: str, max_drop: float | None = None) -> Limits:
    """The limits of a precision.

    Args:
        precision: its name.
        max_drop: points of R@1 that it may lose. It loosens quantised precisions only; the others it can
            make stricter.

    Raises:
        UsageError: there are none for such a precision, or `max_drop` is negative or no number.
    """
    if precision not in LIMITS:
        raise UsageError(f"no parity limits for precision {precision!r}; known: {', '.join(LIMITS)}")
    limits = LIMITS[precision]
    if max_drop is None:
        return limits
    if not 0 <= max_drop < math.inf:
        raise UsageError(f"max_drop is {max_drop}, expected points of R@1 from 0 on")
    if precision in QUANTIZED:
        return replace(limits, r1_drop=max_drop, map_drop=max(max_drop, limits.map_drop))
    return replace(limits, r1_drop=min(max_drop, limits.r1_drop))


def coarser(a: Limits, b: Limits) -> Limits:
    """Of two precisions' limits those that allow more."""
    return a if a.split_cosine <= b.split_cosine else b
