"""Columns of tables, and how numbers are written in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cfack_bench.cases import COLD_START, ON_GPU
from cfack_bench.device.call import PARTS
from cfack_bench.report.names import accuracy, parity
from cfack_bench.results import Results
from cfack_bench.row import Row
from cfack_bench.statistics import Figures, figures

DASH = "-"
UNSTABLE, BUSY = "~", "*"
"""Behind a median: see `LEGEND`."""
LEGEND = (
    "~ unstable: the halves of the run differ by more than 5 %, or few samples are near the median",
    "* others took more than 5 % of the processors, or queries arrived faster than they can be answered",
    "± half of the 95 % interval of the median; limit: least time by this machine's rates, over the median",
    "accuracy: R@1 in percent, of as many candidates as the row re-ranks, or else of the most measured; "
    "err: largest difference from PyTorch in the parity report; reference: what parity is measured against",
)

_IN, _DEVICE, _OUT = PARTS


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


def stage_median(row: Row, stage: str) -> float | None:
    """Median in milliseconds of a part of the row's calls; None if it was not taken apart."""
    rounds = row.stages.get(stage)
    return figures(rounds).p50 if rounds and any(rounds) else None


def megabytes(count: int | None) -> str:
    """Millions of bytes."""
    return DASH if count is None else f"{count / 1e6:.0f}"


def _cold_start(results: Results, candidate: str) -> str:
    """Median in seconds, of the row that has it."""
    starts = (row for row in results.rows if (row.candidate, row.case.measure) == (candidate, COLD_START))
    return next((number(row.figures.p50 / 1e3) for row in starts), DASH)


def _half_width(found: Figures) -> str:
    """Of the median's interval, as a share of it; of fewer than six samples there is no such interval."""
    if found.samples < 6:
        return DASH
    share = 50 * (found.high - found.low) / found.p50
    return f"{share:.0f}%" if share < 100 else ">99%"


def _stage(name: str) -> Cell:
    return lambda _, row: number(stage_median(row, name))


Cell = Callable[[Results, Row], str]

COLUMNS: dict[str, Cell] = {
    "n": lambda _, row: str(row.figures.samples),
    "p50 ms": lambda _, row: marked(row),
    "±": lambda _, row: _half_width(row.figures),
    "p95": lambda _, row: number(row.figures.p95),
    "p99": lambda _, row: number(row.figures.p99),
    "mean": lambda _, row: number(row.figures.mean),
    "spread": lambda _, row: number(row.figures.spread),
    "in": _stage(_IN),
    "device": _stage(_DEVICE),
    "out": _stage(_OUT),
    "import": _stage("import"),
    "open": _stage("open"),
    "first": _stage("first answer"),
    "per s": lambda _, row: number(row.throughput),
    "limit": lambda _, row: DASH if row.share_of_limit is None else f"{row.share_of_limit:.0%}",
    "MB": lambda _, row: megabytes(row.peak_host_bytes),
    "GPU MB": lambda _, row: megabytes(row.peak_device_bytes),
    "model MB": lambda results, row: megabytes(results.candidate(row.candidate)["model_bytes"]),
    "cold s": lambda results, row: _cold_start(results, row.candidate),
    "parity": lambda results, row: parity(results.candidate(row.candidate)),
    "accuracy": lambda results, row: accuracy(
        results, results.candidate(row.candidate), row.case.parameters.get("candidates")
    ),
}

_NARROW = ("p50 ms", "±", "p95", "per s", "limit", "MB", "GPU MB", "accuracy")
_NARROW_GPU = ("p50 ms", "±", "in", "device", "out", "per s", "accuracy")
_NARROW_START = ("p50 ms", "import", "open", "first", "MB", "GPU MB", "accuracy")


def columns_of(measure: str, rows: Sequence[Row], *, narrow: bool) -> list[str]:
    """Columns that have something to say.

    Args:
        measure: that the rows are of.
        rows: of one table.
        narrow: for a terminal of 80 columns, which has no room for all of them.
    """
    chosen: Sequence[str] = tuple(COLUMNS)
    if narrow and measure in ON_GPU.values():
        chosen = _NARROW_GPU
    elif narrow:
        chosen = _NARROW_START if measure == COLD_START else _NARROW
    stages = {"in": _IN, "device": _DEVICE, "out": _OUT, "import": "import", "open": "open"}
    stages["first"] = "first answer"
    empty = {name for name, stage in stages.items() if not any(stage in row.stages for row in rows)}
    empty |= set() if any(row.peak_device_bytes for row in rows) else {"GPU MB"}
    empty |= set() if any(row.limit_ms for row in rows) else {"limit"}
    return [name for name in chosen if name not in empty]
