"""Tables for a terminal of 80 columns."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from cfack_bench.report.cells import LEGEND
from cfack_bench.report.facts import conditions, sentence_of_stop
from cfack_bench.report.table import Table
from cfack_bench.report.view import tables
from cfack_bench.results import Results

WIDTH = 80


def print_results(results: Results, console: Console | None = None) -> None:
    """Print every table, the conditions, and what was not run."""
    console = console or Console(width=WIDTH, highlight=False)
    for table in tables(results, narrow=True):
        console.print(rich_table(table))
        if table.note:
            console.print(table.note, style="dim")
        console.print()
    for line in LEGEND if results.rows else ():
        console.print(line, style="dim")
    console.print()
    for line in conditions(results):
        console.print(escape(line))
    if results.not_run:
        console.print("\n[bold]Not run[/bold]")
    for entry in results.not_run:
        console.print(f"- {escape(entry['what'])}: {escape(entry['reason'])}")
        if entry["command"]:
            console.print(f"  {escape(entry['command'])}", style="dim")
    stop = sentence_of_stop(results)
    if stop:
        console.print(f"\n[bold]{escape(stop)}[/bold]")


def rich_table(table: Table) -> RichTable:
    """One table without outer lines."""
    shown = RichTable(
        title=table.title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for index, heading in enumerate(table.headings):
        # Figures are never cut; where there is no room for all of them, the long names are folded.
        is_word = index < table.words
        shown.add_column(
            heading, justify="left" if is_word else "right", no_wrap=not is_word, overflow="fold"
        )
    for row in table.rows:
        shown.add_row(*(escape(cell) for cell in row))
    return shown
