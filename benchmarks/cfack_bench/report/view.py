"""Results as tables of text, which every form of report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfack_bench.candidates import AUTOCAST, COMPILED, ONNXRUNTIME, PLAIN, PYTORCH, REFUSED, TENSORRT
from cfack_bench.cases import COLD_START, IMAGES, OPEN_LOOP, QUERY, RERANKING, SEARCH, TEXTS, TITLES
from cfack_bench.results import Results, Row
from cfack_bench.staged import STAGES
from cfack_bench.statistics import Figures, figures

DASH = "-"
UNSTABLE, BUSY = "~", "*"
"""Behind a median: see `LEGEND`."""
LEGEND = (
    "~ unstable: the halves of the run differ by more than 5 %, or few samples are near the median",
    "* other processes took more than 5 % of the processors, or arrivals came too fast to be answered",
    "± half of the 95 % interval of the median; limit: least time by this machine's rates, over the median",
)

_SHORT = {
    ONNXRUNTIME: "ORT",
    PLAIN: "plain ORT",
    PYTORCH: "PyTorch",
    COMPILED: "compiled",
    AUTOCAST: "PyTorch",
    TENSORRT: "TensorRT",
    "tensorrt-rtx": "TRT-RTX",
}
_LONG = {
    ONNXRUNTIME: "ONNX Runtime, by cfack_runtime",
    PLAIN: "baseline: ONNX Runtime with its defaults, plain calls of the same graphs",
    PYTORCH: "baseline: PyTorch, eager",
    COMPILED: "baseline: PyTorch, torch.compile",
    AUTOCAST: "baseline: PyTorch, eager under autocast",
    TENSORRT: "TensorRT, by cfack_runtime",
    "tensorrt-rtx": "TensorRT for RTX, by cfack_runtime",
}


@dataclass(frozen=True)
class Table:
    """Headings and rows of text; the first two columns are words, the others figures."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    words: int = 2
    """Columns from the left that are words."""


def label(account: Mapping[str, Any]) -> str:
    """Short name of a candidate, for example "ORT fp32"."""
    device = "" if account["device"] == "cpu" else f" {account['device']}"
    short = _SHORT.get(account["backend"], account["backend"])
    return f"{short} {account['precision']}{device}"


def describe(account: Mapping[str, Any]) -> str:
    """What a candidate is, in words."""
    return _LONG.get(account["backend"], str(account["backend"]))


def accuracy(results: Results, account: Mapping[str, Any], depth: float | None = None) -> str:
    """What stands beside every speed: R@1, or the largest difference from PyTorch.

    Args:
        results: the run.
        account: of a candidate.
        depth: candidates re-ranked; None for as many as were measured.
    """
    parity = account["parity"]
    if account["status"] == REFUSED:
        return "gate failed"
    # Plain calls of the same graphs rank as the runtime does.
    known = f"{ONNXRUNTIME}/{account['precision']}" if account["backend"] == PLAIN else account["id"]
    points = {point["candidates"]: point["r1"] for point in curve(results, known)}
    if points and (depth is None or depth in points):
        return f"R@1 {points[max(points) if depth is None else depth]:.1f}"
    if parity is None:
        return "reference"
    figure = "dual_r1" if depth == 0 else "reranked_r1"
    if parity.get("retrieval_measured") and figure in parity:
        return f"R@1 {parity[figure]:.1f}"
    errors = [value for name, value in parity.items() if name.endswith("_error")]
    return f"err {max(errors):.0e}" if errors else "passed"


def curve(results: Results, candidate: str) -> list[dict[str, float]]:
    """R@1 against candidates as measured in this run; empty if it was not."""
    return next((entry["points"] for entry in results.accuracy if entry["candidate"] == candidate), [])


SIZE_HEADINGS = {
    QUERY: "K",
    OPEN_LOOP: "K at rate",
    IMAGES: "batch",
    TEXTS: "tokens",
    RERANKING: "K x tokens",
    SEARCH: "images",
    COLD_START: "",
}
"""What the column of sizes says, for each measurement; K is the number of candidates."""


def size(row: Row) -> str:
    """The parameters of a row, under their `SIZE_HEADINGS`."""
    value = {name: f"{number:g}" for name, number in row.case.parameters.items()}
    measure = row.case.measure
    if measure == QUERY:
        return value["candidates"] + _unless_one(value["clients"], ", {} clients")
    if measure == OPEN_LOOP:
        return f"{value['candidates']} at {row.details.get('rate', float('nan')):.3g}/s"
    if measure == IMAGES:
        return value["batch"]
    if measure == TEXTS:
        return value["tokens"] + _unless_one(value["batch"], " x {}")
    if measure == RERANKING:
        return f"{value['candidates']} x {value['tokens']}"
    if measure == SEARCH:
        return value["gallery"] + _unless_one(value["queries"], ", {} q")
    return " ".join(f"{name} {number}" for name, number in value.items())


def _unless_one(count: str, text: str) -> str:
    return "" if count == "1" else text.format(count)


def number(value: float | None) -> str:
    """Three digits that count, without an exponent."""
    if value is None:
        return DASH
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def marked(row: Row) -> str:
    """The median, with signs behind it if it is doubtful."""
    signs = UNSTABLE if any(mark.startswith("unstable") for mark in row.marks) else ""
    signs += BUSY if any(not mark.startswith("unstable") for mark in row.marks) else ""
    return number(row.figures.p50) + signs


def _half_width(found: Figures) -> str:
    """Of the median's interval, as a share of it; of fewer than six samples there is no such interval."""
    return DASH if found.samples < 6 else f"{50 * (found.high - found.low) / found.p50:.0f}%"


