"""`cfack quickstart`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cfack.quickstart import QuickstartResult, StageCallback


@click.command("quickstart")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("quickstart"),
    show_default=True,
    help="Folder for everything; one that an earlier quickstart made is replaced.",
)
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of the table.")
def command(out: Path, as_json: bool) -> None:
    """Everything CFACK does, on a small rendered data set, in a few minutes on two cores.

    Renders pedestrians with captions, trains the `tiny` preset, evaluates it on identities that training
    never saw, exports it to ONNX, indexes the test images and searches them.
    """
    from cfack.quickstart import quickstart

    with _stage_display() as report:
        result = quickstart(out, report=report)
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
        return
    _print_result(result)


@contextmanager
def _stage_display() -> Iterator[StageCallback]:
    """One bar over all stages on a terminal; elsewhere one line for each stage as it begins."""
    if not sys.stderr.isatty():
        yield _line_per_stage()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description:<28}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TextColumn("{task.fields[left]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=1.0, left="")

        def report(stage: str, share_done: float, seconds: float, /) -> None:
            left = _time_left(share_done, seconds)
            bar.update(task, description=stage, completed=share_done, left=left)

        yield report


def _time_left(share_done: float, seconds: float) -> str:
    if share_done < 0.02:
        return "about 5 minutes left"
    left = seconds * (1 - share_done) / share_done
    return f"about {left / 60:.0f} minutes left" if left > 90 else f"about {left:.0f} seconds left"


def _line_per_stage() -> StageCallback:
    seen: list[str] = []

    def report(stage: str, share_done: float, seconds: float, /) -> None:
        if stage not in seen:
            seen.append(stage)
            click.echo(f"[{seconds:4.0f} s] {stage} ...", err=True)

    return report


def _print_result(result: QuickstartResult) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{result.queries} sentences, {result.gallery} images of {result.identities} persons "
        "that training never saw"
    )
    table.add_column("")
    for heading in ("R@1", "R@5", "R@10", "mAP", "mINP", "ms/query"):
        table.add_column(heading, justify="right")
    for row in result.rows:
        figures = row.metrics
        values = (figures.r1, figures.r5, figures.r10, figures.mean_ap, figures.mean_inp)
        table.add_row(row.name, *(f"{value:.1f}" for value in values), f"{row.milliseconds:.1f}")
    Console().print(table)
    program = sys.argv[0] if Path(sys.argv[0]).name == "cfack" else "cfack"
    minutes, seconds = divmod(round(result.total_seconds), 60)
    click.echo(
        f"Re-ranked: the first {result.rerank} images of each query, by {result.score}. "
        f"Took {minutes} min {seconds} s.\n\n"
        f"Look at    {result.contact_sheet}\n"
        f"Figures in {result.folder / 'results.json'}\n\n"
        "Now search yourself:\n"
        f'  {program} search {result.gallery_folder} "a woman with a red bag" '
        f"--score {result.score} -k 5 --sheet hits.png"
    )
