"""Galleries of one precision asked by queries of another: what may be re-exported without re-indexing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from cfack_export.parity.features import (
    Features,
    Ranking,
    dual_ranking,
    match_candidates,
    reranked_ranking,
)
from cfack_export.parity.feeds import Run
from cfack_export.parity.limits import FP32, coarser
from cfack_export.parity.reference import Reference
from cfack_export.parity.report import PrecisionReport
from cfack_export.parity.sample import SplitSample
from cfack_export.parity.stage import Identities, StageReport, compare_stage
from cfack_export.parity.verdict import DUAL, RERANKED, stage_failures

OpenRun = Callable[[], AbstractContextManager[Run]]
"""Opens a graph, which is closed with the block."""


def cross_matrix(
    reference: Reference,
    reports: Sequence[PrecisionReport],
    rerankers: Mapping[str, OpenRun] | None = None,
    *,
    device: str = "cpu",
) -> dict[str, dict[str, Any]] | None:
    """Rank every precision's gallery by every other precision's queries.

    Cells with FP32 on one side are re-ranked too, by the queries' precision with the gallery's image tokens.

    Args:
        reference: of the reports.
        reports: one per precision; those that could not be measured on a split are left out.
        rerankers: precision -> what opens a graph that takes one text with many images, one at a time; None:
            nothing is re-ranked.
        device: where those graphs run.

    Returns:
        Precision of the gallery -> precision of the queries -> figures, in which `compatible` says whether
        the limits of the coarser of both hold; None if fewer than two precisions were measured on a split.
    """
    sample = reference.inputs.sample
    measured = {report.precision: report for report in reports if report.features is not None}
    if sample is None or len(measured) < 2:
        return None
    cells = _Cells(reference, sample, measured, device)
    matrix: dict[str, dict[str, Any]] = {gallery: {} for gallery in measured}
    for queries in measured:
        with (rerankers or {}).get(queries, _no_run)() as run:
            for gallery in measured:
                if gallery != queries:
                    matrix[gallery][queries] = cells.cell(gallery, queries, run)
    return matrix


def _no_run() -> AbstractContextManager[None]:
    return nullcontext()


class _Cells:
    def __init__(
        self,
        reference: Reference,
        sample: SplitSample,
        reports: Mapping[str, PrecisionReport],
        device: str,
    ) -> None:
        self._sample, self._reports, self._device = sample, reports, device
        self._dual, self._reranked = reference.rankings()

    def cell(self, gallery: str, queries: str, reranker: Run | None) -> dict[str, Any]:
        limits = coarser(self._reports[gallery].limits, self._reports[queries].limits)
        images, texts = self._features(gallery), self._features(queries)
        dual = dual_ranking(texts.text_embeddings, images.image_embeddings)
        stages = {DUAL: self._compare(self._dual, dual)}
        if self._reranked is not None and reranker is not None and FP32 in (gallery, queries):
            match = match_candidates(
                reranker,
                images.image_tokens,
                texts.text_tokens,
                self._sample.attention_mask,
                dual.order[: self._sample.reranked_queries, : self._sample.candidates],
                device=self._device,
            )
            stages[RERANKED] = self._compare(self._reranked, reranked_ranking(dual, match))
        failures = [f for name, stage in stages.items() for f in stage_failures(name, stage, limits)]
        return {
            "compatible": not failures,
            "failures": failures,
            **{name: _figures(stage) for name, stage in stages.items()},
        }

    def _features(self, precision: str) -> Features:
        features = self._reports[precision].features
        assert features is not None
        return features

    def _compare(self, reference: Ranking, got: Ranking) -> StageReport:
        identities = Identities(
            self._sample.query_identities[: len(got.order)], self._sample.image_identities
        )
        return compare_stage(reference, got, identities)


def _figures(stage: StageReport) -> dict[str, float | int]:
    return {
        "r1": stage.metrics.r1,
        "r1_change": stage.changes["r1"].points,
        "map": stage.metrics.mean_ap,
        "map_change": stage.changes["mean_ap"].points,
        "top1_flips": len(stage.flips.queries),
        "top10_overlap": float(stage.overlaps[10].mean()),
        "kendall_tau": float(stage.tau.mean()),
    }
