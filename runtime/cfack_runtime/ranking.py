"""Exact rankings, the same whatever the batch.

Matrix products round differently with the shape of the batch: one query alone and the same query among
64 get scores that differ in the last bits, and so do two equal images in one gallery. What ranks here is
therefore computed in float64 and rounded to float32, so that equal embeddings tie, ties go by gallery
order, and a query finds the same whether it is asked alone or with others.

Shapes: Q queries, G gallery images, D embedding, K candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.gallery_embeddings import EmbeddingParts
from cfack_runtime.ranking_products import readers
from cfack_runtime.ranking_shortlist import Shortlist

FloatArray = NDArray[np.floating[Any]]

OFFICIAL_FILL = -100.0
"""What the released evaluation gives every image that was not re-ranked."""

_QUERY_BLOCK = 256
_FEW_QUERIES = 8
_SCORES = 4 << 20
"""Scores looked through together: 16 MB."""
_BLOCK = 65_536
"""Gallery images of one product, 64 MB in float32 at D = 256; fewer where there are many queries."""


@dataclass(frozen=True)
class Candidates:
    """The best gallery images of each query, best first."""

    indices: NDArray[np.int64]
    """(Q, K): places in the gallery; -1 where `min_score` left fewer than K."""
    scores: NDArray[np.float32]
    """(Q, K): their scores, falling along a row; minus infinity where the index is -1."""

    def found(self, query: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Places and scores of one query, without the -1 at the end."""
        count = int((self.indices[query] >= 0).sum())
        return self.indices[query, :count], self.scores[query, :count]


def similarity(queries: FloatArray, gallery: FloatArray) -> NDArray[np.float32]:
    """Dot products of every query (Q, D) with every gallery image (G, D), as (Q, G).

    For embeddings of unit length these are cosines.

    Raises:
        UsageError: the shapes do not fit.
    """
    _require_same_width(queries, gallery)
    return (queries.astype(np.float64) @ gallery.astype(np.float64).T).astype(np.float32)


