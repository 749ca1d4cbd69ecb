"""`cfack doctor`: what this machine can run, and what to do about the rest."""

from __future__ import annotations

import json
import platform
import sys
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cfack_runtime.backends.doctor import Diagnosis

_WIDTH = 80


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of lines.")
def command(as_json: bool) -> None:
    """Say which backends this machine can run, each tried, with versions.

    For each that it cannot run: why, and the one thing to do. The exit code is 1 if it can run none.
    """
    from cfack import __version__
    from cfack_runtime.backends.doctor import diagnose

    found = diagnose()
    machine = {
        "cfack": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if as_json:
        click.echo(json.dumps({**machine, "checks": [asdict(item) for item in found]}, indent=2))
    else:
        click.echo(f"cfack {machine['cfack']}, Python {machine['python']}, {machine['system']}")
        for item in found:
            click.echo(_lines(item))
    if not any(item.runs and item.backend for item in found):
        sys.exit(1)


def _lines(item: Diagnosis) -> str:
    lines = [f"{'yes' if item.runs else 'no':4}{item.name:18}{item.version}"]
    for label, text in (("", item.detail), ("do: ", item.remedy)):
        if text:
            lines += textwrap.wrap(
                label + text,
                _WIDTH,
                initial_indent=" " * 6,
                subsequent_indent=" " * (6 + len(label)),
                break_on_hyphens=False,
            )
    return "\n".join(lines)
