"""`cfack bench`: what a query and its parts cost, with the accuracy beside it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfack.cli.bench_command import command_without_paths
from cfack.cli.bench_options import bench_options
from cfack.cli.bench_progress import bench_progress
from cfack.cli.bench_reports import compare, report, require_matplotlib, show_results
from cfack_runtime.errors import CfackError, ParityError, UsageError

if TYPE_CHECKING:
    from cfack_bench.results import Results


class _RunContext(click.Context):
    """Messages about `run` name the command as users write it, without the word."""

    @property
    def command_path(self) -> str:
        """See `click.Context`."""
        return super().command_path.removesuffix(" run")


class _RunCommand(click.Command):
    context_class = _RunContext


class _BenchGroup(click.Group):
    """Subcommands beside a bundle: what is no subcommand is the BUNDLE of `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Group`."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Group`: the options of `run` are those of the command."""
        run = self.commands["run"]
        formatter.write_usage(ctx.command_path, "BUNDLE [OPTIONS]")
        formatter.write_usage(ctx.command_path, "compare BEFORE.json AFTER.json [OPTIONS]", prefix="       ")
        formatter.write_usage(ctx.command_path, "report RESULTS.json [OPTIONS]", prefix="       ")
        run.format_help_text(ctx, formatter)
        run.format_options(ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self.commands[name].get_short_help_str(70)) for name in ("compare", "report")]
            )


@click.group("bench", cls=_BenchGroup)
def command() -> None:
    """Measure a bundle, compare two measurements, or write reports of one."""


@command.command("run", cls=_RunCommand)
@click.argument("bundle", type=click.Path(path_type=Path))
@bench_options
def run(
    bundle: Path,
    suite: str,
    backends: tuple[str, ...],
    precisions: tuple[str, ...],
    batch: tuple[float, ...] | None,
    rate: tuple[float, ...] | None,
    data: Path | None,
    score: str,
    gallery: Path | None,
    checkpoint: Path | None,
    no_baselines: bool,
    device: str,
    threads: int | None,
    budget: float | None,
    name: str,
    out: Path | None,
    overwrite: bool,
    export_table: Path | None,
    no_plots: bool,
    as_json: bool,
) -> None:
    """Measure how long BUNDLE takes: a query, its stages, each graph, a cold start.

    Every precision whose parity gate passed runs in a process of its own and takes turns with the
    baselines; one that did not pass gets no speed. Give --data and --checkpoint for real inputs, R@1 and
    PyTorch beside it. Ctrl-C keeps what is done.
    """
    from cfack_bench.lineup import Wanted
    from cfack_bench.machine import physical_cores
    from cfack_bench.options import BenchOptions
    from cfack_bench.report.files import write_results
    from cfack_bench.report.readme import require_markers
    from cfack_bench.run import run_bench
    from cfack_bench.suite_file import load_suite

    if not no_plots:
        require_matplotlib()
    options = BenchOptions(
        bundle=bundle,
        suite=load_suite(suite),
        suite_name=Path(suite).stem,
        wanted=Wanted(
            backends=backends,
            precisions=precisions,
            device=device,
            threads=threads or physical_cores(),
            checkpoint=checkpoint,
            baselines=not no_baselines,
            has_data=data is not None,
        ),
        data=data,
        gallery=gallery,
        score=score,
        batch=tuple(int(number) for number in batch or ()),
        rates=rate or (),
        budget=budget,
        name=name,
        command=command_without_paths(),
    )
    folder = out or Path(f"bench-{options.results_name}-{time.strftime('%Y%m%d-%H%M%S')}")
    _require_place(folder, overwrite=overwrite)
    if export_table is not None:
        require_markers(export_table, options.results_name)
    with bench_progress() as progress:
        results = run_bench(options, progress)
    write_results(results, folder)
    show_results(results, folder, export_table, plots=not no_plots, as_json=as_json)
    _require_speed(results)


def _require_speed(results: Results) -> None:
    """A run that measured nothing, or was broken off, did not do what it was asked."""
    if not results.rows:
        refused = [entry for entry in results.candidates if entry["status"] == "refused"]
        if refused:
            names = ", ".join(entry["precision"] for entry in refused)
            raise ParityError(f"no speed is given: the parity gate of {names} did not pass; see parity.json")
        reasons = "\n".join(f"  {entry['what']}: {entry['reason']}" for entry in results.not_run)
        raise CfackError(f"nothing was measured:\n{reasons}")
    if results.header["stopped"] == "interrupted":
        sys.exit(1)


def _require_place(folder: Path, *, overwrite: bool) -> None:
    """Samples that somebody measured are not lost by a second run."""
    found = [path for path in (folder, folder / "results.json") if path.is_file()]
    if found and (found[0] == folder or not overwrite):
        raise UsageError(f"{found[0]} is there already; name another folder, or give --overwrite")
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"{folder}: cannot be written, since {parent} is no folder that one may write into")


command.add_command(report)
command.add_command(compare)
