"""The stage that measures every precision, and says which of them may be run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfack_export.parity import ParityGate, PrecisionReport, Run, backend_run, cross_matrix, parity_document
from cfack_runtime.backends import open_backend
from cfack_runtime.graph_contract import ONE_TEXT, RERANKER
from cfack_runtime.progress import ProgressCallback

REPORT_NAME = "parity.json"
SUMMARIES_NAME = "summaries.json"


@dataclass(frozen=True)
class Verdict:
    """What the gate said of all precisions."""

    document: Mapping[str, Any]
    """`parity.json`."""
    summaries: Mapping[str, Mapping[str, Any]]
    """Precision -> what the manifest says of it."""

    @property
    def failures(self) -> dict[str, list[str]]:
        """Precision -> a sentence for everything above its limit, of those that were refused."""
        return {
            precision: entry["failures"]
            for precision, entry in self.document["precisions"].items()
            if not entry["passed"]
        }

    def with_conversions(self, reports: Mapping[str, Any]) -> Verdict:
        """Add what was done to the graphs of each precision, as member `conversion`."""
        precisions = {
            name: {**entry, "conversion": reports.get(name)}
            for name, entry in self.document["precisions"].items()
        }
        return Verdict({**self.document, "precisions": precisions}, self.summaries)

    def write(self, folder: Path) -> None:
        """Keep it as files."""
        (folder / REPORT_NAME).write_text(json.dumps(self.document))
        (folder / SUMMARIES_NAME).write_text(json.dumps(self.summaries))

    @classmethod
    def read(cls, folder: Path) -> Verdict:
        """Read what `write` wrote."""
        return cls(
            json.loads((folder / REPORT_NAME).read_text()), json.loads((folder / SUMMARIES_NAME).read_text())
        )


def measure_precisions(
    gate: ParityGate, graphs: Mapping[str, Path], backends: Mapping[str, str], progress: ProgressCallback
) -> Verdict:
    """Put every precision through the gate, and every pair of them together.

    Args:
        gate: with its reference.
        graphs: precision -> folder with the ONNX files that are run.
        backends: precision -> what runs them, in words.
        progress: counts precisions, in hundredths.

    Raises:
        BackendError: ONNX Runtime is missing or cannot load a graph.
    """
    reports: list[PrecisionReport] = []
    for number, (precision, folder) in enumerate(graphs.items()):

        def step(done: int, total: int, /, begun: int = number) -> None:
            progress(100 * begun + 100 * done // max(total, 1), 100 * len(graphs))

        with opened_graphs(folder) as runs:
            reports.append(gate.measure(precision, backends[precision], runs, progress=step))
    with ExitStack() as stack:
        rerankers = {
            precision: stack.enter_context(_one_text(folder)) for precision, folder in graphs.items()
        }
        cross = cross_matrix(gate.reference, reports, rerankers)
    return Verdict(
        parity_document(reports, cross), {report.precision: report.summary() for report in reports}
    )


@contextmanager
def opened_graphs(folder: Path) -> Iterator[dict[str, Run]]:
    """Load the graphs of a folder into ONNX Runtime on the CPU, and close them at the end: name -> run."""
    with ExitStack() as stack:
        runs = {}
        for file in sorted(folder.glob("*.onnx")):
            backend = open_backend(file)
            stack.callback(backend.close)
            runs[file.stem] = backend_run(backend)
        yield runs


@contextmanager
def _one_text(folder: Path) -> Iterator[Run]:
    """The graph that takes one text with many images, the rewrite where there is one."""
    rewrite = folder / f"{ONE_TEXT}.onnx"
    backend = open_backend(rewrite if rewrite.is_file() else folder / f"{RERANKER}.onnx")
    try:
        yield backend_run(backend)
    finally:
        backend.close()
