"""What the gate says of a precision, and the whole of `parity.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cfack_export.parity.features import Features
from cfack_export.parity.graph_check import GraphParity
from cfack_export.parity.int8_tokens import Int8Tokens
from cfack_export.parity.limits import Limits
from cfack_export.parity.sample import SplitSample
from cfack_export.parity.split_check import SplitErrors
from cfack_export.parity.stage import StageReport
from cfack_runtime.gallery_identity import INT8_PASSED

FORMAT = "cfack-parity"
FORMAT_VERSION = 1

Scalar = bool | int | float | str

_METRICS = (("r1", "r1"), ("r5", "r5"), ("r10", "r10"), ("mean_ap", "map"), ("mean_inp", "minp"))


@dataclass(frozen=True)
class PrecisionReport:
    """One precision, run by one backend."""

    precision: str
    backend: str
    reference: str
    limits: Limits
    sample: SplitSample | None
    graphs: tuple[GraphParity, ...]
    errors: Mapping[str, SplitErrors]
    """On the sample: of the embeddings, and of each graph that gives match logits."""
    stages: Mapping[str, StageReport]
    """"dual" and "reranked", as far as they were measured."""
    failures: tuple[str, ...]
    """A sentence for everything above its limit."""
    seconds: float
    int8_tokens: Int8Tokens | None = None
    """Re-ranking from a gallery's 8-bit tokens; None: not measured."""
    features: Features | None = field(default=None, repr=False)
    """What its encoders made of the sample, for the cross-precision matrix."""

    @property
    def passed(self) -> bool:
        """Whether this precision may be run."""
        return not self.failures

    @property
    def drop(self) -> float:
        """Points of R@1 lost on the split, in the stage that loses more; negative if both gain.

        Infinite where retrieval could not be measured.
        """
        return max((-stage.changes["r1"].points for stage in self.stages.values()), default=float("inf"))

    def to_json(self) -> dict[str, Any]:
        """Everything, as `parity.json` holds it under the backend's name."""
        return {
            "passed": self.passed,
            "failures": list(self.failures),
            "seconds": round(self.seconds, 1),
            "limits": asdict(self.limits),
            "graphs": {graph.graph: graph.to_json() for graph in self.graphs},
            "split_errors": {name: asdict(errors) for name, errors in self.errors.items()},
            "retrieval": {name: stage.to_json() for name, stage in self.stages.items()},
            "int8_tokens": self.int8_tokens.to_json() if self.int8_tokens else None,
        }

    def summary(self) -> dict[str, Scalar]:
        """What the manifest says of this precision; retrieval figures in percent and points."""
        scalars: dict[str, Scalar] = {"passed": self.passed, "backend": self.backend}
        for graph in self.graphs:
            figure = graph.to_json().values()
            errors = [output["error"] for output in figure]
            if None not in errors:
                scalars[f"{graph.graph}_error"] = max(errors)
        scalars["retrieval_measured"] = bool(self.stages)
        if self.sample is not None and self.stages:
            scalars["split_images"] = len(self.sample.paths)
            scalars["split_captions"] = len(self.sample.captions)
        for name, stage in self.stages.items():
            scalars |= {f"{name}_{short}": getattr(stage.metrics, field) for field, short in _METRICS}
            scalars[f"{name}_r1_change"] = stage.changes["r1"].points
            scalars[f"{name}_map_change"] = stage.changes["mean_ap"].points
            scalars[f"{name}_top10_overlap"] = float(stage.overlaps[10].mean())
        if self.int8_tokens is not None:
            scalars[INT8_PASSED] = self.int8_tokens.passed
            scalars["int8_tokens_r1_change"] = self.int8_tokens.report.changes["r1"].points
        return scalars


def parity_document(
    reports: Iterable[PrecisionReport], cross_precision: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write the whole of `parity.json`; several reports of one precision are several backends.

    Args:
        reports: at least one, of one reference and one sample.
        cross_precision: what `cross_matrix` returned.
    """
    reports = list(reports)
    precisions: dict[str, Any] = {}
    for report in reports:
        entry = precisions.setdefault(report.precision, {"passed": True, "failures": [], "backends": {}})
        entry["passed"] = entry["passed"] and report.passed
        entry["failures"] += [f"{report.backend}: {sentence}" for sentence in report.failures]
        entry["backends"][report.backend] = report.to_json()
    sample = reports[0].sample
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "reference": reports[0].reference,
        "split": sample.to_json() if sample is not None else None,
        "precisions": precisions,
        "cross_precision": dict(cross_precision) if cross_precision is not None else None,
    }
