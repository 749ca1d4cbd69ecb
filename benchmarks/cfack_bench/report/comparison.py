"""A comparison of two runs, for a terminal of 80 columns and for programs."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape

from cfack_bench.cases import (
    COLD_START,
    GPU_IMAGES,
    GPU_RERANKING,
    GPU_TEXTS,
    IMAGES,
    OPEN_LOOP,
    QUERY,
    RERANKING,
    SEARCH,
    TEXTS,
)
from cfack_bench.compare import Change, Comparison
from cfack_bench.report.cells import number
from cfack_bench.report.names import accuracy, label, size
from cfack_bench.report.table import Table
from cfack_bench.report.terminal import WIDTH, rich_table
from cfack_bench.results import Results


def print_comparison(
    comparison: Comparison, before: Results, after: Results, console: Console | None = None
) -> None:
    """Print every row, the accuracy on both sides, and the warnings."""
    console = console or Console(width=WIDTH, highlight=False)
    accounts = {account["id"]: account for account in (*before.candidates, *after.candidates)}
    worth = {
        name: (_accuracy(before, name), _accuracy(after, name))
        for name in dict.fromkeys(change.candidate for change in comparison.changes)
    }
    rows = [
        (
            label(accounts[change.candidate]),
            _case(change, after),
            number(change.before),
            number(change.after),
            f"{change.ratio - 1:+.0%}",
            f"{change.low - 1:+.0%} {change.high - 1:+.0%}",
            change.verdict,
        )
        for change in comparison.changes
    ]
    headings = ("", "", "before", "after", "change", "99 % between", "verdict")
    console.print(rich_table(Table(f"{_WHAT[comparison.statistic]}, ms", headings, tuple(rows))))
    for name, (old, new) in worth.items():
        console.print(f"{escape(label(accounts[name]))}: accuracy {old} before, {new} after", style="dim")
    for name in comparison.lost:
        console.print(f"[bold red]{escape(name)}: no speed any more, its parity gate did not pass[/]")
    for when, names in (("before", comparison.only_before), ("after", comparison.only_after)):
        for line in _lonely(names, {change.candidate for change in comparison.changes}):
            console.print(f"only {when}: {escape(line)}", style="dim")
    for warning in comparison.warnings:
        console.print(f"[yellow]note:[/] {escape(warning)}")


def comparison_json(comparison: Comparison, fail_over: float | None) -> dict[str, Any]:
    """Plain values."""
    changes = [{**asdict(change), "ratio": change.ratio} for change in comparison.changes]
    regressions = None if fail_over is None else comparison.regressions(fail_over)
    return {**asdict(comparison), "changes": changes, "regressions": regressions}


def _accuracy(results: Results, candidate: str) -> str:
    found: Mapping[str, Any] | None = next(
        (account for account in results.candidates if account["id"] == candidate), None
    )
    return "unknown" if found is None else accuracy(results, found)


_WHAT = {"p50": "Medians", "p95": "95th percentiles", "mean": "Means"}
_SHORT = {
    QUERY: "query",
    OPEN_LOOP: "open",
    IMAGES: "image",
    TEXTS: "text",
    RERANKING: "re-rank",
    SEARCH: "search",
    COLD_START: "cold start",
    GPU_IMAGES: "GPU image",
    GPU_TEXTS: "GPU text",
    GPU_RERANKING: "GPU re-rank",
}


def _case(change: Change, results: Results) -> str:
    """Measurement and size, as short as in the other tables."""
    row = next(row for row in results.rows if row.key == (change.candidate, change.case))
    return f"{_SHORT.get(row.case.measure, row.case.measure)} {size(row)}".strip()


def _lonely(names: Iterable[str], compared: Container[str]) -> list[str]:
    """Rows of one run only, a line for each candidate; a word where all of a candidate is in one run only."""
    cases: dict[str, list[str]] = {}
    for name in names:
        candidate, _, case = name.partition(" ")
        cases.setdefault(candidate, []).append(case)
    return [
        f"{candidate}, {', '.join(found)}" if candidate in compared else f"{candidate}, all of it"
        for candidate, found in cases.items()
    ]
