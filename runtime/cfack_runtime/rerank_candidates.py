"""Match scores of the candidates of many queries, each pair the cheapest way.

Shapes: Q queries, K candidates, T text tokens, C token width, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.encoders import EncodedTexts, length_buckets
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.rerank import Reranker
from cfack_runtime.rerank_plan import PairCost, Pairs, Plan, plan_pairs
from cfack_runtime.rerank_tokens import read_ahead

ReadTokens = Callable[[NDArray[np.int64]], NDArray[Any]]
"""Places (K,) in the gallery -> image tokens (K, 1+N, C)."""

_TEXT_BATCH = 64


def match_candidates(
    reranker: Reranker,
    texts: EncodedTexts,
    candidates: Sequence[NDArray[np.int64]],
    read_tokens: ReadTokens,
    cost: PairCost,
    *,
    progress: ProgressCallback = no_progress,
) -> list[NDArray[np.float32]]:
    """Match every query with each of its candidates.

    An image that enough queries share is read once, and its keys and values are computed once for all of
    them; other pairs go query by query. Both give the same logits up to rounding.

    Args:
        reranker: scores pairs.
        texts: the Q queries.
        candidates: (K,) places in the gallery for each query; K may differ.
        read_tokens: reads image tokens; at most two batches of them are in memory.
        cost: of the re-ranker's pairs.
        progress: counts pairs.

    Returns:
        For each query (K, 2), aligned with its candidates.
    """
    pairs = Pairs.of(candidates)
    lengths = texts.mask.sum(axis=1)
    pay = cost.texts_that_pay(float(lengths.mean())) if reranker.shares_images else float("inf")
    work = _Work(
        reranker,
        texts,
        lengths,
        pairs,
        read_tokens,
        cost.per_call,
        np.empty((len(pairs.images), 2), np.float32),
        progress,
    )
    work.run(plan_pairs(pairs, pay))
    return np.split(work.logits, np.cumsum([len(places) for places in candidates])[:-1])


@dataclass
class _Work:
    reranker: Reranker
    texts: EncodedTexts
    lengths: NDArray[np.int64]
    pairs: Pairs
    read_tokens: ReadTokens
    batch: int
    logits: NDArray[np.float32]  # (P, 2)
    progress: ProgressCallback
    done: int = 0

    def run(self, plan: Plan) -> None:
        chunks = [plan.by_image[i : i + self.batch] for i in range(0, len(plan.by_image), self.batch)]
        for groups, tokens in read_ahead(chunks, self._read_images):
            for group, image in zip(groups, tokens, strict=True):
                self._match_image(group, image[None])
        parts = [
            group[i : i + self.batch] for group in plan.by_query for i in range(0, len(group), self.batch)
        ]
        for part, tokens in read_ahead(parts, self._read):
            text = slice(row := int(self.pairs.queries[part[0]]), row + 1)
            self._match(part, text, int(self.lengths[row]), tokens, self.batch)

    def _read_images(self, groups: list[NDArray[np.int64]]) -> NDArray[Any]:
        return self._read(np.array([group[0] for group in groups]))

    def _read(self, places: NDArray[np.int64]) -> NDArray[Any]:
        return self.read_tokens(self.pairs.images[places])

    def _match_image(self, group: NDArray[np.int64], image: NDArray[Any]) -> None:
        """Match one image (1, 1+N, C) with the texts of a group, those of similar length together."""
        for bucket in length_buckets(self.lengths[self.pairs.queries[group]], _TEXT_BATCH):
            chosen = group[bucket]
            rows = self.pairs.queries[chosen]
            self._match(chosen, rows, int(self.lengths[rows].max()), image, _TEXT_BATCH)

    def _match(
        self,
        chosen: NDArray[np.int64],
        rows: slice | NDArray[np.int64],
        longest: int,
        images: NDArray[Any],
        batch: int,
    ) -> None:
        tokens, mask = self.texts.tokens[rows, :longest], self.texts.mask[rows, :longest]
        self.logits[chosen] = self.reranker.match(tokens, mask, images, batch)
        self.done += len(chosen)
        self.progress(self.done, len(self.logits))
