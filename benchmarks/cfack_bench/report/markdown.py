"""Results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from cfack_bench.candidates import REFUSED
from cfack_bench.report.cells import LEGEND
from cfack_bench.report.facts import candidates, conditions, doubts, sentence_of_stop
from cfack_bench.report.names import label
from cfack_bench.report.table import Table
from cfack_bench.report.view import tables
from cfack_bench.results import Results


def markdown(results: Results) -> str:
    """Every table with all columns, the candidates, the conditions, and what was not run."""
    lines = [f"# {results.name}: what a query costs", ""]
    stop = sentence_of_stop(results)
    if stop:
        lines += [f"**{stop}**", ""]
    for table in tables(results):
        lines += [f"## {table.title}", "", *markdown_table(table), ""]
        if table.note:
            lines += [table.note, ""]
    lines += ["## Reading", "", *bullets(LEGEND), "", "## Candidates", ""]
    lines += bullets(candidates(results))
    lines += ["", "## Conditions", "", *bullets(conditions(results)), "", *_doubts(results)]
    if results.not_run:
        lines += ["## Not run", ""]
        lines += bullets(
            f"{entry['what']}: {entry['reason']}" + (f": `{entry['command']}`" if entry["command"] else "")
            for entry in results.not_run
        )
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(table: Table) -> list[str]:
    """Lines of one table, figures to the right."""
    rule = ["---" if index < table.words else "---:" for index in range(len(table.headings))]
    return [_line(table.headings), _line(rule), *(_line(row) for row in table.rows)]


def bullets(items: Iterable[str]) -> list[str]:
    """A list."""
    return [f"- {_escaped(item)}" for item in items]


def _doubts(results: Results) -> list[str]:
    doubted = doubts(results)
    refused = [
        f"{label(account)}: {account['note']}"
        for account in results.candidates
        if account["status"] == REFUSED
    ]
    lines = ["## No speed", "", *bullets(refused), ""] if refused else []
    return [*lines, "## Doubts", "", *bullets(doubted), ""] if doubted else lines


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_escaped(cell).replace("|", "\\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    """A tilde pair would strike text through, an asterisk pair set it in italics."""
    return text.replace("*", "\\*").replace("~", "\\~") if "`" not in text else text