def top_k(
    queries: FloatArray,
    gallery: FloatArray | EmbeddingParts,
    k: int,
    *,
    rows: NDArray[np.int64] | None = None,
    min_score: float | None = None,
) -> Candidates:
    """Find the k best gallery images of each query, by dot product; ties go by gallery order.

    A float32 product in blocks picks all that can be among the first k, and these are scored again as in
    `similarity`. Memory does not grow with the gallery, which may be memory-mapped.

    Args:
        queries: (Q, D), finite.
        gallery: (G, D), finite, of any float type. Rows are taken to be no longer than a unit vector; of
            longer ones, near-ties at place k may be settled by float32 rounding.
        k: at least 1; fewer images give them all.
        rows: the places that may be found, ascending, each once, as `Gallery.select` gives them; None: all.
        min_score: images that score less are left out.

    Raises:
        UsageError: the shapes do not fit, k is not positive, or rows are no ascending places.
        DataError: an embedding is not finite.
    """
    _require_same_width(queries, gallery)
    if k < 1:
        raise UsageError(f"k must be at least 1, got {k}")
    if rows is not None:
        _require_places(rows, len(gallery))
    if not np.isfinite(queries).all():
        row = int(np.argwhere(~np.isfinite(queries))[0][0])
        raise DataError(f"the embedding of query {row} is not finite; the model is broken")
    parts = gallery if isinstance(gallery, EmbeddingParts) else EmbeddingParts.of(gallery)
    k = min(k, len(parts) if rows is None else len(rows))
    indices = np.full((len(queries), k), -1, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    for start in range(0, len(queries) if k else 0, _QUERY_BLOCK):
        block = np.asarray(queries[start : start + _QUERY_BLOCK], dtype=np.float32)
        shortlist = _shortlist(block, parts, k, rows, min_score)
        for row, (places, values) in enumerate(zip(shortlist.places, shortlist.scores, strict=True), start):
            indices[row, : len(places)], scores[row, : len(places)] = places, values
    return Candidates(indices, scores)


def rank_all(scores: FloatArray) -> NDArray[np.int64]:
    """Order the gallery for each query: (Q, G) scores to (Q, G) gallery indices, best first.

    Ties go by gallery order.

    Raises:
        DataError: a score is NaN.
    """
    if np.isnan(scores).any():
        query, image = np.argwhere(np.isnan(scores))[0]
        raise DataError(f"the score of query {query} and gallery image {image} is NaN; the model is broken")
    return np.argsort(-scores, axis=1, kind="stable")


def rerank_order(rankings: NDArray[np.int64], match_scores: FloatArray) -> NDArray[np.int64]:
    """Put the first K of each ranking in the order of their match scores.

    Equal match scores keep the order that they had, and so does the tail behind the K.

    Args:
        rankings: (Q, G) gallery indices, best first; or the first L >= K of them.
        match_scores: (Q, K), aligned with the first K columns.

    Returns:
        New rankings, of the shape of `rankings`.

    Raises:
        UsageError: the shapes do not fit.
        DataError: a match score is NaN.
    """
    count = _require_match_shape(rankings, match_scores)
    reranked = rankings.copy()
    reranked[:, :count] = np.take_along_axis(rankings[:, :count], rank_all(match_scores), axis=1)
    return reranked


def official_scores(rankings: NDArray[np.int64], match_scores: FloatArray) -> NDArray[np.float32]:
    """The score matrix of the released evaluation: match scores, and -100 everywhere else.

    `rank_all` of it leaves the tail in gallery order, which the released code leaves to chance.

    Args:
        rankings: (Q, G) gallery indices, best first.
        match_scores: (Q, K), aligned with the first K columns.

    Returns:
        (Q, G), by gallery index.

    Raises:
        UsageError: the shapes do not fit.
    """
    count = _require_match_shape(rankings, match_scores)
    scores = np.full(rankings.shape, OFFICIAL_FILL, dtype=np.float32)
    np.put_along_axis(scores, rankings[:, :count], match_scores.astype(np.float32), axis=1)
    return scores


def _shortlist(
    queries: NDArray[np.float32],
    gallery: EmbeddingParts,
    k: int,
    rows: NDArray[np.int64] | None,
    min_score: float | None,
) -> Shortlist:
    width = max(min(_SCORES // len(queries), len(gallery)), 1)
    # Copying a scattered row takes as long as multiplying 30 that lie together, or 4 by many queries.
    sparse = 30 if len(queries) < _FEW_QUERIES else 4
    with readers(len(queries), gallery.byte_count) as threads:
        shortlist = Shortlist(queries, gallery, k, width, min_score, threads)
        for block in gallery.blocks(min(_BLOCK, width), rows, sparse=sparse):
            shortlist.add(block)
        shortlist.flush()
    return shortlist


def _require_places(rows: NDArray[np.int64], count: int) -> None:
    rows = np.asarray(rows)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise UsageError(f"rows are {rows.dtype} {rows.shape}, expected a list of places")
    if len(rows) and (rows[0] < 0 or rows[-1] >= count or (np.diff(rows) <= 0).any()):
        raise UsageError(f"rows must be ascending places of a gallery of {count}, each once")


def _require_same_width(queries: FloatArray, gallery: FloatArray | EmbeddingParts) -> None:
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise UsageError(
            f"queries {queries.shape} and gallery {gallery.shape} must be matrices of embeddings of one width"
        )


def _require_match_shape(rankings: NDArray[np.int64], match_scores: FloatArray) -> int:
    """Return K."""
    if (
        rankings.ndim != 2
        or match_scores.ndim != 2
        or len(rankings) != len(match_scores)
        or match_scores.shape[1] > rankings.shape[1]
    ):
        raise UsageError(
            f"match scores {match_scores.shape} do not fit rankings {rankings.shape}: "
            "expected (Q, K) beside (Q, G) with K <= G"
        )
    return int(match_scores.shape[1])
