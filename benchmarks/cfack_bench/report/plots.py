"""Plots as PNG, drawn by matplotlib without a display."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cfack_bench.cases import IMAGES, QUERY
from cfack_bench.report.cells import number
from cfack_bench.report.facts import uncertainty
from cfack_bench.report.names import curve, label
from cfack_bench.report.plot_style import color, finish, marker, plain_numbers, style
from cfack_bench.results import Results
from cfack_bench.row import Row
from cfack_bench.staged import STAGES
from cfack_bench.statistics import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (7.2, 4.3)
_DPI = 110


def draw_plots(results: Results) -> dict[str, bytes]:
    """Draw what the results hold: file name -> PNG.

    Plots whose data were not measured are left out.
    """
    drawn = {}
    plots: dict[str, Callable[[Results, Figure], bool]] = {
        "latency-candidates.png": _latency_against_candidates,
        "throughput-accuracy.png": _throughput_against_accuracy,
        "latency-batch.png": _latency_against_batch,
        "stages.png": _stages,
    }
    for name, draw in plots.items():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        if draw(results, figure):
            data = io.BytesIO()
            figure.savefig(data, format="png", bbox_inches="tight", pad_inches=0.12)
            drawn[name] = data.getvalue()
    return drawn


def _latency_against_batch(results: Results, figure: Figure) -> bool:
    rows = [row for row in results.rows if row.case.measure == IMAGES]
    if len({row.case.parameters["batch"] for row in rows}) < 2:
        return False
    axes = figure.add_subplot()
    _lines(results, axes, rows, "batch")
    axes.set(xscale="log", yscale="log", xlabel="images in a batch", ylabel="median of a call, ms")
    ticks = sorted({row.case.parameters["batch"] for row in rows})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.minorticks_off()
    plain_numbers(axes)
    finish(axes, "Image encoding: latency against batch")
    return True


def _latency_against_candidates(results: Results, figure: Figure) -> bool:
    rows = [row for row in results.rows if row.case.measure == QUERY and row.case.parameters["clients"] == 1]
    if len({row.case.parameters["candidates"] for row in rows}) < 2:
        return False
    axes = figure.add_subplot()
    _lines(results, axes, rows, "candidates")
    axes.set(xlabel="candidates re-ranked", ylabel="median of a query, ms")
    axes.set_ylim(bottom=0)
    lines = _accuracy_lines(results)
    if lines:
        right = axes.twinx()
        for (at, values), owners in lines.items():
            alone = len(owners) == 1
            index = owners[0]
            names = ", ".join(label(results.candidates[owner]) for owner in owners)
            right.plot(
                at,
                values,
                linestyle=":",
                marker=marker(index) if alone else "",
                markersize=4,
                color=color(index) if alone else "#777777",
                label=f"R@1 of {'all measured' if len(lines) == 1 and len(owners) > 1 else names}",
            )
        right.set_ylabel("R@1, percent (dotted)")
        right.spines["top"].set_visible(False)
        right.set_ylim(0, 100)
        title = "A query: latency (solid) and R@1 (dotted)"
    else:
        why = "R@1 of too few captions is not shown" if results.accuracy else "--data would add R@1"
        title = f"A query: latency against candidates ({why})"
    finish(axes, title)
    return True


def _throughput_against_accuracy(results: Results, figure: Figure) -> bool:
    axes = figure.add_subplot()
    found = False
    written: list[tuple[str, tuple[float, float]]] = []
    # Without it, differences that 200 questions cannot tell would look like findings.
    uncertain = uncertainty(results)
    for index, account in enumerate(results.candidates):
        points = {point["candidates"]: point["r1"] for point in curve(results, account)}
        rows = [
            row
            for row in results.rows
            if row.candidate == account["id"]
            and row.case.measure == QUERY
            and row.case.parameters["clients"] == 1
            and row.case.parameters["candidates"] in points
        ]
        if not rows:
            continue
        found = True
        places = [(points[row.case.parameters["candidates"]], row.throughput) for row in rows]
        at, rates = zip(*places, strict=True)
        bars = axes.errorbar(at, rates, xerr=uncertain, **style(index), elinewidth=0.6, label=label(account))
        for bar in bars[2]:
            bar.set_alpha(0.4)
        for place, row in zip(places, rows, strict=True):
            text = f"{row.case.parameters['candidates']:g}"
            if not any(text == other and _close(place, there) for other, there in written):
                written.append((text, place))
                axes.annotate(text, place, textcoords="offset points", xytext=(6, 5), fontsize=8)
    axes.set(xlabel="R@1, percent, with its 95 % interval", ylabel="queries a second, one client")
    axes.set_yscale("log")
    plain_numbers(axes)
    finish(axes, "Throughput against accuracy; numbers are candidates re-ranked")
    return found


def _stages(results: Results, figure: Figure) -> bool:
    rows = [row for row in results.rows if row.case.measure == QUERY and row.stages]
    if not rows:
        return False
    order = [account["id"] for account in results.candidates]
    rows.sort(key=lambda row: (row.case.parameters["candidates"], order.index(row.candidate)), reverse=True)
    figure.set_size_inches(_SIZE[0], max(2.6, 0.32 * len(rows) + 1.4))
    axes = figure.add_subplot()
    names = [
        f"{label(results.candidate(row.candidate))}, K={row.case.parameters['candidates']:g}" for row in rows
    ]
    shares = [[figures(row.stages[stage]).p50 for stage in STAGES] for row in rows]
    left = [0.0] * len(rows)
    for index, stage in enumerate(STAGES):
        widths = [100 * values[index] / sum(values) for values in shares]
        axes.barh(names, widths, left=left, color=color(index), label=stage)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for place, values in enumerate(shares):
        text = f"{number(sum(values))} ms"
        axes.annotate(text, (101, place), va="center", fontsize=8, annotation_clip=False)
    axes.set(xlabel="share of the stages' medians, percent; their sum at the end", xlim=(0, 100))
    finish(axes, "Where the time of a query goes")
    return True


def _accuracy_lines(results: Results) -> dict[tuple[tuple[float, ...], tuple[float, ...]], list[int]]:
    """Candidates and R@1 -> numbers of those who have them: lines on top of each other show only the last."""
    lines: dict[tuple[tuple[float, ...], tuple[float, ...]], list[int]] = {}
    for index, account in enumerate(results.candidates):
        if points := curve(results, account):
            at, values = zip(*((point["candidates"], point["r1"]) for point in points), strict=True)
            lines.setdefault((at, values), []).append(index)
    return lines


def _close(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two labels at (R@1, rate) would cover each other."""
    return abs(one[0] - other[0]) < 1 and 0.7 < one[1] / other[1] < 1.4


def _lines(results: Results, axes: Axes, rows: Sequence[Row], parameter: str) -> None:
    """One line a candidate, with the 95 % interval of each median."""
    for index, account in enumerate(results.candidates):
        mine = sorted(
            (row for row in rows if row.candidate == account["id"]),
            key=lambda row: row.case.parameters[parameter],
        )
        if mine:
            at = [row.case.parameters[parameter] for row in mine]
            middle = [row.figures.p50 for row in mine]
            below = [row.figures.p50 - row.figures.low for row in mine]
            above = [row.figures.high - row.figures.p50 for row in mine]
            axes.errorbar(at, middle, yerr=[below, above], capsize=3, **style(index), label=label(account))
