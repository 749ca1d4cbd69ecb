"""How a training looks in a terminal or in a log file; all of it on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from cfack.training.reports import EvaluationReport, StepReport


@dataclass
class Quiet:
    """Shows nothing; of all processes but the first."""

    def progress(self, done: int, total: int, /) -> None:
        """Take note of the steps done."""

    def step(self, report: StepReport) -> None:
        """Take note of a step."""

    def evaluation(self, report: EvaluationReport) -> None:
        """Take note of an evaluation."""


@dataclass
class Lines(Quiet):
    """A line on stderr every `log_every` steps; where stderr is no terminal."""

    log_every: int

    def step(self, report: StepReport) -> None:
        """Write a line if it is time for one."""
        if report.step % self.log_every == 0 or report.step == report.total_steps:
            click.echo(
                f"step {report.step}/{report.total_steps}  epoch {report.epoch}  "
                f"loss {report.values.loss:.4f}  learning rate {report.learning_rate:.2e}  "
                f"{report.images_per_second:.1f} images/s",
                err=True,
            )

    def evaluation(self, report: EvaluationReport) -> None:
        """Write a line."""
        click.echo(_evaluation_line(report), err=True)


@dataclass
class Bar(Quiet):
    """A progress bar over all steps, with loss, speed and the time left."""

    bar: Progress
    task: TaskID
    started: bool = False

    def progress(self, done: int, total: int, /) -> None:
        """Move the bar."""
        if self.started:
            self.bar.update(self.task, completed=done)
        else:
            # Steps that a resumed run has behind it say nothing about its speed.
            self.bar.reset(self.task, total=total, completed=done)
            self.started = True

    def step(self, report: StepReport) -> None:
        """Show loss and speed beside the bar."""
        values = (
            f"epoch {report.epoch}  loss {report.values.loss:.3f}  {report.images_per_second:.0f} images/s"
        )
        self.bar.update(self.task, values=values)

    def evaluation(self, report: EvaluationReport) -> None:
        """Write a line above the bar."""
        self.bar.console.print(_evaluation_line(report), highlight=False)


def _evaluation_line(report: EvaluationReport) -> str:
    return f"after epoch {report.epoch}: R@1 {report.r1:.2f} %" + (
        ", the best so far" if report.is_best else ""
    )


@contextmanager
def show_training(log_every: int, is_main: bool) -> Iterator[Quiet]:
    """What shows the training here: a bar on a terminal, else lines; nothing in any process but the first.

    Args:
        log_every: optimiser steps between two lines.
        is_main: whether this is the first process.
    """
    if not is_main:
        yield Quiet()
        return
    if not sys.stderr.isatty():
        yield Lines(log_every)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("Training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps  {task.fields[values]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Bar(bar, bar.add_task("Training", total=None, values=""))
