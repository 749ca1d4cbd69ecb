"""What the gate said of every precision, as files and as the rest of the export reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfack_export.parity import parity_document
from cfack_export.parity.measure import Measurement

REPORT_NAME = "parity.json"
SUMMARIES_NAME = "summaries.json"
_NOTHING_LEFT = "no layer can be quantised within the limits"


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

    @classmethod
    def of(cls, measured: Measurement) -> Verdict:
        """Make it of what was measured."""
        return cls(
            parity_document(measured.reports, measured.cross_precision),
            {report.precision: report.summary() for report in measured.reports},
        )

    def with_conversions(self, reports: Mapping[str, Any]) -> Verdict:
        """Add what was done to the graphs of each precision, as member `conversion`.

        A quantised precision without a quantised layer passes as what it was made of, and is refused.
        """
        precisions, summaries = {}, dict(self.summaries)
        for name, entry in self.document["precisions"].items():
            report = reports.get(name)
            precisions[name] = {**entry, "conversion": report}
            if entry["passed"] and report and "restored" in report and not _quantized(report):
                precisions[name] |= {"passed": False, "failures": [_NOTHING_LEFT]}
                summaries[name] = {**summaries[name], "passed": False}
        return Verdict({**self.document, "precisions": precisions}, summaries)

    def refusal(self, out: Path, *, fp32_passed: bool) -> str:
        """What to say when nothing is written to `out`."""
        lines = [f"{name}: {sentence}" for name, found in self.failures.items() for sentence in found]
        remedy = (
            "leave the precision out, allow a larger loss with --max-drop, or write the others with "
            "--keep-going"
            if fp32_passed
            else "the FP32 graphs are not PyTorch's model; please report it with the versions of torch and "
            "onnx"
        )
        head = f"the export was refused and nothing was written to {out}"
        return "\n  ".join([head, *lines]) + f"\n{remedy}"

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


def _quantized(report: Mapping[str, Any]) -> bool:
    return any(graph["quantized"] for graph in report["graphs"].values())
