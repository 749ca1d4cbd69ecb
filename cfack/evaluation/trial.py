"""The rankings of a split and what they are worth, whatever made the embeddings.

Shapes: Q queries, G gallery images, K candidates, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfack.data.annotations import Split
from cfack_runtime.metrics import QueryMetrics, query_metrics, relevance
from cfack_runtime.progress import ProgressCallback
from cfack_runtime.ranking import Candidates, official_scores, rank_all, rerank_order, similarity
from cfack_runtime.scoring import Scoring

# Rankings of one block of queries live at a time: at 20,000 images a few hundred MB.
_QUERY_BLOCK = 512


@dataclass(frozen=True)
class Trial:
    """Embeddings and identities of both sides; ranks a block of queries at a time."""

    queries: NDArray[np.float32]  # (Q, D)
    gallery: NDArray[np.float32]  # (G, D)
    query_ids: NDArray[np.int64]  # (Q,)
    gallery_ids: NDArray[np.int64]  # (G,)

    @classmethod
    def of(cls, split: Split, queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> Trial:
        """Put the embeddings (Q, D) of all captions and (G, D) of all images beside their identities."""
        ids = np.array([record.identity for record in split.records])
        captions = [len(record.captions) for record in split.records]
        return cls(queries, gallery, np.repeat(ids, captions), ids)

    def dual_encoder(self, count: int) -> tuple[QueryMetrics, Candidates]:
        """Metrics of the dual encoder, and the first `count` images of each query."""
        metrics, indices, scores = [], [], []
        for block, rankings, similarities in self._rankings():
            metrics.append(self._measure(block, rankings))
            indices.append(rankings[:, :count].copy())  # a view would keep the whole ranking
            scores.append(np.take_along_axis(similarities, indices[-1], axis=1))
        return QueryMetrics.concatenate(metrics), Candidates(np.concatenate(indices), np.concatenate(scores))

    def reranked(
        self, candidates: Candidates, logits: NDArray[np.float32], scoring: Scoring, official: bool
    ) -> QueryMetrics:
        """Metrics once the candidates are in the order that their logits (Q, K, 2) give them."""
        match_scores = scoring.ranked_by(logits.reshape(-1, 2), candidates.scores.reshape(-1))
        match_scores = match_scores.reshape(candidates.indices.shape)
        metrics = []
        for block, rankings, _ in self._rankings():
            scores = match_scores[block]
            if official:
                reordered = rank_all(official_scores(rankings, scores))
            else:
                reordered = rerank_order(rankings, scores)
            metrics.append(self._measure(block, reordered))
        return QueryMetrics.concatenate(metrics)

    def matches(self, candidates: Candidates) -> NDArray[np.bool_]:
        """Whether each candidate (Q, K) has the identity of its query."""
        return np.asarray(self.gallery_ids[candidates.indices] == self.query_ids[:, None])

    def _rankings(self) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.float32]]]:
        for start in range(0, len(self.queries), _QUERY_BLOCK):
            block = slice(start, start + _QUERY_BLOCK)
            similarities = similarity(self.queries[block], self.gallery)
            yield block, rank_all(similarities), similarities

    def _measure(self, block: slice, rankings: NDArray[np.int64]) -> QueryMetrics:
        relevant = relevance(rankings, self.query_ids[block], self.gallery_ids)
        return query_metrics(relevant, first_query=block.start)


class Stages:
    """One count of progress over several stages."""

    def __init__(self, progress: ProgressCallback, totals: tuple[int, ...]) -> None:
        self._progress = progress
        self._totals = totals

    def report(self, stage: int) -> ProgressCallback:
        """Return what one stage reports to."""
        before, total = sum(self._totals[:stage]), sum(self._totals)
        return lambda done, _of, /: self._progress(before + done, total)
