"""Several precisions through the gate, and every pair of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from cfack_export.parity.backends import OpenGraphs
from cfack_export.parity.cross import OpenRun, cross_matrix
from cfack_export.parity.feeds import Run, searching_graph
from cfack_export.parity.gate import ParityGate
from cfack_export.parity.report import PrecisionReport
from cfack_export.stage_clock import part_of
from cfack_runtime.engine import EngineEntry
from cfack_runtime.progress import ProgressCallback, no_progress


@dataclass(frozen=True)
class Measurement:
    """What the gate said of several precisions."""

    reports: tuple[PrecisionReport, ...]
    engines: Mapping[str, tuple[EngineEntry, ...]]
    """Precision -> the engines that ran; none in ONNX Runtime."""
    cross_precision: dict[str, Any] | None


Opening = Callable[[], AbstractContextManager[OpenGraphs]]
"""Opens the graphs of a precision."""


def measure_precisions(
    gate: ParityGate,
    precisions: Mapping[str, Opening],
    *,
    device: str = "cpu",
    progress: ProgressCallback = no_progress,
) -> Measurement:
    """Measure precisions one after the other, and then each with the galleries of the others.

    One precision is open at a time.

    Args:
        gate: with its reference.
        precisions: name -> what opens its graphs.
        device: where they run.
        progress: counts images, captions and re-ranked queries of all precisions.

    Raises:
        BackendError: a library or a device is not here, or refuses a graph.
        BundleError: as opening the graphs raises it.
        UsageError: likewise, or a graph is missing.
    """
    reports, engines = [], {}
    for number, (precision, opening) in enumerate(precisions.items()):
        with opening() as graphs:
            report = gate.measure(
                precision,
                graphs.backend,
                graphs.runs,
                device=device,
                profiles=graphs.profiles,
                versions=graphs.versions,
                progress=part_of(progress, number, len(precisions)),
            )
            engines[precision] = graphs.engines
        reports.append(report)
    rerankers = {name: _reranker(opening) for name, opening in precisions.items()}
    matrix = cross_matrix(gate.reference, reports, rerankers, device=device)
    return Measurement(tuple(reports), engines, matrix)


def _reranker(opening: Opening) -> OpenRun:
    """Open a precision's graph that matches one text with many images."""

    @contextmanager
    def opened() -> Iterator[Run]:
        with opening() as graphs:
            yield graphs.runs[searching_graph(graphs.runs)]

    return opened
