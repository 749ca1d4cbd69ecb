"""Retrieval metrics as pure functions of rankings.

Queries are captions, the gallery is every image of the split, and an image is relevant to a caption if
both show the same identity. docs/metrics.md defines each figure.

Shapes: Q queries, G gallery images. All functions work on blocks of queries too:
`QueryMetrics.concatenate` puts the blocks together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.errors import DataError, UsageError


@dataclass(frozen=True)
class QueryMetrics:
    """What one ranking is worth, per query."""

    first_hit: NDArray[np.int64]
    """(Q,): rank of the first relevant image, from 1."""
    average_precision: NDArray[np.float64]
    """(Q,): mean over the relevant images of the precision at their rank."""
    inverse_penalty: NDArray[np.float64]
    """(Q,): relevant images / rank of the last of them."""

    @classmethod
    def concatenate(cls, blocks: Sequence[QueryMetrics]) -> QueryMetrics:
        """Put blocks of queries one after the other."""
        return cls(
            np.concatenate([block.first_hit for block in blocks]),
            np.concatenate([block.average_precision for block in blocks]),
            np.concatenate([block.inverse_penalty for block in blocks]),
        )


@dataclass(frozen=True)
class RetrievalMetrics:
    """Means over all queries, in percent."""

    r1: float
    """R@1: queries whose first image is relevant."""
    r5: float
    """R@5: queries with a relevant image among the first 5."""
    r10: float
    """R@10: queries with a relevant image among the first 10."""
    mean_ap: float
    """mAP: mean average precision, not interpolated."""
    mean_inp: float
    """mINP: mean inverse negative penalty."""


def relevance(
    rankings: NDArray[np.int64], query_ids: NDArray[np.integer[Any]], gallery_ids: NDArray[np.integer[Any]]
) -> NDArray[np.bool_]:
    """Mark the relevant images in rank order.

    Args:
        rankings: (Q, G) gallery indices, best first.
        query_ids: (Q,) identity of each query.
        gallery_ids: (G,) identity of each gallery image.

    Returns:
        (Q, G): whether the image at each rank shows the query's identity.

    Raises:
        UsageError: the shapes do not fit.
    """
    if rankings.shape != (len(query_ids), len(gallery_ids)):
        raise UsageError(
            f"rankings {rankings.shape} do not fit {len(query_ids)} queries and {len(gallery_ids)} images"
        )
    return np.asarray(gallery_ids[rankings] == query_ids[:, None])


def query_metrics(relevant: NDArray[np.bool_], first_query: int = 0) -> QueryMetrics:
    """Measure each query's ranking.

    Average precision is (1/R) sum over the relevant ranks j of (relevant images up to j) / j, and the
    inverse negative penalty R / (rank of the last relevant image), with R relevant images and ranks
    from 1.

    Args:
        relevant: (Q, G) in rank order, as `relevance` gives it.
        first_query: index of the first of these queries, for messages.

    Raises:
        DataError: a query has no relevant image in the gallery; the message names its index.
    """
    counts = relevant.sum(axis=1)
    if not counts.all():
        query = first_query + int(np.flatnonzero(counts == 0)[0])
        raise DataError(
            f"query {query} has no image of its identity in the gallery, so it cannot be measured; "
            "leave it out or add the image"
        )
    places = np.arange(1, relevant.shape[1] + 1)
    precision = relevant.cumsum(axis=1) / places  # (Q, G)
    last_hit = relevant.shape[1] - relevant[:, ::-1].argmax(axis=1)
    return QueryMetrics(
        first_hit=relevant.argmax(axis=1) + 1,
        average_precision=(precision * relevant).sum(axis=1) / counts,
        inverse_penalty=counts / last_hit,
    )


def recall_at(metrics: QueryMetrics, k: int) -> float:
    """R@k in percent: the share of queries with a relevant image among the first k."""
    _require_queries(metrics)
    return float(100 * np.mean(metrics.first_hit <= k))


def summarize(metrics: QueryMetrics) -> RetrievalMetrics:
    """Average over the queries, in percent.

    Raises:
        DataError: there are no queries.
    """
    return RetrievalMetrics(
        r1=recall_at(metrics, 1),
        r5=recall_at(metrics, 5),
        r10=recall_at(metrics, 10),
        mean_ap=float(100 * metrics.average_precision.mean()),
        mean_inp=float(100 * metrics.inverse_penalty.mean()),
    )


def _require_queries(metrics: QueryMetrics) -> None:
    if not len(metrics.first_hit):
        raise DataError("there are no queries to measure; the split holds no captions")
