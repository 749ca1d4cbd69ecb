"""A precision on the sample of a split: what becomes of the reference's rankings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cfack_export.parity.difference import difference, row_cosines
from cfack_export.parity.features import (
    Features,
    Ranking,
    dual_ranking,
    encode_images,
    encode_texts,
    match_candidates,
    reranked_ranking,
)
from cfack_export.parity.feeds import Run, searching_graph
from cfack_export.parity.limits import Limits
from cfack_export.parity.memo import Recall
from cfack_export.parity.reference import Reference
from cfack_export.parity.sample import SplitSample
from cfack_export.parity.stage import Identities, StageReport, compare_stage
from cfack_export.parity.verdict import DUAL, RERANKED, stage_failures
from cfack_runtime.graph_contract import IMAGE_ENCODER, ONE_IMAGE, ONE_TEXT, RERANKER, TEXT_ENCODER
from cfack_runtime.progress import ProgressCallback, no_progress

_PAIR_QUERIES, _PAIR_CANDIDATES = 4, 8


@dataclass(frozen=True)
class SplitErrors:
    """How far an output is from the reference's on real images and captions."""

    error: float
    """Largest difference, divided by the largest expected value where that is above 1."""
    min_cosine: float
    mean_cosine: float


@dataclass
class SplitMeasurement:
    """Everything that one precision shows on the sample."""

    errors: dict[str, SplitErrors] = field(default_factory=dict)
    """image_embedding, text_embedding, and each graph that gives match logits."""
    stages: dict[str, StageReport] = field(default_factory=dict)
    """"dual" and "reranked"."""
    failures: list[str] = field(default_factory=list)
    features: Features | None = None


def measure_split(
    reference: Reference,
    rankings: tuple[Ranking, Ranking | None],
    graphs: Mapping[str, Run],
    limits: Limits,
    recall: Recall,
    *,
    device: str = "cpu",
    until_refused: bool = False,
    progress: ProgressCallback = no_progress,
) -> SplitMeasurement:
    """Encode, rank and re-rank the sample, and compare each step with the reference's.

    Args:
        reference: with a sample.
        rankings: its own.
        graphs: of the precision.
        limits: of the precision.
        recall: what the same graphs gave before.
        device: where the graphs run.
        until_refused: re-rank nothing where the encoders alone are refused.
        progress: counts images, captions and re-ranked queries.

    Raises:
        ParityError: an output is no number.
        BackendError: a graph cannot be run.
    """
    sample = reference.inputs.sample
    assert sample is not None
    features = sample_features(reference, sample, graphs, recall, progress)
    measured = SplitMeasurement(features=features)
    _compare_embeddings(measured, reference, features, limits)
    dual = dual_ranking(features.text_embeddings, features.image_embeddings)
    reference_dual, reference_reranked = rankings
    _add_stage(measured, DUAL, reference_dual, dual, sample, limits)
    if reference_reranked is not None and not (until_refused and measured.failures):
        encoded = len(sample.paths) + len(sample.captions)
        searched = searching_graph(graphs)
        match = recall.of(
            "match",
            (IMAGE_ENCODER, TEXT_ENCODER, searched),
            lambda: match_candidates(
                graphs[searched],
                features.image_tokens,
                features.text_tokens,
                sample.attention_mask,
                dual.order[: sample.reranked_queries, : sample.candidates],
                device=device,
                progress=lambda done, _: progress(encoded + done, encoded + sample.reranked_queries),
            ),
        )
        _add_stage(measured, RERANKED, reference_reranked, reranked_ranking(dual, match), sample, limits)
        _compare_pairs(measured, reference, reference_dual.order, graphs, features, limits, recall, device)
    return measured


def sample_features(
    reference: Reference,
    sample: SplitSample,
    graphs: Mapping[str, Run],
    recall: Recall,
    progress: ProgressCallback,
) -> Features:
    """Encode the sample as a search does, image tokens in float16, as far as that was not done before."""
    geometry = reference.inputs.geometry
    size = (geometry.image_height, geometry.image_width)
    total = len(sample.paths) + len(sample.captions) + sample.reranked_queries
    images = recall.of(
        "images",
        (IMAGE_ENCODER,),
        lambda: encode_images(
            graphs[IMAGE_ENCODER], sample, size, as_gallery=True, progress=lambda n, _: progress(n, total)
        ),
    )
    texts = recall.of("texts", (TEXT_ENCODER,), lambda: encode_texts(graphs[TEXT_ENCODER], sample))
    progress(len(sample.paths) + len(sample.captions), total)
    return Features(*images, *texts)


def _add_stage(
    measured: SplitMeasurement,
    stage: str,
    reference: Ranking,
    got: Ranking,
    sample: SplitSample,
    limits: Limits,
) -> None:
    identities = Identities(sample.query_identities[: len(got.order)], sample.image_identities)
    report = compare_stage(reference, got, identities)
    measured.stages[stage] = report
    measured.failures += stage_failures(stage, report, limits)


def _compare_embeddings(
    measured: SplitMeasurement, reference: Reference, features: Features, limits: Limits
) -> None:
    for name, got in (
        ("image_embedding", features.image_embeddings),
        ("text_embedding", features.text_embeddings),
    ):
        expected = reference.arrays[f"sample_{name}"]
        cosines = row_cosines(got, expected)
        lowest, row = float(cosines.min()), int(cosines.argmin())
        measured.errors[name] = SplitErrors(difference(got, expected).error, lowest, float(cosines.mean()))
        if not lowest >= limits.split_cosine:
            kind = "image" if name == "image_embedding" else "query"
            measured.failures.append(
                f"{name} of the split: {kind} {row} has the cosine {lowest:.5f} with {reference.name}, at "
                f"least {limits.split_cosine:.5f} is asked for"
            )


def _compare_pairs(
    measured: SplitMeasurement,
    reference: Reference,
    order: NDArray[np.int64],
    graphs: Mapping[str, Run],
    features: Features,
    limits: Limits,
    recall: Recall,
    device: str,
) -> None:
    """Every graph that gives match logits, the rewrites too, on the same few real pairs."""
    expected = reference.arrays["sample_match_logits"][:_PAIR_QUERIES, :_PAIR_CANDIDATES]
    sample = reference.inputs.sample
    assert sample is not None
    places = order[: len(expected), : expected.shape[1]]
    mask = sample.attention_mask
    for name in (RERANKER, ONE_TEXT, ONE_IMAGE):
        if name not in graphs:
            continue

        def match(name: str = name) -> NDArray[np.float32]:
            batch = 1 if name == ONE_IMAGE else None
            run, images, texts = graphs[name], features.image_tokens, features.text_tokens
            return match_candidates(run, images, texts, mask, places, device=device, batch=batch)

        got = recall.of(f"pairs of {name}", (IMAGE_ENCODER, TEXT_ENCODER, name), match)
        error = difference(got, expected).error
        cosines = row_cosines(got, expected)
        measured.errors[name] = SplitErrors(error, float(cosines.min()), float(cosines.mean()))
        if not error <= limits.split_logit_error:
            measured.failures.append(
                f"{name}, match_logits of the split: differ from {reference.name} by {error:.3g}, allowed is "
                f"{limits.split_logit_error:.3g}"
            )
