"""Results as tables: the summary, one for each measurement, and the stages of a query."""

from __future__ import annotations

from collections.abc import Sequence

from cfack_bench.candidates import REFUSED
from cfack_bench.cases import COLD_START, OPEN_LOOP, QUERY, TITLES
from cfack_bench.report.cells import COLUMNS, DASH, columns_of, number, stage_median
from cfack_bench.report.names import SIZE_HEADINGS, accuracy, label, size
from cfack_bench.report.summary import summary
from cfack_bench.report.table import Table
from cfack_bench.results import Results
from cfack_bench.row import Row
from cfack_bench.staged import STAGES

_GPU_NOTE = (
    "p50: all of a call, by the host's clock, with page-locked memory bound beforehand; in, device, out: "
    "copying to the GPU, the graph, copying back, by CUDA events; graph: replayed as a CUDA graph."
)
_NOTES = {
    OPEN_LOOP: "From the moment that a query is due to its answer, so that waiting counts.",
    COLD_START: "A new process each time; import, open and first are its parts. The disk's cache is warm.",
}


def tables(results: Results, *, narrow: bool = False) -> list[Table]:
    """All tables.

    Args:
        results: of a run.
        narrow: for a terminal of 80 columns, which has no room for every column.
    """
    found = [summary(results, document=not narrow)] if results.candidates else []
    notes = dict(_NOTES)
    on_gpu = [row.case.measure for row in results.rows if row.case.on_device]
    if on_gpu:
        notes[on_gpu[0]] = _GPU_NOTE  # below the first table of its kind only
    for measure in TITLES:
        rows = [row for row in results.rows if row.case.measure == measure]
        if rows:
            found.append(_measurement(results, measure, rows, notes.get(measure, ""), narrow=narrow))
        if measure == QUERY and any(row.stages for row in rows):
            found.append(_stages(results, rows))
    return found


def _measurement(results: Results, measure: str, rows: Sequence[Row], note: str, *, narrow: bool) -> Table:
    columns = columns_of(measure, rows, narrow=narrow)
    lines = [
        (
            label(results.candidate(row.candidate)),
            size(row),
            *(COLUMNS[name](results, row) for name in columns),
        )
        for row in _by_size(rows)
    ]
    for account in results.candidates:
        if account["status"] == REFUSED:
            blank = (DASH,) * (len(columns) - 1)
            lines.append((label(account), "no speed", *blank, accuracy(results, account)))
    unit = "q" if rows[0].case.unit == "queries" else rows[0].case.unit
    shown = [f"{unit}/s" if name == "per s" else name for name in columns]
    headings = ("", SIZE_HEADINGS.get(measure, "size"), *shown)
    return Table(TITLES[measure], headings, tuple(lines), note)


def _stages(results: Results, rows: Sequence[Row]) -> Table:
    lines = []
    for row in _by_size(rows):
        if row.stages:
            medians = [stage_median(row, stage) for stage in STAGES]
            cells = (*medians, sum(value or 0.0 for value in medians), row.figures.p50)
            lines.append((label(results.candidate(row.candidate)), size(row), *map(number, cells)))
    headings = ("", SIZE_HEADINGS[QUERY], "token", "encode", "search", "read", "re-rank", "sum", "whole")
    note = (
        "Medians in ms: words to tokens, encoding them, search of the gallery, reading image tokens, "
        "re-ranking. whole: measured apart; cfack_runtime then reads while it re-ranks."
    )
    return Table("Stages of a query", headings, tuple(lines), note)


def _by_size(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: list(row.case.parameters.values()))
