"""What `cfack bench` shows while it measures."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cfack_bench.progress import BenchProgress

_LINE_EVERY = 10.0


@contextmanager
def bench_progress() -> Iterator[BenchProgress]:
    """A bar on a terminal; elsewhere a line now and then. Both on stderr."""
    if not sys.stderr.isatty():
        yield _line_now_and_then()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description:<44}"), BarColumn(bar_width=16), TaskProgressColumn())
    left_column = TextColumn("{task.fields[left]}")
    with Progress(*columns, left_column, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0, left="")

        def show(doing: str, share: float, seconds_left: float | None, /) -> None:
            bar.update(task, description=doing[:44], completed=share, left=_time_left(seconds_left))

        yield show


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds / 60:.0f} min left" if seconds > 90 else f"{seconds:.0f} s left"


def _line_now_and_then() -> BenchProgress:
    began = time.monotonic()
    said = [-_LINE_EVERY]

    def show(doing: str, share: float, seconds_left: float | None, /) -> None:
        now = time.monotonic() - began
        if now - said[0] >= _LINE_EVERY:
            said[0] = now
            left = _time_left(seconds_left)
            click.echo(f"[{now:4.0f} s] {share:4.0%} {doing}{', ' + left if left else ''}", err=True)

    return show
