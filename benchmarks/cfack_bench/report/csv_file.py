"""Results as CSV: one line a row, numbers as they are."""

from __future__ import annotations

import csv
import io

from cfack_bench.device.call import PARTS
from cfack_bench.report.cells import stage_median
from cfack_bench.report.names import curve
from cfack_bench.results import Results
from cfack_bench.staged import STAGES

_FIGURES = ("samples", "p50", "p95", "p99", "mean", "spread", "low", "high")
_PARAMETERS = (
    *("batch", "tokens", "candidates", "clients", "rate", "load", "gallery", "queries", "k", "cuda_graph"),
)
_STAGES = (*STAGES, *PARTS, "waiting", "import", "open", "first answer")
_PARITY = (
    "passed",
    "image_encoder_error",
    "text_encoder_error",
    "reranker_error",
    "dual_r1",
    "reranked_r1",
    "dual_r1_change",
    "reranked_r1_change",
)
_HEADINGS = (
    *("backend", "precision", "device", "threads", "status", "measure"),
    *_PARAMETERS,
    *_FIGURES,
    *("unit", "throughput", "limit_ms", "share_of_limit", "peak_host_bytes", "peak_device_bytes"),
    *("model_bytes", "foreign_share", "marks"),
    *(f"{stage.replace(' ', '_').replace('-', '')}_ms" for stage in _STAGES),
    *(f"parity_{name}" for name in _PARITY),
    "measured_r1",
)


def csv_text(results: Results) -> str:
    """Times in milliseconds, sizes in bytes, `throughput` in units a second; empty where nothing is known."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_HEADINGS)
    for account in results.candidates:
        parity = account["parity"] or {}
        who = [account[name] for name in ("backend", "precision", "device", "threads", "status")]
        worth = [parity.get(name, "") for name in _PARITY]
        points = curve(results, account)
        rows = [row for row in results.rows if row.candidate == account["id"]]
        for row in rows:
            sizes = {**row.case.parameters, **{k: v for k, v in row.details.items() if k == "rate"}}
            wanted = row.case.parameters.get("candidates")
            r1 = next((point["r1"] for point in points if point["candidates"] == wanted), "")
            writer.writerow(
                [*who, row.case.measure, *(_plain(sizes.get(name)) for name in _PARAMETERS)]
                + [_plain(getattr(row.figures, name)) for name in _FIGURES]
                + [row.case.unit, _plain(row.throughput), _plain(row.limit_ms), _plain(row.share_of_limit)]
                + [row.peak_host_bytes, _plain(row.peak_device_bytes), account["model_bytes"]]
                + [_plain(row.foreign_share), "; ".join(row.marks)]
                + [_plain(stage_median(row, stage)) for stage in _STAGES]
                + [*worth, r1]
            )
        if not rows:
            empty = [""] * (1 + len(_PARAMETERS) + len(_FIGURES) + 6)
            none = [""] * len(_STAGES)
            writer.writerow([*who, *empty, account["model_bytes"], "", account["note"], *none, *worth, ""])
    return out.getvalue()


def _plain(value: float | None) -> float | str:
    return "" if value is None else float(f"{value:.5g}")
