"""The command line of a measurement as it is kept beside the results: that would measure the same."""

from __future__ import annotations

from pathlib import Path

import click

_CHANGE_NOTHING = ("out", "overwrite", "export_table", "name", "as_json", "no_plots")
"""Options that have no influence on what is measured."""


def command_without_paths() -> str:
    """What was asked, with names in the place of paths, which are nobody's business."""
    context = click.get_current_context()
    words = ["cfack bench BUNDLE"]
    for parameter in context.command.params:
        value = context.params[parameter.name or ""]
        if (
            not isinstance(parameter, click.Option)
            or parameter.name in _CHANGE_NOTHING
            or value == parameter.default
            or value in (None, False, "", ())
        ):
            continue
        option = parameter.opts[0]
        if isinstance(value, Path):
            words.append(f"{option} {option.strip('-').upper()}")
        elif value is True:
            words.append(option)
        elif isinstance(value, tuple):
            words.append(f"{option} {','.join(f'{i:g}' if isinstance(i, float) else str(i) for i in value)}")
        else:
            text = f"{value:g}s" if parameter.name == "budget" else str(value)
            words.append(f"{option} {Path(text).name if parameter.name == 'suite' else text}")
    return " ".join(words)
