"""Two-stage search: the dual encoder ranks the whole gallery, the re-ranker its first candidates.

Shapes: Q queries, K candidates.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.encoders import EncodedTexts, Reranker, TextEncoder, pair_batch
from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.gallery import Gallery
from cfack_runtime.hits import Hit, at_least
from cfack_runtime.progress import ProgressCallback
from cfack_runtime.ranking import rank_all, top_k
from cfack_runtime.tokenizer import CaptionTokenizer, EncodedCaptions

_log = logging.getLogger(__name__)

DEFAULT_RERANK = 128
"""Candidates that the re-ranker scores, if nothing else is asked for."""

_QUERY_BLOCK = 64
_EMPTY_QUERY = 2  # [CLS] and [SEP]


def search_gallery(
    gallery: Gallery,
    queries: Sequence[str],
    text_encoder: TextEncoder,
    reranker: Reranker,
    *,
    k: int,
    rerank: int | None,
    min_score: float | None,
    progress: ProgressCallback,
) -> list[list[Hit]]:
    """Find images by sentences; `Retriever.search_many` says how."""
    _require_valid(queries, k, rerank)
    depth = (DEFAULT_RERANK if gallery.has_tokens else 0) if rerank is None else rerank
    captions = _tokenize(text_encoder.tokenizer, queries)
    found: list[list[Hit]] = []
    for start in range(0, len(queries), _QUERY_BLOCK):
        block = slice(start, start + _QUERY_BLOCK)
        texts = text_encoder.encode_ids(
            EncodedCaptions(captions.input_ids[block], captions.attention_mask[block])
        )
        candidates = top_k(texts.embedding, gallery.embeddings, max(k, depth))
        for row in range(len(texts.mask)):
            places, scores = candidates.indices[row], candidates.scores[row]
            logits = _match(reranker, gallery, texts, row, places[:depth])
            hits = _hits(gallery, places, scores, logits)
            found.append((hits if min_score is None else at_least(hits, min_score))[:k])
            progress(len(found), len(queries))
    return found


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


def _match(
    reranker: Reranker, gallery: Gallery, texts: EncodedTexts, row: int, places: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Match one query, in its real length, with its candidates: (K, 2)."""
    length = int(texts.mask[row].sum())
    tokens, mask = texts.tokens[row : row + 1, :length], texts.mask[row : row + 1, :length]
    shape = gallery.identity.image_tokens
    batch = pair_batch(shape.count * shape.width) if shape else 1
    logits = [
        reranker.match(tokens, mask, gallery.tokens(places[start : start + batch]), batch)
        for start in range(0, len(places), batch)
    ]
    return np.concatenate([np.empty((0, 2), np.float32), *logits])


def _hits(
    gallery: Gallery,
    places: NDArray[np.int64],
    scores: NDArray[np.float32],
    logits: NDArray[np.float32],
) -> list[Hit]:
    """Order candidates by logit 1, and keep what lies behind them in its order."""
    order = [*rank_all(logits[None, :, 1])[0], *range(len(logits), len(places))]
    # softmax(logits)[1], in a form that cannot overflow
    probability = 0.5 + 0.5 * np.tanh(0.5 * (logits[:, 1].astype(np.float64) - logits[:, 0]))
    return [
        Hit(
            path=gallery.image_path(int(places[i])),
            score=float(scores[i]),
            match_score=float(probability[i]) if i < len(logits) else None,
            match_logit=float(logits[i, 1]) if i < len(logits) else None,
            rank=rank,
            metadata=gallery.images[int(places[i])].metadata,
        )
        for rank, i in enumerate(order, 1)
    ]


def _require_valid(queries: Sequence[str], k: int, rerank: int | None) -> None:
    if isinstance(queries, str):
        raise UsageError("queries is one string; give a list of strings")
    for index, query in enumerate(queries):
        if not isinstance(query, str):
            raise UsageError(f"query {index} is a {type(query).__name__}, expected a string")
    if k < 1:
        raise UsageError(f"k must be at least 1, got {k}")
    if rerank is not None and rerank < 0:
        raise UsageError(f"rerank must be 0 (no re-ranking) or more, got {rerank}")
