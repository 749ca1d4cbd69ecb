"""A comparison of two runs, for a terminal of 80 columns and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape

from cfack_bench.compare import Comparison
from cfack_bench.report.terminal import WIDTH, rich_table
from cfack_bench.report.view import Table, accuracy, label, number
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
            _short(change.case),
            number(change.before),
            number(change.after),
            f"{change.ratio - 1:+.0%}",
            f"{change.low - 1:+.0%} {change.high - 1:+.0%}",
            change.verdict,
        )
        for change in comparison.changes
    ]
    headings = ("", "measurement", "before", "after", "change", "99 % between", "verdict")
    console.print(rich_table(Table("Milliseconds, before and after", headings, tuple(rows))))
    for name, (old, new) in worth.items():
        console.print(f"{escape(label(accounts[name]))}: accuracy {old} before, {new} after", style="dim")
    for name in comparison.lost:
        console.print(f"[bold red]{escape(name)}: no speed any more, its parity gate did not pass[/]")
    for title, names in (("before", comparison.only_before), ("after", comparison.only_after)):
        if names:
            console.print(f"only {title}: {escape(', '.join(names))}", style="dim")
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


def _short(case: str) -> str:
    """A case in at most 27 characters."""
    names = {"image_encoding": "image", "text_encoding": "text", "reranking": "re-rank", "open_loop": "open"}
    words = case.split(" ")
    words[0] = names.get(words[0], words[0])
    kept = [word for word in words if word not in ("clients=1", "queries=1", "k=128")]
    return " ".join(kept).replace("candidates=", "K=")[:27]
