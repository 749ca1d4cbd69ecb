"""What all plots have in common."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which people of every colour vision tell apart.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
_MARKERS = "osD^vPX*"
_COLUMNS = 5
"""Of a legend, at most."""


def plain_numbers(axes: Axes) -> None:
    """Write 0.4 and not 4 x 10^-1 at a logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    written = FuncFormatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(written)
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.yaxis.set_minor_formatter(written)


def style(index: int) -> dict[str, Any]:
    """How the line of candidate number `index` is drawn."""
    return {
        "color": color(index),
        "marker": marker(index),
        "markersize": 5,
        "linewidth": 1.6,
    }


def color(index: int) -> str:
    """The colour of candidate number `index`."""
    return _COLORS[index % len(_COLORS)]


def finish(axes: Axes, title: str) -> None:
    """Title, grid, and a legend below the plot, where it covers nothing."""
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    named = sum(len(one.get_legend_handles_labels()[0]) for one in axes.figure.axes)
    if named:
        columns = math.ceil(named / math.ceil(named / _COLUMNS))
        axes.figure.legend(frameon=False, fontsize=8, ncols=columns, loc="outside lower center")


def marker(index: int) -> str:
    """The mark of candidate number `index`."""
    return _MARKERS[index % len(_MARKERS)]
