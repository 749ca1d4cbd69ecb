"""Options of every command that runs a bundle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_Function = Callable[..., Any]

SCORE = click.Choice(["logit", "log-odds", "probability"])
"""`SCORES` of `cfack_runtime.scoring`, which `--help` does not load."""


def runtime_options(function: _Function) -> _Function:
    """Add --precision, --device and --threads, the keyword arguments of `Retriever.open`."""
    for option in (
        click.option(
            "--threads", type=click.IntRange(min=1), help="CPU threads.  [default: one a physical core]"
        ),
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N."),
        click.option(
            "--precision",
            default="auto",
            show_default=True,
            help="A precision of the bundle, or auto: the best for the device.",
        ),
    ):
        function = option(function)
    return function
