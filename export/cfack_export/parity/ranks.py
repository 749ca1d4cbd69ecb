"""How much of one ranking is left in another.

Shapes: Q queries, G gallery images. A ranking (Q, G) holds gallery indices, best first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rankings = NDArray[np.int64]

_BLOCK = 256
"""Queries at a time: Kendall's tau compares 100 x 100 places of each."""


@dataclass(frozen=True)
class Flips:
    """Queries whose first image is another one now."""

    queries: NDArray[np.int64]
    """(F,)."""
    before: NDArray[np.int64]
    """(F,): the reference's first image."""
    after: NDArray[np.int64]
    """(F,): the first image now."""
    margins: NDArray[np.float64]
    """(F,): by how much the reference scored its own first image above the new one; NaN where it gave the
    new one no score."""


def top1_flips(reference: Rankings, got: Rankings, scores: NDArray[np.floating]) -> Flips:
    """Find the queries whose first image changed.

    A flip with a small margin is a near-tie that rounding has settled; one with a large margin is an error.

    Args:
        reference: (Q, G).
        got: (Q, G).
        scores: (Q, G) of the reference, by gallery index; NaN where it has none.
    """
    queries = np.flatnonzero(reference[:, 0] != got[:, 0])
    before, after = reference[queries, 0], got[queries, 0]
    margins = scores[queries, before].astype(np.float64) - scores[queries, after]
    return Flips(queries, before, after, margins)


def overlap_at(reference: Rankings, got: Rankings, k: int) -> NDArray[np.float64]:
    """Share of the reference's first k images that are among the first k now, per query: (Q,).

    A gallery of fewer than k images is compared to half of it: whole, it is always the same set.
    """
    k = depth(k, reference.shape[1])
    return np.asarray((_places(got, reference[:, :k]) < k).mean(axis=1))


def kendall_tau(reference: Rankings, got: Rankings, k: int) -> NDArray[np.float64]:
    """Kendall's tau of the reference's first k images in both rankings, per query: (Q,).

    1: in the same order; -1: reversed. Pairs in order less pairs out of order, over all pairs.
    """
    k = min(k, reference.shape[1])
    if k < 2:
        return np.ones(len(reference))
    taus = []
    for start in range(0, len(reference), _BLOCK):
        block = slice(start, start + _BLOCK)
        places = _places(got[block], reference[block, :k])  # (q, k), rising where the order is kept
        signs = np.sign(places[:, None, :] - places[:, :, None])  # (q, k, k)
        taus.append(np.triu(signs, 1).sum(axis=(1, 2)) / (k * (k - 1) / 2))
    return np.concatenate(taus)


def depth(k: int, gallery: int) -> int:
    """First images to compare: k, or half of a gallery that is smaller than 2k, and at least 1."""
    return max(1, min(k, gallery // 2))


def _places(rankings: Rankings, images: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each image (Q, k) stands in a ranking (Q, G), from 0."""
    places = np.empty_like(rankings)
    np.put_along_axis(places, rankings, np.broadcast_to(np.arange(rankings.shape[1]), rankings.shape), axis=1)
    return np.take_along_axis(places, images, axis=1)
