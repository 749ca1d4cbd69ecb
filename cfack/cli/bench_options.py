"""Options of a measurement by `cfack bench`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cfack.cli.bench_types import Duration, Numbers, Words
from cfack_runtime.scoring import LOGIT, SCORES

_Function = Callable[..., Any]
_PATH = click.Path(path_type=Path)


def export_table_option(function: _Function) -> _Function:
    """Add --export-table."""
    text = "Write the summary into this document, between markers of the results' name."
    return click.option("--export-table", type=_PATH, help=text)(function)


def no_plots_option(function: _Function) -> _Function:
    """Add --no-plots."""
    return click.option("--no-plots", is_flag=True, help="Draw nothing; needs no matplotlib.")(function)


_WHAT = (
    click.option(
        "--suite", default="quick", show_default=True, help="quick, full, large-cpu, or a TOML file."
    ),
    click.option(
        "--backend",
        "backends",
        type=Words(),
        default=(),
        help="onnxruntime, tensorrt, tensorrt-rtx, or a baseline: plain-onnxruntime, pytorch, torch-compile, "
        "torch-autocast. Several with commas.  [default: onnxruntime, on a GPU the bundle's engines too, "
        "and the baselines that can run]",
    ),
    click.option(
        "--precision",
        "precisions",
        type=Words(),
        default=(),
        help="Precisions, with commas.  [default: all]",
    ),
    click.option("--batch", type=Numbers(int), help="Image batches in the place of the suite's: 1,8,32."),
    click.option(
        "--rate", type=Numbers(float), help="Queries that arrive a second, in the place of the suite's: 2,5."
    ),
)
_FROM = (
    click.option(
        "--data",
        type=_PATH,
        help="Prepared data folder: real images and captions, and R@1 against candidates.",
    ),
    click.option(
        "--score",
        type=click.Choice(SCORES),
        default=LOGIT,
        show_default=True,
        help="What re-ranks where R@1 is measured; a probability needs a fitted bundle.",
    ),
    click.option("--gallery", type=_PATH, help="Search this gallery, not a made-up one."),
    click.option(
        "--checkpoint", type=_PATH, help="What BUNDLE was exported from; for the PyTorch baselines."
    ),
    click.option("--no-baselines", is_flag=True, help="Measure the bundle alone."),
    click.option(
        "--device",
        default="cpu",
        show_default=True,
        help="cpu, cuda or cuda:N; engines take the GPU anyway.",
    ),
    click.option(
        "--threads", type=click.IntRange(min=1), help="CPU threads.  [default: one a physical core]"
    ),
    click.option(
        "--budget",
        type=Duration(),
        help="Time for everything: 90s, 5m, 1h.  [default: as the suite takes]",
    ),
)
_TO = (
    click.option("--name", default="", help="Name of the results.  [default: that of BUNDLE]"),
    click.option("--out", type=_PATH, help="Folder for the results.  [default: bench-NAME-TIME]"),
    click.option("--overwrite", is_flag=True, help="Replace results that are in that folder."),
    export_table_option,
    no_plots_option,
    click.option("--json", "as_json", is_flag=True, help="Print results.json instead of the tables."),
)


def bench_options(function: _Function) -> _Function:
    """Add all of them, in the order of the help."""
    for option in reversed((*_WHAT, *_FROM, *_TO)):
        function = option(function)
    return function
