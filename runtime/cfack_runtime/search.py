"""Two-stage search: the dual encoder ranks the whole gallery, the re-ranker its first candidates.

Shapes: Q queries, K candidates.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.encoders import EncodedTexts, TextEncoder
from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.filters import Where
from cfack_runtime.gallery import Gallery
from cfack_runtime.hits import Hit, at_least
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.ranking import Candidates, rank_all, top_k
from cfack_runtime.rerank import Reranker
from cfack_runtime.rerank_candidates import match_candidates
from cfack_runtime.rerank_plan import PairCost
from cfack_runtime.rerank_tokens import TokenCache
from cfack_runtime.scoring import Scoring
from cfack_runtime.tokenizer import CaptionTokenizer, EncodedCaptions

_log = logging.getLogger(__name__)

DEFAULT_RERANK = 128
"""Candidates that the re-ranker scores, if nothing else is asked for."""

QUERY_BLOCK = 1024
"""Queries searched together: the more, the more of them share an image. Their tokens take 126 MB at most."""

_EMPTY_QUERY = 2  # [CLS] and [SEP]


@dataclass(frozen=True)
class Parts:
    """What a search is carried out with."""

    text_encoder: TextEncoder
    reranker: Reranker
    cost: PairCost
    cache: TokenCache


@dataclass(frozen=True)
class Request:
    """What is asked for; `Retriever.search_many` says what each means."""

    k: int
    rerank: int | Sequence[int] | None
    min_score: float | None
    where: Where | None
    scoring: Scoring

    def depths(self, gallery: Gallery, queries: int) -> list[int]:
        """Candidates to re-rank for each query.

        Raises:
            UsageError: k or a number of candidates is out of range, or there are not as many as queries.
        """
        if self.k < 1:
            raise UsageError(f"k must be at least 1, got {self.k}")
        if self.rerank is None or isinstance(self.rerank, int):
            default = DEFAULT_RERANK if gallery.has_tokens else 0
            depths = [default if self.rerank is None else self.rerank] * queries
        else:
            depths = [int(depth) for depth in self.rerank]
        if len(depths) != queries:
            raise UsageError(f"rerank has {len(depths)} numbers for {queries} queries; give one, or one each")
        if any(depth < 0 for depth in depths):
            raise UsageError(f"rerank must be 0 (no re-ranking) or more, got {min(depths)}")
        return depths


class Search:
    """A search whose queries are sound and tokenized; nothing has run yet.

    Args:
        gallery: what to search.
        queries: Q sentences.
        parts: what runs.
        request: what is asked for.

    Raises:
        UsageError: `queries` are no strings, or the request is out of range.
        DataError: a query is empty; the message names its index.
    """

    def __init__(self, gallery: Gallery, queries: Sequence[str], parts: Parts, request: Request) -> None:
        _require_strings(queries)
        self._gallery = gallery
        self._parts = parts
        self._request = request
        self._depths = request.depths(gallery, len(queries))
        self._rows = gallery.select(request.where)
        self._captions = _tokenize(parts.text_encoder.tokenizer, queries)

    def stages(self) -> Iterator[list[list[Hit]]]:
        """Yield the dual encoder's lists, unfiltered by score if re-ranked ones follow; then those."""
        texts, candidates = self._candidates(slice(0, len(self._depths)))
        reranks = any(self._depths)
        yield [self._finish(self._hits(candidates, row, None), not reranks) for row in range(len(texts.mask))]
        if reranks:
            yield self._rerank(texts, candidates, self._depths, no_progress)

    def run(self, progress: ProgressCallback) -> list[list[Hit]]:
        """Return the final lists, a block of queries at a time."""
        found: list[list[Hit]] = []
        total = len(self._depths)
        for start in range(0, total, QUERY_BLOCK):
            depths = self._depths[start : start + QUERY_BLOCK]
            texts, candidates = self._candidates(slice(start, start + QUERY_BLOCK))
            share = _share(progress, start, len(depths), total)
            found += self._rerank(texts, candidates, depths, share)
            progress(len(found), total)
        return found

    def _candidates(self, block: slice) -> tuple[EncodedTexts, Candidates]:
        captions = EncodedCaptions(self._captions.input_ids[block], self._captions.attention_mask[block])
        texts = self._parts.text_encoder.encode_ids(captions)
        depth = max(self._request.k, *self._depths[block])
        return texts, top_k(texts.embedding, self._gallery.embeddings, depth, rows=self._rows)

    def _rerank(
        self, texts: EncodedTexts, candidates: Candidates, depths: Sequence[int], progress: ProgressCallback
    ) -> list[list[Hit]]:
        places = [row[:depth] for row, depth in zip(candidates.indices, depths, strict=True)]
        parts = self._parts
        if any(depths):
            logits = match_candidates(
                parts.reranker,
                texts,
                places,
                lambda wanted: parts.cache.read(self._gallery, wanted),
                parts.cost,
                progress=progress,
            )
        else:
            logits = [np.empty((0, 2), np.float32)] * len(depths)
        return [self._finish(self._hits(candidates, row, logits[row]), True) for row in range(len(depths))]

    def _finish(self, hits: list[Hit], final: bool) -> list[Hit]:
        wanted = self._request.min_score
        return (at_least(hits, wanted) if final and wanted is not None else hits)[: self._request.k]

    def _hits(self, candidates: Candidates, row: int, logits: NDArray[np.float32] | None) -> list[Hit]:
        """Order candidates by what the re-ranker says, and keep what lies behind them in its order."""
        places, scores = candidates.indices[row], candidates.scores[row]
        if logits is None:
            logits = np.empty((0, 2), np.float32)
        scoring, cosines = self._request.scoring, scores[: len(logits)]
        order = [
            *rank_all(scoring.ranked_by(logits, cosines)[None])[0],
            *range(len(logits), len(places)),
        ]
        if self._request.min_score is None:
            order = order[: self._request.k]  # no more are looked up than asked for
        shown = scoring.match_scores(logits, cosines)
        hits = []
        for rank, i in enumerate(order, 1):
            image = self._gallery.images[int(places[i])]
            hits.append(
                Hit(
                    path=self._gallery.root / image.path,
                    score=float(scores[i]),
                    match_score=float(shown[i]) if i < len(logits) else None,
                    match_logit=float(logits[i, 1]) if i < len(logits) else None,
                    rank=rank,
                    metadata=image.metadata,
                )
            )
        return hits


