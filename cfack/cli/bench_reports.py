"""`cfack bench report` and `cfack bench compare`: measurements that were made before."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfack.cli.bench_options import export_table_option, no_plots_option
from cfack.cli.bench_types import Percent
from cfack_runtime.errors import CfackError, UsageError

if TYPE_CHECKING:
    from cfack_bench.results import Results


@click.command("report", short_help="Print and write the reports of a measurement again.")
@click.argument("source", metavar="RESULTS.json", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the reports.  [default: none]")
@export_table_option
@no_plots_option
def report(source: Path, out: Path | None, export_table: Path | None, no_plots: bool) -> None:
    """Print, and write anew, the reports of a measurement that was made before."""
    from cfack_bench.results import load_results

    show_results(load_results(source), out, export_table, plots=not no_plots, as_json=False)


@click.command("compare", short_help="Say what became faster or slower between two measurements.")
@click.argument("before", metavar="BEFORE.json", type=click.Path(path_type=Path))
@click.argument("after", metavar="AFTER.json", type=click.Path(path_type=Path))
@click.option(
    "--fail-over",
    type=Percent(),
    help="Exit with 1 if a row is slower by more than this, beyond the noise: 5%.",
)
@click.option(
    "--statistic",
    type=click.Choice(["p50", "p95", "mean"]),
    default="p50",
    show_default=True,
    help="What is compared of each row's samples.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def compare(before: Path, after: Path, fail_over: float | None, statistic: str, as_json: bool) -> None:
    """Say what became faster or slower from BEFORE.json to AFTER.json, beyond the noise.

    Both are a results.json that `cfack bench` wrote.
    """
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
        raise CfackError(f"{len(regressions)} regression{'s' * (len(regressions) > 1)}:\n{lines}")


def show_results(
    results: Results, folder: Path | None, document: Path | None, *, plots: bool, as_json: bool
) -> None:
    """Print the tables of results, or all of them as JSON, and write every report into a folder."""
    from cfack_bench.report.files import RESULTS, write_reports
    from cfack_bench.report.readme import export_table
    from cfack_bench.report.terminal import print_results
    from cfack_bench.results import dump

    if as_json:
        click.echo(dump(results.to_json()), nl=False)
    else:
        print_results(results)
    if folder is not None:
        if plots:
            require_matplotlib()
        written = write_reports(results, folder, plots=plots)
        click.echo(f"\nIn {folder}/:", err=as_json)
        for path in sorted({folder / RESULTS, *written} if (folder / RESULTS).is_file() else written):
            click.echo(f"  {path.name}", err=as_json)
    if document is not None:
        click.echo(f"Table written into {export_table(document, results)}", err=as_json)


def require_matplotlib() -> None:
    """Before a measurement, not after it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("the plots need matplotlib: `pip install 'cfack[bench]'`, or give --no-plots")
