"""What a stage of retrieval may lose: sentences for everything that is too much."""

from __future__ import annotations

from collections.abc import Iterator

from cfack_export.parity.limits import Limits
from cfack_export.parity.stage import StageReport

DUAL, RERANKED = "dual", "reranked"
"""The stages, as `parity.json` names them."""

_SPOKEN = {DUAL: "dual encoder", RERANKED: "re-ranked"}


def stage_failures(stage: str, report: StageReport, limits: Limits) -> list[str]:
    """Compare a stage with the limits of its precision.

    Args:
        stage: `DUAL` or `RERANKED`.
        report: what was measured.
        limits: of the precision.

    Returns:
        A sentence for every limit that is broken, with figure and limit.
    """
    return [f"retrieval, {_SPOKEN[stage]}: {fault}" for fault in _faults(stage, report, limits)]


def allowed_drop(limit: float, queries: int) -> float:
    """Points that may be lost on a split: the limit, or one query where that is more.

    A split of 100 queries cannot tell half a point from nothing: its smallest step is a whole point.
    """
    return max(limit, 100 / queries)


def _faults(stage: str, report: StageReport, limits: Limits) -> Iterator[str]:
    for metric, name, limit in (("r1", "R@1", limits.r1_drop), ("mean_ap", "mAP", limits.map_drop)):
        change, allowed = report.changes[metric], allowed_drop(limit, report.queries)
        if change.points < -allowed - 1e-9:
            yield (
                f"{name} falls by {-change.points:.2f} points to {getattr(report.metrics, metric):.2f} "
                f"(95 % interval {change.by_identity.low:+.2f} to {change.by_identity.high:+.2f}, "
                f"{report.queries} queries), allowed is {allowed:.2f}"
            )
    yield from _flip_faults(stage, report, limits)
    for name, values, least in (
        ("overlap of the first 10", report.overlaps[10], limits.top10_overlap),
        ("overlap of the first 100", report.overlaps[100], limits.top100_overlap),
        ("Kendall tau of the first 100", report.tau, limits.kendall_tau),
    ):
        mean = float(values.mean())
        if not mean >= least:
            yield f"mean {name} is {mean:.4f}, at least {least:.4f} is asked for"


def _flip_faults(stage: str, report: StageReport, limits: Limits) -> Iterator[str]:
    margin, limit = report.largest_margin, limits.dual_flip_margin
    unit = ""
    if stage == RERANKED:
        unit = " standard deviations"
        margin, limit = margin / max(report.spread, 1e-12), limits.reranked_flip_margin
    if not margin <= limit:
        flips = report.to_json()["top1_flips"]
        first = flips["largest"][0]
        yield (
            f"query {first['query']} now finds image {first['after']} first, which the reference scored "
            f"{margin:.3g}{unit} below image {first['before']}, allowed is {limit:.3g} "
            f"({flips['count']} of {report.queries} queries changed their first image)"
        )