def _tokenize(tokenizer: CaptionTokenizer, queries: Sequence[str]) -> EncodedCaptions:
    """Turn all queries into ids, so that a bad one is refused before anything runs."""
    captions = tokenizer.encode(queries)
    lengths = captions.attention_mask.sum(axis=1)
    for index in np.flatnonzero(lengths == _EMPTY_QUERY).tolist():
        raise DataError(f"query {index}, {queries[index]!r}, holds no word; describe a person")
    full = np.flatnonzero(lengths == tokenizer.max_tokens)
    if len(full):
        _log.warning(
            "%d of %d queries fill the %d word pieces that the model reads, query %d the first; "
            "what follows in them is ignored",
            len(full),
            len(queries),
            tokenizer.max_tokens,
            full[0],
        )
    return captions


def _share(progress: ProgressCallback, before: int, queries: int, total: int) -> ProgressCallback:
    """Count pairs of a block as the queries that they make up; the last is counted by the block."""
    return lambda done, of, /: progress(before + min(queries * done // of, queries - 1), total)


def _require_strings(queries: Sequence[str]) -> None:
    if isinstance(queries, str):
        raise UsageError("queries is one string; give a list of strings")
    for index, query in enumerate(queries):
        if not isinstance(query, str):
            raise UsageError(f"query {index} is a {type(query).__name__}, expected a string")
