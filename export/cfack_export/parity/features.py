"""The sample of a split through the graphs of a precision, as the runtime takes it through them.

Shapes: Q queries, G gallery images, K candidates, T text tokens, N patches, C width, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_export.parity.feeds import Run
from cfack_export.parity.sample import SplitSample
from cfack_runtime.encoders import IMAGE_BATCH, TEXT_BATCH, pair_batch
from cfack_runtime.errors import ParityError
from cfack_runtime.graph_contract import IMAGE_ENCODER, RERANKER, TEXT_ENCODER
from cfack_runtime.images import load_image
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.ranking import rank_all, similarity

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Features:
    """What the two encoders make of a sample; tokens only as far as something is re-ranked."""

    image_embeddings: NDArray[np.float32]
    """(G, D)."""
    image_tokens: FloatArray
    """(G, 1+N, C), in float16 where they are those of a gallery."""
    text_embeddings: NDArray[np.float32]
    """(Q, D)."""
    text_tokens: FloatArray
    """(Q', T, C) of the queries that are re-ranked, zero on padding."""


@dataclass(frozen=True)
class Ranking:
    """The order of the gallery for each query, and the scores behind it."""

    order: NDArray[np.int64]
    """(Q, G) gallery indices, best first."""
    scores: NDArray[np.float32]
    """(Q, G) by gallery index; NaN for what was not scored."""


def encode_sample(
    graphs: Mapping[str, Run],
    sample: SplitSample,
    size: tuple[int, int],
    *,
    progress: ProgressCallback = no_progress,
) -> Features:
    """Encode all images and captions of a sample; their tokens too, if anything is re-ranked.

    Args:
        graphs: the two encoders.
        sample: what to encode.
        size: (H, W) of the model.
        progress: counts images and captions.

    Raises:
        ParityError: an output is no number.
        ImageError: an image cannot be read.
    """
    images, total = len(sample.paths), len(sample.paths) + len(sample.captions)
    gallery = encode_images(
        graphs[IMAGE_ENCODER], sample, size, as_gallery=False, progress=lambda n, _: progress(n, total)
    )
    texts = encode_texts(graphs[TEXT_ENCODER], sample, progress=lambda n, _: progress(images + n, total))
    return Features(*gallery, *texts)


def encode_images(
    run: Run,
    sample: SplitSample,
    size: tuple[int, int],
    *,
    as_gallery: bool,
    progress: ProgressCallback = no_progress,
) -> tuple[NDArray[np.float32], FloatArray]:
    """Encode the images of a sample: embeddings (G, D), and tokens (G, 1+N, C) if anything is re-ranked.

    Args:
        run: the encoder.
        sample: what to encode.
        size: (H, W) of the model.
        as_gallery: keep tokens in float16, as a gallery does, and not as they come.
        progress: counts images.
    """
    embeddings, tokens = [], []
    for start in range(0, len(sample.paths), IMAGE_BATCH):
        paths = sample.paths[start : start + IMAGE_BATCH]
        outputs = run({"pixels": np.stack([load_image(path, *size) for path in paths])})
        where = f"{IMAGE_ENCODER}, image {paths[0]} ff."
        embeddings.append(_finite(outputs["image_embedding"], where))
        if sample.reranked_queries:
            with np.errstate(over="ignore"):
                kept = outputs["image_tokens"].astype(np.float16) if as_gallery else outputs["image_tokens"]
            tokens.append(_finite(kept, f"{where}, as float16" if as_gallery else where))
        progress(start + len(paths), len(sample.paths))
    return np.concatenate(embeddings), np.concatenate(tokens) if tokens else np.empty((0, 0, 0), np.float16)


def encode_texts(
    run: Run, sample: SplitSample, *, progress: ProgressCallback = no_progress
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Encode captions of similar length together: embeddings (Q, D), tokens (Q', T, C) in float32."""
    lengths = sample.attention_mask.sum(axis=1)
    kept = sample.reranked_queries
    order = np.argsort(lengths, kind="stable")
    embeddings: dict[int, NDArray[np.float32]] = {}
    padded: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(order), TEXT_BATCH):
        rows = order[start : start + TEXT_BATCH]
        longest = int(lengths[rows].max())
        mask = sample.attention_mask[rows, :longest]
        outputs = run({"input_ids": sample.input_ids[rows, :longest], "attention_mask": mask})
        found = _finite(outputs["text_embedding"], f"{TEXT_ENCODER}, captions of up to {longest} tokens")
        embeddings.update(zip(rows.tolist(), found, strict=True))
        clean = np.where(mask[:, :, None] == 1, outputs["text_tokens"].astype(np.float32), 0)
        for place in np.flatnonzero(rows < kept):
            row = np.zeros((sample.input_ids.shape[1], clean.shape[2]), np.float32)
            row[:longest] = clean[place]
            padded[int(rows[place])] = row
        progress(start + len(rows), len(order))
    return (
        np.stack([embeddings[row] for row in range(len(order))]),
        np.stack([padded[row] for row in range(kept)]) if kept else np.empty((0, 0, 0), np.float32),
    )


def dual_ranking(text_embeddings: FloatArray, image_embeddings: FloatArray) -> Ranking:
    """Rank images (G, D) for texts (Q, D) by cosine."""
    scores = similarity(text_embeddings, image_embeddings)
    return Ranking(rank_all(scores), scores)


def match_candidates(
    run: Run,
    image_tokens: FloatArray,
    text_tokens: FloatArray,
    mask: NDArray[np.int64],
    candidates: NDArray[np.int64],
    *,
    device: str = "cpu",
    batch: int | None = None,
    progress: ProgressCallback = no_progress,
) -> NDArray[np.float32]:
    """Match each query, in its real length, with its candidates, as a search does.

    Args:
        run: a graph that takes one text with many images.
        image_tokens: (G, 1+N, C).
        text_tokens: (Q', T, C).
        mask: (Q, T) of the sample, whose first Q' queries are matched.
        candidates: (Q', K) gallery indices.
        device: where the graph runs, which decides how many pairs the runtime takes per call.
        batch: pairs per call; None: as many as the runtime takes.
        progress: counts queries.

    Returns:
        (Q', K, 2).

    Raises:
        ParityError: a logit is no number.
    """
    batch = batch or pair_batch(int(np.prod(image_tokens.shape[1:])), device)
    logits = np.empty((*candidates.shape, 2), np.float32)
    for query, places in enumerate(candidates):
        length = int(mask[query].sum())
        text = {
            "text_tokens": text_tokens[query : query + 1, :length],
            "attention_mask": mask[query : query + 1, :length],
        }
        for start in range(0, len(places), batch):
            chosen = image_tokens[places[start : start + batch]]
            found = run({**text, "image_tokens": chosen.astype(np.float32)})["match_logits"]
            logits[query, start : start + batch] = _finite(found, f"{RERANKER}, query {query}")
        progress(query + 1, len(candidates))
    return logits


def reranked_ranking(dual: Ranking, match: NDArray[np.float32]) -> Ranking:
    """Put the first K of each of the first Q' queries in the order of logit 1 (Q', K, 2)."""
    scores = match[:, :, 1]
    order = dual.order[: len(scores)]
    by_image = np.full(order.shape, np.nan, np.float32)
    np.put_along_axis(by_image, order[:, : scores.shape[1]], scores, axis=1)
    best = np.take_along_axis(order[:, : scores.shape[1]], rank_all(scores), axis=1)
    return Ranking(np.concatenate([best, order[:, scores.shape[1] :]], axis=1), by_image)


def _finite(values: NDArray[Any], where: str) -> NDArray[Any]:
    if not np.isfinite(values).all():
        raise ParityError(f"{where}: holds what is no number")
    return values
