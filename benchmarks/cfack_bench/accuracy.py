"""R@1 of a candidate against the number of candidates that are re-ranked.

Shapes: G images of the gallery, Q questions, K candidates, D embedding.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_bench.engines import Engine
from cfack_bench.workload import Workload
from cfack_runtime.errors import CfackError
from cfack_runtime.images import load_image
from cfack_runtime.manifest import Geometry
from cfack_runtime.metrics import query_metrics, relevance, summarize
from cfack_runtime.ranking import rerank_order, top_k
from cfack_runtime.scoring import Scoring

_IMAGE_BATCH = 8


@dataclass(frozen=True)
class Curve:
    """Accuracy at several depths."""

    images: int
    questions: int
    """That were asked."""
    wanted: int
    """That were to be asked; more than `questions` if the time ran out."""
    points: tuple[dict[str, float], ...]
    """`candidates`, and in percent `r1`, `r5`, `r10`, `map`, `minp`."""


def measure_accuracy(
    engine: Engine,
    workload: Workload,
    geometry: Geometry,
    depths: Sequence[int],
    seconds: float | None,
    scoring: Scoring | None = None,
) -> Curve:
    """Encode the images of the workload, ask its questions and re-rank at every depth.

    Args:
        engine: the candidate.
        workload: with images and questions.
        geometry: of the model.
        depths: candidates to re-rank; the deepest is run, the others are prefixes of it.
        seconds: time after which no further question is re-ranked; None for no limit.
        scoring: what candidates are put in order by; None: the official logit.

    Raises:
        CfackError: the images were not encoded by then.
    """
    deadline = None if seconds is None else time.perf_counter() + seconds
    scoring = scoring or Scoring()
    embeddings, tokens = _encode_images(engine, workload, geometry, deadline)
    deepest = min(max(depths), len(embeddings))
    rankings: list[NDArray[np.int64]] = []
    scores: list[NDArray[np.float64]] = []
    for question in workload.questions:
        if rankings and _passed(deadline):
            break
        texts = engine.encode_texts(engine.tokenizer.encode([question.caption]))
        found = top_k(texts.embedding, embeddings, len(embeddings))
        ranking, cosines = found.indices[0], found.scores[0]
        rankings.append(ranking)
        if deepest:
            logits = engine.match(texts.tokens, texts.mask, tokens[ranking[:deepest]])
            scores.append(scoring.ranked_by(logits, cosines[:deepest]))
    asked = np.array([question.identity for question in workload.questions[: len(rankings)]])
    shown, ranked = np.array(workload.identities), np.stack(rankings)
    points = []
    for depth in sorted({min(depth, deepest) for depth in depths}):
        order = rerank_order(ranked, np.stack(scores)[:, :depth]) if depth else ranked
        metrics = summarize(query_metrics(relevance(order, asked, shown)))
        names = {
            "r1": metrics.r1,
            "r5": metrics.r5,
            "r10": metrics.r10,
            "map": metrics.mean_ap,
            "minp": metrics.mean_inp,
        }
        points.append({"candidates": depth, **{name: round(value, 3) for name, value in names.items()}})
    return Curve(len(embeddings), len(rankings), len(workload.questions), tuple(points))


def _encode_images(
    engine: Engine, workload: Workload, geometry: Geometry, deadline: float | None
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Embeddings (G, D) and tokens (G, 1+N, C), kept in float16 as a gallery keeps them."""
    embeddings, tokens = [], []
    for start in range(0, len(workload.images), _IMAGE_BATCH):
        if _passed(deadline):
            raise CfackError(f"the budget left time for {start} of {len(workload.images)} images")
        paths = workload.images[start : start + _IMAGE_BATCH]
        pixels = [load_image(path, geometry.image_height, geometry.image_width) for path in paths]
        found = engine.encode_images(np.stack(pixels))
        embeddings.append(found.embedding)
        tokens.append(found.tokens.astype(np.float16))
    return np.concatenate(embeddings), np.concatenate(tokens)


def _passed(deadline: float | None) -> bool:
    return deadline is not None and time.perf_counter() > deadline
