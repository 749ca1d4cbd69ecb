"""Several precisions through the gate, and every pair of them together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

from cfack_export.parity.backends import OpenGraphs
from cfack_export.parity.cross import cross_matrix
from cfack_export.parity.feeds import one_text_run
from cfack_export.parity.gate import ParityGate
from cfack_export.parity.report import PrecisionReport
from cfack_runtime.engine import EngineEntry
from cfack_runtime.progress import ProgressCallback, no_progress


@dataclass(frozen=True)
class Measurement:
    """What the gate said of several precisions."""

    reports: tuple[PrecisionReport, ...]
    engines: Mapping[str, tuple[EngineEntry, ...]]
    """Precision -> the engines that ran; none in ONNX Runtime."""
    cross_precision: dict[str, Any] | None


def measure_precisions(
    gate: ParityGate,
    precisions: Mapping[str, AbstractContextManager[OpenGraphs]],
    *,
    progress: ProgressCallback = no_progress,
) -> Measurement:
    """Measure precisions one after the other; their graphs stay loaded for the cross-precision matrix.

    Args:
        gate: with its reference.
        precisions: name -> what opens its graphs.
        progress: counts images, captions and re-ranked queries of all precisions.

    Raises:
        BackendError: a library or a device is not here, or refuses a graph.
        BundleError: as opening the graphs raises it.
        UsageError: likewise, or a graph is missing.
    """
    reports, engines, rerankers = [], {}, {}
    with ExitStack() as closing:
        for number, (precision, opening) in enumerate(precisions.items()):
            graphs = closing.enter_context(opening)
            part = _part(progress, number, len(precisions))
            reports.append(
                gate.measure(precision, graphs.backend, graphs.runs, profiles=graphs.profiles, progress=part)
            )
            engines[precision] = graphs.engines
            rerankers[precision] = one_text_run(graphs.runs)
        matrix = cross_matrix(gate.reference, reports, rerankers)
    return Measurement(tuple(reports), engines, matrix)


def _part(progress: ProgressCallback, number: int, count: int) -> ProgressCallback:
    """Progress of one of several precisions of equal work."""
    return lambda done, total, /: progress(number * total + done, count * total)
