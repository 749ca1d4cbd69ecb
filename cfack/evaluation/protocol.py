"""The evaluation protocol: every caption asks, every image of the split may answer."""

from __future__ import annotations

import time

import torch

from cfack.data.annotations import Split
from cfack.evaluation.encode import (
    KEPT_TOKEN_BYTES,
    encode_gallery,
    encode_queries,
)
from cfack.evaluation.mode import evaluation_mode
from cfack.evaluation.request import EvaluationRequest, captions_of
from cfack.evaluation.rerank import match_candidates
from cfack.evaluation.result import EvaluationResult
from cfack.evaluation.trial import Stages, Trial
from cfack.modeling import CFACK
from cfack_runtime.errors import UsageError
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.scoring import Scoring
from cfack_runtime.tokenizer import CaptionTokenizer


def evaluate(
    model: CFACK,
    tokenizer: CaptionTokenizer,
    split: Split,
    *,
    rerank: int = 128,
    official: bool = False,
    scoring: Scoring | None = None,
    device: torch.device | str | None = None,
    batch_size: int = 64,
    keep_bytes: int = KEPT_TOKEN_BYTES,
    progress: ProgressCallback = no_progress,
) -> EvaluationResult:
    """Measure a model on a split, by its dual encoder alone and with its cross-encoder.

    The same model, split and batch size give the same figures. Every module of the model keeps its
    training mode, and an autocast context around the call is honoured.

    Args:
        model: the model.
        tokenizer: the model's tokenizer.
        split: its images, in this order, are the gallery; all of their captions are the queries.
        rerank: candidates per query that the cross-encoder puts in order; 0 leaves that out.
        official: give what was not re-ranked -100, as the released evaluation does, which leaves it in
            gallery order; otherwise it stays in the order of the dual encoder.
        scoring: what the candidates are put in order by; None: logit 1, the official score.
        device: move the model there first; None leaves it where it is.
        batch_size: images, captions or pairs per step.
        keep_bytes: main memory for image tokens; what does not fit is encoded twice.
        progress: counts captions and images, the latter twice with re-ranking.

    Raises:
        UsageError: `official` without re-ranking, or a number is out of range.
        DataError: a caption is empty or there is none, an image cannot be read, or the model gives NaN.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size must be 1 or more, got {batch_size}")
    request = EvaluationRequest(rerank, official, scoring or Scoring())
    began = time.perf_counter()
    if device is not None:
        model.to(device)
    captions = captions_of(split)
    paths = [split.path(index) for index in range(len(split.records))]
    stages = Stages(progress, (len(captions), len(paths), len(paths) if rerank else 0))
    with evaluation_mode(model):
        queries = encode_queries(model, tokenizer, captions, batch_size, progress=stages.report(0))
        gallery = encode_gallery(
            model, paths, batch_size, keep_bytes=keep_bytes if rerank else 0, progress=stages.report(1)
        )
        trial = Trial.of(split, queries.embeddings, gallery.embeddings)
        dual, candidates = trial.dual_encoder(rerank)
        logits = None
        if rerank:
            logits = match_candidates(
                model, queries, gallery, candidates.indices, batch_size, progress=stages.report(2)
            )
        return request.result(split, trial, dual, candidates, logits, time.perf_counter() - began)
