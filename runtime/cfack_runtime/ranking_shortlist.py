"""The best gallery images of a few queries, found while the gallery passes by.

Shapes: Q queries, B gallery images of a block, D embedding, K candidates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.errors import DataError
from cfack_runtime.gallery_embeddings import Block, EmbeddingParts
from cfack_runtime.ranking_products import Readers, products

_EXACT_ROWS = 8192
"""Rows scored again at a time: 16 MB in float64 at D = 256."""
_SAMPLE = 1 << 18
"""Products that give the first limit: picking from a whole million takes a twentieth of their product."""


class Shortlist:
    """The first K of each query so far, with their final scores.

    A float32 product of blocks tells which images cannot be among the first K: those that stay below the
    K-th best score found so far by more than float32 can be wrong. All others are scored exactly.

    Args:
        queries: (Q, D) float32, finite.
        gallery: where images are read that have to be scored exactly.
        k: K, at least 1.
        width: images whose products are looked through together.
        min_score: images below it are left out.
        readers: threads that read embeddings side by side; None: this one alone.
    """

    def __init__(
        self,
        queries: NDArray[np.float32],
        gallery: EmbeddingParts,
        k: int,
        width: int,
        min_score: float | None,
        readers: Readers | None = None,
    ) -> None:
        self._queries, self._exact = queries, queries.astype(np.float64)
        self._gallery, self._k, self._min_score = gallery, k, min_score
        self._readers = readers
        # A float32 dot product of D terms is off by at most D/2 eps |q||g|; two of them are compared.
        eps = np.finfo(np.float32).eps
        self._slack = queries.shape[1] * eps * np.linalg.norm(queries, axis=1)
        least = -np.inf if min_score is None else min_score
        self._limits = np.full(len(queries), least, np.float64) - self._slack
        self.places = [np.empty(0, np.int64) for _ in queries]
        """Per query, (at most K,), best first."""
        self.scores = [np.empty(0, np.float32) for _ in queries]
        # Segments may be small: their products wait here until there are enough to look through.
        self._rough = np.empty((len(queries), width), np.float32)
        self._rough_places = np.empty(width, np.int64)
        self._filled = 0

    def add(self, block: Block) -> None:
        """Take note of a block that lies behind all before it."""
        count = len(block.places)
        if self._filled + count > self._rough.shape[1]:
            self.flush()
        here = slice(self._filled, self._filled + count)
        if block.picked is None:
            products(self._queries, block.values, self._rough[:, here], self._readers)
        else:
            all_rows = np.empty((len(self._queries), len(block.values)), np.float32)
            products(self._queries, block.values, all_rows, self._readers)
            self._rough[:, here] = all_rows[:, block.picked]
        self._rough_places[here] = block.places
        self._filled += count

    def flush(self) -> None:
        """Look through the products that wait.

        Raises:
            DataError: an embedding is not finite; the message names its place.
        """
        rough = self._rough[:, : self._filled]
        places = self._rough_places[: self._filled]
        self._filled = 0
        if not rough.size:
            return
        if not np.isfinite(rough.sum(axis=1)).all():
            self._require_finite(rough, places)
        if rough.shape[1] > self._k:
            for row in range(len(rough)):
                if len(self.places[row]) < self._k:  # nothing is known yet that could be a limit
                    # The k-th best of some is no better than the k-th best of all.
                    kth = np.partition(rough[row, : max(_SAMPLE, self._k)], -self._k)[-self._k]
                    self._limits[row] = max(self._limits[row], float(kth) - self._slack[row])
        for row in np.flatnonzero(rough.max(axis=1) >= self._limits).tolist():
            self._merge(row, places[rough[row] >= self._limits[row]])

    def _merge(self, row: int, places: NDArray[np.int64]) -> None:
        """Score images exactly and keep the first K of them and those before; ties go by place."""
        for start in range(0, len(places), _EXACT_ROWS):
            new = places[start : start + _EXACT_ROWS]
            # einsum adds each row up in the same order, however many rows there are.
            exact = np.einsum("gd,d->g", self._gallery.rows(new).astype(np.float64), self._exact[row])
            scores = exact.astype(np.float32)
            if self._min_score is not None:
                new, scores = new[scores >= self._min_score], scores[scores >= self._min_score]
            together = np.concatenate([self.scores[row], scores])
            best = np.argsort(-together, kind="stable")[: self._k]
            self.places[row] = np.concatenate([self.places[row], new])[best]
            self.scores[row] = together[best]
        if len(self.scores[row]) == self._k:
            kth = float(self.scores[row][-1])
            self._limits[row] = max(self._limits[row], kth - self._slack[row])

    def _require_finite(self, rough: NDArray[np.float32], places: NDArray[np.int64]) -> None:
        bad = np.flatnonzero(~np.isfinite(rough).all(axis=0))
        if len(bad):
            raise DataError(
                f"the embedding of gallery image {places[bad[0]]} is not finite; encode it again (cfack "
                "gallery verify finds all damage)"
            )
