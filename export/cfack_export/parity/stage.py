"""One stage of retrieval, dual encoder or re-ranked, against the reference's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_export.parity.bootstrap import Interval, paired_bootstrap
from cfack_export.parity.features import Ranking
from cfack_export.parity.ranks import Flips, kendall_tau, overlap_at, top1_flips
from cfack_runtime.metrics import QueryMetrics, RetrievalMetrics, query_metrics, relevance, summarize

_FLIPS_LISTED = 10


@dataclass(frozen=True)
class Identities:
    """Who is on the images, and who is asked for."""

    queries: NDArray[np.int64]
    """(Q,)."""
    gallery: NDArray[np.int64]
    """(G,)."""


@dataclass(frozen=True)
class Change:
    """Of one metric, in points, against the reference."""

    points: float
    by_query: Interval
    """95 % interval, queries drawn."""
    by_identity: Interval
    """95 % interval, identities drawn with all of their queries."""


@dataclass(frozen=True)
class StageReport:
    """What became of the reference's ranking."""

    queries: int
    gallery: int
    metrics: RetrievalMetrics
    reference: RetrievalMetrics
    changes: Mapping[str, Change]
    """Attribute of `RetrievalMetrics` -> its change."""
    flips: Flips
    spread: float
    """Standard deviation of the reference's scores: what a margin of match logits is measured in."""
    score_error: float
    """Largest difference of a score that both gave."""
    overlaps: Mapping[int, NDArray[np.float64]]
    """k -> (Q,)."""
    tau: NDArray[np.float64]
    """(Q,): Kendall's tau of the reference's first 100."""

    @property
    def largest_margin(self) -> float:
        """Of the flips; 0 without any."""
        margins = self.flips.margins[~np.isnan(self.flips.margins)]
        return float(margins.max(initial=0.0))

    def to_json(self) -> dict[str, Any]:
        """All figures, plain."""
        return {
            "queries": self.queries,
            "gallery": self.gallery,
            "metrics": asdict(self.metrics),
            "reference_metrics": asdict(self.reference),
            "changes": {name: asdict(change) for name, change in self.changes.items()},
            "top1_flips": self._flips_json(),
            "top10_overlap": _mean_and_min(self.overlaps[10]),
            "top100_overlap": _mean_and_min(self.overlaps[100]),
            "kendall_tau": _mean_and_min(self.tau),
            "score_error": self.score_error,
            "score_spread": self.spread,
        }

    def _flips_json(self) -> dict[str, Any]:
        flips = self.flips
        order = np.argsort(-np.nan_to_num(flips.margins, nan=-1.0), kind="stable")[:_FLIPS_LISTED]
        return {
            "count": len(flips.queries),
            "share": len(flips.queries) / self.queries,
            "largest_margin": self.largest_margin,
            "unscored": int(np.isnan(flips.margins).sum()),
            "largest": [
                {
                    "query": int(flips.queries[i]),
                    "before": int(flips.before[i]),
                    "after": int(flips.after[i]),
                    "margin": None if np.isnan(flips.margins[i]) else float(flips.margins[i]),
                }
                for i in order
            ],
        }


def compare_stage(reference: Ranking, got: Ranking, identities: Identities) -> StageReport:
    """Measure a ranking against the reference's ranking of the same queries and gallery.

    Raises:
        DataError: a query has no relevant image.
    """
    before = _measure(reference.order, identities)
    after = _measure(got.order, identities)
    return StageReport(
        queries=len(got.order),
        gallery=got.order.shape[1],
        metrics=summarize(after),
        reference=summarize(before),
        changes=_changes(before, after, identities.queries),
        flips=top1_flips(reference.order, got.order, reference.scores),
        spread=float(np.nanstd(reference.scores)),
        score_error=_largest(np.abs(got.scores.astype(np.float64) - reference.scores)),
        overlaps={k: overlap_at(reference.order, got.order, k) for k in (10, 100)},
        tau=kendall_tau(reference.order, got.order, 100),
    )


def _measure(order: NDArray[np.int64], identities: Identities) -> QueryMetrics:
    return query_metrics(relevance(order, identities.queries, identities.gallery))


def _changes(before: QueryMetrics, after: QueryMetrics, identities: NDArray[np.int64]) -> dict[str, Change]:
    differences = _per_query(after) - _per_query(before)  # (Q, 5)
    by_query = paired_bootstrap(differences, np.arange(len(differences)))
    by_identity = paired_bootstrap(differences, identities)
    names = [field.name for field in fields(RetrievalMetrics)]
    points = differences.mean(axis=0).tolist()
    return {
        name: Change(point, query, identity)
        for name, point, query, identity in zip(names, points, by_query, by_identity, strict=True)
    }


def _per_query(metrics: QueryMetrics) -> NDArray[np.float64]:
    """(Q, 5) in percent, in the order of `RetrievalMetrics`."""
    recalls = [metrics.first_hit <= k for k in (1, 5, 10)]
    return 100 * np.stack([*recalls, metrics.average_precision, metrics.inverse_penalty], axis=1)


def _mean_and_min(values: NDArray[np.float64]) -> dict[str, float]:
    return {"mean": float(values.mean()), "min": float(values.min())}


def _largest(values: NDArray[np.float64]) -> float:
    """NaN stands for what one of both did not score."""
    return float(np.nan_to_num(values, nan=0.0).max(initial=0.0))
