"""One query in its stages, out of the runtime's own pieces."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.encoders import pair_batch
from cfack_runtime.gallery import Gallery
from cfack_runtime.ranking import rerank_order, top_k

if TYPE_CHECKING:
    from cfack_bench.engines import Engine

STAGES = ("tokenise", "encode", "search", "read tokens", "re-rank")


@dataclass
class Stopwatch:
    """Nanoseconds of each stage; `stage` ends what ran and begins the next."""

    nanoseconds: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STAGES, 0))
    _began: int = field(default_factory=time.perf_counter_ns)

    def end(self, stage: str) -> None:
        """What ran since the last call was this stage."""
        now = time.perf_counter_ns()
        self.nanoseconds[stage] += now - self._began
        self._began = now


def staged_query(
    engine: Engine, gallery: Gallery, caption: str, k: int, rerank: int
) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Answer a query and say how long each stage took.

    Tokens are read a batch at a time, as the runtime's search does, so that memory stays bounded.

    Args:
        engine: what encodes and matches.
        gallery: what is searched; it holds tokens if `rerank` is positive.
        caption: the sentence.
        k: images wanted.
        rerank: candidates that are re-ranked.

    Returns:
        (K,) places in the gallery, best first, with K the larger of `k` and `rerank`; stage -> nanoseconds.
    """
    watch = Stopwatch()
    captions = engine.tokenizer.encode([caption])
    watch.end("tokenise")
    texts = engine.encode_texts(captions)
    watch.end("encode")
    places = top_k(texts.embedding, gallery.embeddings, max(k, rerank)).indices  # (1, K)
    watch.end("search")
    shape = gallery.identity.image_tokens
    batch = pair_batch(shape.count * shape.width, engine.device) if shape else 1
    logits = []
    for start in range(0, min(rerank, places.shape[1]), batch):
        tokens = engine.read_tokens(gallery, places[0, start : min(start + batch, rerank)])
        watch.end("read tokens")
        logits.append(engine.match(texts.tokens, texts.mask, tokens))
        watch.end("re-rank")
    if logits:
        places = rerank_order(places, np.concatenate(logits)[None, :, 1])
        watch.end("re-rank")
    return places[0], watch.nanoseconds
