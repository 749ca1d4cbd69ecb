"""`cfack bench`: what a query and its parts cost, with the accuracy beside it."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cfack_runtime.errors import CfackError, ParityError, UsageError

if TYPE_CHECKING:
    from cfack_bench.results import Results
    from cfack_bench.schedule import BenchProgress

_UNITS = {"s": 1, "m": 60, "h": 3600}
_LINE_EVERY = 10.0


class _Duration(click.ParamType[float]):
    """Seconds, written 90, 90s, 5m, 1h or 2m30s."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return float(text)
        if not re.fullmatch(r"(\d+(\.\d+)?[smh])+", text):
            self.fail(f"{text!r} is no duration; write 90s, 5m, 1h or 2m30s", param, ctx)
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smh])", text))


class _Percent(click.ParamType[float]):
    """A share, written 5% or 0.05."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", str(value))
        if not found:
            self.fail(f"{value!r} is no share; write 5% or 0.05", param, ctx)
        return float(found[1]) / (100 if found[2] else 1)


class _Numbers(click.ParamType["tuple[float, ...]"]):
    """Positive numbers with commas between them."""

    name = "list"

    def __init__(self, kind: Callable[[str], float]) -> None:
        self._kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        try:
            numbers = tuple(self._kind(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) <= 0:
            self.fail(f"{value!r} is no list of positive numbers; write for example 1,8,32", param, ctx)
        return numbers


class _Words(click.ParamType["tuple[str, ...]"]):
    """Names with commas between them."""

    name = "list"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        return value if isinstance(value, tuple) else tuple(part for part in str(value).split(",") if part)


class _BenchGroup(click.Group):
    """Subcommands beside a bundle: what is no subcommand is the BUNDLE of `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
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


@command.command("run")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--suite", default="quick", show_default=True, help="quick, full, or a TOML file.")
@click.option(
    "--backend",
    "backends",
    type=_Words(),
    default=(),
    help="onnxruntime, tensorrt, tensorrt-rtx, or a baseline: plain-onnxruntime, pytorch, torch-compile, "
    "torch-autocast. Several with commas.  [default: onnxruntime and the baselines that can run]",
)
@click.option(
    "--precision", "precisions", type=_Words(), default=(), help="Precisions, with commas.  [default: all]"
)
@click.option("--batch", type=_Numbers(int), default=None, help="Image batches, not the suite's: 1,8,32.")
@click.option("--rate", type=_Numbers(float), default=None, help="Arrivals a second, not the suite's loads.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Prepared data folder: real images and captions, and R@1 against candidates.",
)
@click.option("--gallery", type=click.Path(path_type=Path), help="Search this gallery, not a made-up one.")
@click.option(
    "--checkpoint", type=click.Path(path_type=Path), help="What BUNDLE came from; for PyTorch baselines."
)
@click.option("--no-baselines", is_flag=True, help="Measure the bundle alone.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: one a physical core]")
@click.option("--budget", type=_Duration(), help="Time for everything: 90s, 5m, 1h.")
@click.option("--name", default="", help="Of the results.  [default: that of BUNDLE]")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the results.  [default: bench-NAME-TIME]"
)
@click.option("--export-table", type=click.Path(path_type=Path), help="Document whose table is written anew.")
@click.option("--no-plots", is_flag=True, help="Draw nothing; needs no matplotlib.")
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of the tables.")
def run(
    bundle: Path,
    suite: str,
    backends: tuple[str, ...],
    precisions: tuple[str, ...],
    batch: tuple[float, ...] | None,
    rate: tuple[float, ...] | None,
    data: Path | None,
    gallery: Path | None,
    checkpoint: Path | None,
    no_baselines: bool,
    device: str,
    threads: int | None,
    budget: float | None,
    name: str,
    out: Path | None,
    export_table: Path | None,
    no_plots: bool,
    as_json: bool,
) -> None:
    """Measure how long BUNDLE takes: a query, its stages, each graph, a cold start.

    Every precision whose parity gate passed runs in a process of its own and takes turns with the
    baselines; one that did not pass gets no speed. Ctrl-C keeps what is done.
    """
    from cfack_bench.lineup import Wanted
    from cfack_bench.machine import physical_cores
    from cfack_bench.report.files import write_results
    from cfack_bench.run import BenchOptions, run_bench
    from cfack_bench.suite import load_suite

    if not no_plots:
        _require_matplotlib()
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
        batch=tuple(int(number) for number in batch or ()),
        rates=rate or (),
        budget=budget,
        name=name,
        command=_command_without_paths(),
    )
    with _display() as report:
        results = run_bench(options, report)
    folder = out or Path(f"bench-{results.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    write_results(results, folder)
    _show(results, folder, export_table, plots=not no_plots, as_json=as_json)
    _require_speed(results)


@command.command("report")
@click.argument("source", metavar="RESULTS.json", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the reports.  [default: none]")
@click.option("--export-table", type=click.Path(path_type=Path), help="Document whose table is written anew.")
@click.option("--no-plots", is_flag=True, help="Draw nothing; needs no matplotlib.")
def report(source: Path, out: Path | None, export_table: Path | None, no_plots: bool) -> None:
    """Print, and write anew, the reports of a measurement that was made before."""
    from cfack_bench.results import load_results

    _show(load_results(source), out, export_table, plots=not no_plots, as_json=False)


@command.command("compare")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--fail-over", type=_Percent(), help="Exit with 1 if a row is slower by more: 5%.")
@click.option(
    "--statistic", type=click.Choice(["p50", "p95", "mean"]), default="p50", show_default=True, help="What."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def compare(before: Path, after: Path, fail_over: float | None, statistic: str, as_json: bool) -> None:
    """Say what became faster or slower from BEFORE to AFTER, two results.json, beyond the noise."""
    from cfack_bench.compare import MARGIN
    from cfack_bench.compare import compare as compare_results
    from cfack_bench.report.comparison import comparison_json, print_comparison
    from cfack_bench.results import load_results

    old, new = load_results(before), load_results(after)
    found = compare_results(old, new, statistic=statistic, margin=fail_over or MARGIN)
    if as_json:
        click.echo(json.dumps(comparison_json(found, fail_over), indent=2))
    else:
        print_comparison(found, old, new)
    regressions = [] if fail_over is None else found.regressions(fail_over)
    if regressions:
        lines = "\n".join(f"  {line}" for line in regressions)
        raise CfackError(f"{len(regressions)} regressions:\n{lines}")


def _show(
    results: Results, folder: Path | None, document: Path | None, *, plots: bool, as_json: bool
) -> None:
    from cfack_bench.report.files import write_reports
    from cfack_bench.report.readme import export_table
    from cfack_bench.report.terminal import print_results
    from cfack_bench.results import dump

    if as_json:
        click.echo(dump(results.to_json()), nl=False)
    else:
        print_results(results)
    if folder is not None:
        if plots:
            _require_matplotlib()
        written = write_reports(results, folder, plots=plots)
        names = ", ".join(path.name for path in written)
        click.echo(f"\nWritten to {folder}: {names}", err=as_json)
    if document is not None:
        click.echo(f"Table written into {export_table(document, results)}", err=as_json)


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


def _require_matplotlib() -> None:
    """Before a measurement, not after it."""
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("the plots need matplotlib: `pip install 'cfack[bench]'`, or give --no-plots")


def _command_without_paths() -> str:
    """What was asked, with names in the place of paths, which are nobody's business."""
    context = click.get_current_context()
    words = ["cfack bench BUNDLE"]
    for parameter in context.command.params:
        value = context.params[parameter.name or ""]
        if (
            not isinstance(parameter, click.Option)
            or value == parameter.default
            or value in (None, False, "", ())
        ):
            continue
        if parameter.name in ("out", "export_table", "name", "as_json", "no_plots"):
            continue  # they change nothing that is measured
        option = parameter.opts[0]
        if isinstance(value, Path):
            words.append(f"{option} {option.strip('-').upper()}")
        elif value is True:
            words.append(option)
        elif isinstance(value, tuple):
            words.append(f"{option} {','.join(str(item) for item in value)}")
        else:
            text = f"{value:g}s" if parameter.name == "budget" else str(value)
            words.append(f"{option} {Path(text).name if parameter.name == 'suite' else text}")
    return " ".join(words)


@contextmanager
def _display() -> Iterator[BenchProgress]:
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