Cell = Callable[[Results, Row], str]

COLUMNS: dict[str, Cell] = {
    "n": lambda _, row: str(row.figures.samples),
    "p50 ms": lambda _, row: marked(row),
    "±": lambda _, row: _half_width(row.figures),
    "p95": lambda _, row: number(row.figures.p95),
    "p99": lambda _, row: number(row.figures.p99),
    "mean": lambda _, row: number(row.figures.mean),
    "spread": lambda _, row: number(row.figures.spread),
    "per s": lambda _, row: number(row.throughput),
    "limit": lambda _, row: DASH if row.share_of_limit is None else f"{row.share_of_limit:.0%}",
    "MB": lambda _, row: f"{row.peak_host_bytes / 1e6:.0f}",
    "GPU MB": lambda _, row: DASH if row.peak_device_bytes is None else f"{row.peak_device_bytes / 1e6:.0f}",
    "accuracy": lambda results, row: accuracy(
        results, results.candidate(row.candidate), row.case.parameters.get("candidates")
    ),
}
NARROW = ("p50 ms", "±", "p95", "per s", "limit", "MB", "accuracy")
"""Columns for 80 characters."""


def tables(results: Results, columns: Sequence[str] = tuple(COLUMNS)) -> list[Table]:
    """Summary, one table for each measurement, and the stages of a query."""
    found = [summary(results)]
    for measure, title in TITLES.items():
        rows = [row for row in results.rows if row.case.measure == measure]
        if rows:
            found.append(_measurement(results, title, rows, columns))
        if measure == QUERY and rows:
            found.append(_stages(results, rows))
    return found


def summary(results: Results) -> Table:
    """One line for each candidate: what decides."""
    deepest = max(
        (row.case.parameters["candidates"] for row in results.rows if row.case.measure == QUERY), default=0
    )
    picks: list[tuple[str, Callable[[str], Row | None], Callable[[Row], str]]] = [
        (f"@{deepest:g}", lambda c: _row(results, c, QUERY, candidates=deepest, clients=1), marked),
        (
            "p95",
            lambda c: _row(results, c, QUERY, candidates=deepest, clients=1),
            lambda row: number(row.figures.p95),
        ),
        ("@0", lambda c: _row(results, c, QUERY, candidates=0, clients=1), marked),
        ("image", lambda c: _row(results, c, IMAGES, batch=1), marked),
        ("text", lambda c: _row(results, c, TEXTS, batch=1), marked),
        ("cold", lambda c: _row(results, c, COLD_START), lambda row: number(row.figures.p50)),
    ]
    if not deepest:
        picks = picks[2:]
    rows = []
    for account in results.candidates:
        cells = [_shown(find(account["id"]), show) for _, find, show in picks]
        model = f"{account['model_bytes'] / 1e6:.0f}"
        rows.append((label(account), *cells, model, accuracy(results, account)))
    headings = ("", *(heading for heading, _, _ in picks), "MB", "accuracy")
    note = (
        "Medians in ms; @K: whole query, K candidates re-ranked; image, text: one of them; cold: see below."
    )
    return Table("Summary", headings, tuple(rows), note, words=1)


def _shown(row: Row | None, show: Callable[[Row], str]) -> str:
    return DASH if row is None else show(row)


def _row(results: Results, candidate: str, measure: str, **parameters: float) -> Row | None:
    return next(
        (
            row
            for row in results.rows
            if row.candidate == candidate
            and row.case.measure == measure
            and all(row.case.parameters[name] == value for name, value in parameters.items())
        ),
        None,
    )


def _measurement(results: Results, title: str, rows: Sequence[Row], columns: Sequence[str]) -> Table:
    empty = {"GPU MB"} if not any(row.peak_device_bytes for row in rows) else set()
    empty |= {"limit"} if not any(row.limit_ms for row in rows) else set()
    columns = [name for name in columns if name not in empty]
    lines = [
        (
            label(results.candidate(row.candidate)),
            size(row),
            *(COLUMNS[name](results, row) for name in columns),
        )
        for row in sorted(rows, key=lambda row: list(row.case.parameters.values()))
    ]
    for account in results.candidates:
        if account["status"] == REFUSED:
            blank = (DASH,) * (len(columns) - 1)
            lines.append((label(account), "no speed", *blank, accuracy(results, account)))
    unit = "q" if rows[0].case.unit == "queries" else rows[0].case.unit
    sizes = SIZE_HEADINGS.get(rows[0].case.measure, "size")
    headings = ("", sizes, *(f"{unit}/s" if name == "per s" else name for name in columns))
    return Table(title, headings, tuple(lines))


def _stages(results: Results, rows: Sequence[Row]) -> Table:
    lines = []
    for row in sorted(rows, key=lambda row: list(row.case.parameters.values())):
        medians = {stage: _median(samples) for stage, samples in row.stages.items()}
        if medians:
            total = sum(medians.values())
            lines.append(
                (
                    label(results.candidate(row.candidate)),
                    size(row),
                    *(number(medians[stage]) for stage in STAGES),
                    number(total),
                    number(row.figures.p50),
                )
            )
    headings = ("", SIZE_HEADINGS[QUERY], "token", "encode", "search", "read", "re-rank", "sum", "whole")
    note = "Medians in ms; whole is measured apart, in one call of the search."
    return Table("Stages of a query", headings, tuple(lines), note)


def _median(rounds: Sequence[Sequence[float]]) -> float:
    return figures(rounds).p50
