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

FloatArray = NDArray[np.floating[Any]]

OFFICIAL_FILL = -100.0
"""What the released evaluation gives every image that was not re-ranked."""

_QUERY_BLOCK = 256
_GALLERY_BLOCK = 65_536


@dataclass(frozen=True)
class Candidates:
    """The best gallery images of each query, best first."""

    indices: NDArray[np.int64]
    """(Q, K): places in the gallery."""
    scores: NDArray[np.float32]
    """(Q, K): their scores, falling along a row."""


def similarity(queries: FloatArray, gallery: FloatArray) -> NDArray[np.float32]:
    """Dot products of every query (Q, D) with every gallery image (G, D), as (Q, G).

    For embeddings of unit length these are cosines.

    Raises:
        UsageError: the shapes do not fit.
    """
    _require_same_width(queries, gallery)
    return (queries.astype(np.float64) @ gallery.astype(np.float64).T).astype(np.float32)


def top_k(queries: FloatArray, gallery: FloatArray, k: int) -> Candidates:
    """Find the k best gallery images of each query, by dot product; ties go by gallery order.

    A float32 product in blocks picks all that can be among the first k, and these are scored again as in
    `similarity`. Memory does not grow with the gallery, which may be a memory-mapped file.

    Args:
        queries: (Q, D), finite.
        gallery: (G, D), finite, of any float type. Rows are taken to be no longer than a unit vector; of
            longer ones, near-ties at place k may be settled by float32 rounding.
        k: at least 1; a gallery of fewer images gives them all.

    Raises:
        UsageError: the shapes do not fit, or k is not positive.
        DataError: an embedding is not finite.
    """
    _require_same_width(queries, gallery)
    if k < 1:
        raise UsageError(f"k must be at least 1, got {k}")
    k = min(k, len(gallery))
    indices = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    for start in range(0, len(queries), _QUERY_BLOCK):
        block = np.asarray(queries[start : start + _QUERY_BLOCK], dtype=np.float32)
        for row, (places, values) in enumerate(_shortlists(block, gallery, k, start), start):
            best = np.argsort(-values, kind="stable")[:k]
            indices[row], scores[row] = places[best], values[best]
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


def _shortlists(
    queries: NDArray[np.float32], gallery: FloatArray, k: int, first_query: int
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Per query, in gallery order, every image that can be among its first k, with its final score."""
    places: list[list[NDArray[np.int64]]] = [[] for _ in queries]
    values: list[list[NDArray[np.float32]]] = [[] for _ in queries]
    # A float32 dot product of D terms is off by at most D/2 eps |q||g|; two of them are compared.
    slack = queries.shape[1] * np.finfo(np.float32).eps * np.linalg.norm(queries, axis=1)
    exact = queries.astype(np.float64)
    for start in range(0, len(gallery), _GALLERY_BLOCK):
        block = np.asarray(gallery[start : start + _GALLERY_BLOCK], dtype=np.float32)
        rough = queries @ block.T
        _require_finite(rough, queries, first_query, start)
        threshold = _kth_best(rough, k) - slack
        for row in range(len(queries)):
            chosen = np.flatnonzero(rough[row] >= threshold[row])
            # einsum adds each row up in the same order, however many rows there are.
            score = np.einsum("gd,d->g", block[chosen].astype(np.float64), exact[row])
            places[row].append(chosen + start)
            values[row].append(score.astype(np.float32))
    empty = (np.empty(0, np.int64), np.empty(0, np.float32))
    return [
        (np.concatenate([empty[0], *p]), np.concatenate([empty[1], *v]))
        for p, v in zip(places, values, strict=True)
    ]


def _kth_best(scores: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """The k-th largest value of each row, or the smallest where there are fewer."""
    place = max(scores.shape[1] - k, 0)
    return np.asarray(np.partition(scores, place, axis=1)[:, place])


def _require_same_width(queries: FloatArray, gallery: FloatArray) -> None:
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


def _require_finite(
    scores: NDArray[np.float32], queries: NDArray[np.float32], first_query: int, first_image: int
) -> None:
    if np.isfinite(scores).all():
        return
    row, column = np.argwhere(~np.isfinite(scores))[0]
    if not np.isfinite(queries[row]).all():
        raise DataError(f"the embedding of query {first_query + row} is not finite; the model is broken")
    raise DataError(f"the embedding of gallery image {first_image + column} is not finite; encode it again")
