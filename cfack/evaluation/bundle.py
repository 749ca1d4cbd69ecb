"""The evaluation protocol on an exported bundle, by the path that serves searches; no torch.

Shapes: Q queries, G gallery images, K candidates, P pairs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack.data.annotations import Split, split_path
from cfack.evaluation.batches import pixel_batches
from cfack.evaluation.request import EvaluationRequest, captions_of
from cfack.evaluation.result import EvaluationResult
from cfack.evaluation.trial import Stages, Trial
from cfack_runtime.encoders import IMAGE_BATCH, EncodedTexts
from cfack_runtime.files import atomic_write, sha256_file
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_index import GalleryImage, Identity, TokenShape
from cfack_runtime.gallery_writer import GalleryWriter
from cfack_runtime.manifest_json import MANIFEST_NAME, manifest_bytes
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.rerank_candidates import match_candidates
from cfack_runtime.retriever import Retriever
from cfack_runtime.scoring import LOGIT, ScoreCalibration, Scoring, fit_calibration, log_odds
from cfack_runtime.search import QUERY_BLOCK
from cfack_runtime.tokenizer import EncodedCaptions

_SEGMENT = 512


@dataclass(frozen=True)
class BundleEvaluation:
    """Metrics, and the pairs that they rest on."""

    result: EvaluationResult
    log_odds: NDArray[np.float64]
    """(P,): of every query and candidate; empty without re-ranking."""
    cosines: NDArray[np.float32]
    """(P,): of their embeddings."""
    matches: NDArray[np.bool_]
    """(P,): whether both are of one identity."""


def evaluate_bundle(
    retriever: Retriever,
    split: Split,
    *,
    rerank: int = 128,
    official: bool = False,
    score: str = LOGIT,
    work: str | Path | None = None,
    progress: ProgressCallback = no_progress,
) -> BundleEvaluation:
    """Measure a bundle on a split, as `evaluate` measures a model.

    Images go into a gallery in a temporary folder, so memory does not grow with the split; their tokens are
    FP16 there, as they are for every search.

    Args:
        retriever: the bundle, open.
        split: its images, in this order, are the gallery; all of their captions are the queries.
        rerank: candidates per query that the re-ranker puts in order; 0 leaves that out.
        official: give what was not re-ranked -100, as the released evaluation does.
        score: what the candidates are put in order by; see `cfack_runtime.scoring`.
        work: where the temporary folder is made; at base size an image takes 0.9 MB. None: where the system
            has its temporary files.
        progress: counts captions and images, and captions again with re-ranking.

    Raises:
        UsageError: `official` without re-ranking, a number is out of range, or no such score.
        DataError: a caption is empty or there is none, or an image cannot be read.
    """
    scoring = Scoring(score, retriever.bundle.manifest.score_calibration)
    request = EvaluationRequest(rerank, official, scoring)
    began = time.perf_counter()
    captions = captions_of(split)
    ids = retriever.text_encoder.tokenizer.encode(captions)
    stages = Stages(progress, (len(captions), len(split.records), len(captions) if rerank else 0))
    with tempfile.TemporaryDirectory(prefix="cfack-evaluate-", dir=work) as folder:
        queries = np.concatenate([texts.embedding for _, texts in _blocks(retriever, ids)])
        stages.report(0)(len(captions), len(captions))
        gallery = _encode(retriever, split, Path(folder) / "gallery", rerank > 0, stages.report(1))
        trial = Trial.of(split, queries, np.asarray(gallery.embeddings))
        dual, candidates = trial.dual_encoder(rerank)
        logits = _match(retriever, gallery, ids, candidates.indices, stages.report(2)) if rerank else None
    pairs = np.empty((0, 2), np.float32) if logits is None else logits.reshape(-1, 2)
    return BundleEvaluation(
        request.result(split, trial, dual, candidates, logits, time.perf_counter() - began),
        log_odds=log_odds(pairs),
        cosines=candidates.scores.reshape(-1),
        matches=trial.matches(candidates).reshape(-1),
    )


def store_calibration(
    retriever: Retriever, evaluation: BundleEvaluation, data: str | Path
) -> ScoreCalibration:
    """Fit probabilities to the pairs of an evaluation and write them into the bundle's manifest.

    The manifest is replaced as a whole, so a crash leaves the old one or the new one.

    Args:
        retriever: what was evaluated; open its bundle again to use the fit.
        evaluation: with re-ranking.
        data: folder of the split.

    Raises:
        DataError: the pairs are of one kind only, or matching ones do not have the higher scores.
    """
    digest = sha256_file(split_path(data, evaluation.result.split))
    fitted = fit_calibration(evaluation.log_odds, evaluation.cosines, evaluation.matches, digest)
    bundle = retriever.bundle
    atomic_write(
        bundle.path / MANIFEST_NAME, manifest_bytes(replace(bundle.manifest, score_calibration=fitted))
    )
    return fitted


def _blocks(retriever: Retriever, ids: EncodedCaptions) -> Iterator[tuple[slice, EncodedTexts]]:
    for start in range(0, len(ids.input_ids), QUERY_BLOCK):
        block = slice(start, start + QUERY_BLOCK)
        chosen = EncodedCaptions(ids.input_ids[block], ids.attention_mask[block])
        yield block, retriever.text_encoder.encode_ids(chosen)


def _encode(
    retriever: Retriever, split: Split, out: Path, keep_tokens: bool, progress: ProgressCallback
) -> Gallery:
    geometry = retriever.bundle.manifest.geometry
    identity = Identity(
        embedding_space=retriever.bundle.embedding_space,
        embed_dim=geometry.embed_dim,
        image_tokens=TokenShape(geometry.image_token_count, geometry.image_token_width)
        if keep_tokens
        else None,
        bundle=str(retriever.bundle.path),
        root=str(split.image_root.resolve()),
    )
    paths = [split.path(index) for index in range(len(split.records))]
    starts = range(0, len(paths), IMAGE_BATCH)
    with GalleryWriter(out, identity, retriever.precision) as writer:
        for start, pixels in pixel_batches(
            paths, starts, IMAGE_BATCH, geometry.image_height, geometry.image_width
        ):
            encoded = retriever.image_encoder.encode(pixels)
            # By number: a split may list one file twice.
            images = [GalleryImage(f"{start + i:09d}", 0, 0, {}) for i in range(len(pixels))]
            writer.add(encoded.embedding, encoded.tokens.astype(np.float16) if keep_tokens else None, images)
            if writer.pending >= _SEGMENT:
                writer.commit()
            progress(start + len(pixels), len(paths))
    return Gallery.open(out)


def _match(
    retriever: Retriever,
    gallery: Gallery,
    ids: EncodedCaptions,
    candidates: NDArray[np.int64],
    progress: ProgressCallback,
) -> NDArray[np.float32]:
    """Logits (Q, K, 2) of every query and candidate; the texts are encoded again, a block at a time."""
    logits = np.empty((*candidates.shape, 2), np.float32)
    for block, texts in _blocks(retriever, ids):
        chosen = list(candidates[block])
        found = match_candidates(
            retriever.reranker, texts, chosen, gallery.tokens, retriever.pair_cost, progress=no_progress
        )
        logits[block] = np.stack(found)
        progress(block.start + len(chosen), len(candidates))
    return logits
