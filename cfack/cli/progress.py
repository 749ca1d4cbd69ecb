"""Progress bars for the terminal; silent where stderr is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cfack_runtime.progress import ProgressCallback, no_progress


@contextmanager
def progress_bar(title: str, unit: str = "") -> Iterator[ProgressCallback]:
    """Show one bar with units per second and an estimate of the time left, on stderr.

    Args:
        title: what is being done, for example "Encoding images".
        unit: what is counted, for example "images".
    """
    with stage_bar(title, unit) as (progress, _):
        yield progress


@contextmanager
def stage_bar(title: str, unit: str = "") -> Iterator[tuple[ProgressCallback, Callable[[str], None]]]:
    """Show one bar for work of several stages; the second callback changes its title."""
    if not sys.stderr.isatty():
        yield no_progress, lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, rate="")
        began = time.perf_counter()

        def report(done: int, total: int, /) -> None:
            rate = done / max(time.perf_counter() - began, 1e-9)
            bar.update(task, completed=done, total=total, rate=f"{rate:.1f}/s")

        yield report, lambda text: bar.update(task, description=text)
