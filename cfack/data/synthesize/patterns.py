"""Patterns of cloth, wrapped around trunks and sleeves so that they turn with the person."""

from __future__ import annotations

from itertools import pairwise
from math import dist, pi
from typing import TYPE_CHECKING

from cfack.data.synthesize.palette import mix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfack.data.synthesize.attributes import Garment
    from cfack.data.synthesize.canvas import Canvas
    from cfack.data.synthesize.palette import RGB
    from cfack.data.synthesize.pose import Point
    from cfack.data.synthesize.surface import Surface

STRIPE, CHECK, DOT = 0.026, 0.04, 0.042  # distance of two stripes, lines or dots in body heights


def paint_pattern(canvas: Canvas, surface: Surface, garment: Garment) -> None:
    """Paint the pattern of `garment` on its surface; plain cloth is left as it is."""
    if garment.accent is None:
        return
    accent = garment.accent.rgb
    if garment.pattern == "horizontal stripes":
        _horizontal(surface, STRIPE, accent, 255)
    elif garment.pattern == "vertical stripes":
        _vertical(surface, 18, accent, 255)
    elif garment.pattern == "checks":
        _horizontal(surface, CHECK, accent, 150)
        _vertical(surface, 12, accent, 150)
    elif garment.pattern == "dots":
        _dots(canvas, surface, accent)
    elif garment.pattern == "logo":
        _logo(canvas, surface, accent)


def paint_tube_pattern(
    canvas: Canvas, joints: Sequence[Point], radii: Sequence[float], garment: Garment
) -> None:
    """Paint the pattern of `garment` on a sleeve or a trouser leg; a logo is on the trunk alone."""
    if garment.accent is None or garment.pattern == "logo":
        return
    colour = garment.accent.rgb
    paint = {
        "horizontal stripes": _bands, "checks": _bands, "vertical stripes": _lengthwise, "dots": _spots,
    }[garment.pattern]  # fmt: skip
    spacing = STRIPE
    if garment.pattern == "checks":
        colour, spacing = mix(garment.colour.rgb, colour, 60), CHECK
    for (start, end), ends in zip(pairwise(joints), pairwise(radii), strict=True):
        paint(canvas, start, end, (ends[0], ends[1]), spacing, colour)
    canvas.glaze(joints, radii)


def _bands(
    canvas: Canvas, start: Point, end: Point, radii: tuple[float, float], spacing: float, colour: RGB
) -> None:
    length = dist(start, end)
    for index in range(int(length / spacing)):
        low = (index + 0.3) * spacing / length
        canvas.cuff(start, end, radii, (low, min(1.0, low + 0.46 * spacing / length)), colour)


def _lengthwise(
    canvas: Canvas, start: Point, end: Point, radii: tuple[float, float], _: float, colour: RGB
) -> None:
    for across in (-0.45, 0.2, 0.75):
        ends = [canvas.beside(start, end, radii, part, across) for part in (0.0, 1.0)]
        canvas.line(ends, 0.01, colour)


def _spots(
    canvas: Canvas, start: Point, end: Point, radii: tuple[float, float], _: float, colour: RGB
) -> None:
    rows = max(2, int(dist(start, end) / DOT))
    for row in range(rows):
        for across in (-0.5, 0.5) if row % 2 else (0.0,):
            centre = canvas.beside(start, end, radii, (row + 0.5) / rows, across)
            canvas.ellipse(centre, 0.0095, 0.0095, colour)


def _horizontal(surface: Surface, spacing: float, colour: RGB, alpha: int) -> None:
    step = spacing / surface.length
    for index in range(int(1 / step)):
        top = (index + 0.35) * step
        surface.strip(top, min(1.0, top + 0.48 * step), -pi, pi, colour, alpha)


def _vertical(surface: Surface, count: int, colour: RGB, alpha: int) -> None:
    step = 2 * pi / count
    for index in range(count):
        angle = (index + 0.3) * step
        surface.strip(0.0, 1.0, angle, angle + 0.42 * step, colour, alpha)


def _dots(canvas: Canvas, surface: Surface, colour: RGB) -> None:
    rows = max(2, int(surface.length / DOT))
    for row in range(rows):
        t = (row + 0.5) / rows
        for index in range(14):
            angle = (index + 0.5 * (row % 2)) * 2 * pi / 14
            centre = surface.point(t, angle)
            width = surface.foreshortening(t, angle)
            if centre is not None and width > 0.2:
                canvas.ellipse(centre, 0.0105 * width, 0.0105, colour)


def _logo(canvas: Canvas, surface: Surface, colour: RGB) -> None:
    surface.strip(0.3, 0.52, -0.62, 0.62, colour)
    middle = surface.point(0.41, 0.0)
    width = surface.foreshortening(0.41, 0.0)
    if middle is not None and width > 0.3:
        canvas.ellipse(middle, 0.02 * width, 0.016, mix(colour, (128, 128, 128), 60))
