"""Neck, face, glasses, headwear and scarf."""

from __future__ import annotations

from math import cos, pi, sin
from typing import TYPE_CHECKING

from cfack.data.synthesize.hair import LONG_STYLES, paint_fringe, paint_scalp
from cfack.data.synthesize.palette import brightness, darker, lighter, mix
from cfack.data.synthesize.skull import UP, Head, turns
from cfack.data.synthesize.surface import Ring, Surface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfack.data.synthesize.attributes import Person
    from cfack.data.synthesize.canvas import Canvas
    from cfack.data.synthesize.palette import RGB
    from cfack.data.synthesize.pose import Skeleton


def paint_neck(canvas: Canvas, person: Person, skeleton: Skeleton) -> None:
    """Paint the neck, which garments and hair then cover in part."""
    canvas.limb(skeleton.trunk(0.835), skeleton.trunk(0.895), 0.031, 0.026, darker(person.skin, 12))


def paint_head(canvas: Canvas, person: Person, skeleton: Skeleton) -> None:
    """Paint skull, hair on it, face, beard, glasses and headwear."""
    head = Head(canvas, skeleton)
    paint_scalp(head, person)
    _paint_face(head, person)
    paint_fringe(head, person)
    _paint_glasses(head, person)
    _paint_headwear(head, person)


def _paint_face(head: Head, person: Person) -> None:
    skin = person.skin
    wide = 1.28 if person.hair_style not in LONG_STYLES else 1.12
    head.patch((-wide, wide), (-1.45, 0.62), skin)
    head.patch((-wide, -wide + 0.75), (-1.2, 0.5), (0, 0, 0), 1.0, 26)
    if person.hair_style not in LONG_STYLES:
        for azimuth in (-1.5, 1.5):
            if head.seen(azimuth):
                head.canvas.ellipse(head.pixel(azimuth, -0.05, 1.04), 0.009, 0.015, darker(skin, 10))
    if person.beard:
        head.patch((-1.2, 1.2), (-1.5, -0.42), mix(person.hair.rgb, skin, 18), 1.02)
    for azimuth in (-0.42, 0.42):
        if head.seen(azimuth):
            head.canvas.ellipse(head.pixel(azimuth, 0.08), 0.0065, 0.0055, (34, 26, 24))
            brow = [head.pixel(azimuth - 0.18, 0.3), head.pixel(azimuth + 0.18, 0.3)]
            head.canvas.line(brow, 0.005, darker(person.hair.rgb, 20), 200)
    if head.seen(0.0):
        head.canvas.ellipse(head.pixel(0.0, -0.16, 1.07), 0.0075, 0.0105, darker(skin, 14))
        mouth = [head.pixel(-0.25, -0.58), head.pixel(0.25, -0.58)]
        head.canvas.line(mouth, 0.006, (168, 70, 70) if person.female else darker(skin, 38))


def _paint_glasses(head: Head, person: Person) -> None:
    if person.glasses is None:
        return
    for azimuth in (-0.45, 0.45):
        if head.seen(azimuth):
            centre = head.pixel(azimuth, 0.08, 1.03)
            if person.glasses == "sunglasses":
                head.canvas.ellipse(centre, 0.017, 0.0135, (18, 18, 20))
            else:
                head.canvas.ring(centre, 0.016, 0.004, (30, 30, 34))
    for side in (-1, 1):
        temple = [
            head.pixel(side * azimuth, 0.1, 1.03) for azimuth in (0.6, 1.0, 1.5) if head.seen(side * azimuth)
        ]
        if len(temple) > 1:
            head.canvas.line(temple, 0.005, (30, 30, 34))
    if head.seen(0.0):
        head.canvas.line([head.pixel(-0.2, 0.1, 1.03), head.pixel(0.2, 0.1, 1.03)], 0.005, (30, 30, 34))


def _paint_headwear(head: Head, person: Person) -> None:
    if person.headwear is None:
        return
    colour = person.headwear.colour.rgb
    dark = darker(colour, 25) if brightness(colour) > 50 else lighter(colour, 14)
    kind = person.headwear.kind
    if kind == "cap":
        _paint_brim(head, dark, front_only=True, behind=True)
        head.patch((-pi, pi), (0.36, pi / 2), colour, 1.14)
        head.patch((-0.12, 0.12), (0.5, 1.45), dark, 1.15)
        _paint_brim(head, dark, front_only=True, behind=False)
    elif kind == "beanie":
        head.patch((-pi, pi), (0.3, pi / 2), colour, 1.17)
        head.patch((-pi, pi), (0.24, 0.62), dark, 1.18)
        head.canvas.ellipse(head.pixel(0.0, pi / 2, 1.24), 0.017, 0.017, lighter(colour, 20))
    else:
        _paint_brim(head, dark, front_only=False, behind=True)
        head.patch((-pi, pi), (0.42, pi / 2), colour, 1.16)
        head.patch((-pi, pi), (0.42, 0.6), darker(colour, 55), 1.17)


def _paint_brim(head: Head, colour: RGB, *, front_only: bool, behind: bool) -> None:
    """Paint a brim: all round, or a visor to the front, which a cap seen from behind hides."""
    lateral, forward, height = head.centre
    level = height + UP * 0.4
    if not front_only:
        around: Sequence[tuple[float, float]] = [(0.1 * sin(a), 0.105 * cos(a)) for a in turns(14)]
    elif head.seen(0.0) is behind:
        return
    else:
        around = [(0.05 * sin(a), 0.04 + 0.075 * max(-0.25, cos(a))) for a in turns(12)]
    points = [head.canvas.pixel((lateral + x, forward + y, level)) for x, y in around]
    head.canvas.polygon(points, colour)
    edge = [head.canvas.below((lateral + x, forward + y, level), 0.006) for x, y in around]
    head.canvas.polygon(edge, darker(colour, 18), 200)


def paint_scarf(canvas: Canvas, person: Person, skeleton: Skeleton) -> None:
    """Paint a scarf round the neck with one end hanging down."""
    if person.scarf is None:
        return
    colour = person.scarf.rgb
    neck = [
        Ring(skeleton.trunk(h), r, r)
        for h, r in ((0.885, 0.044), (0.865, 0.056), (0.838, 0.06), (0.825, 0.05))
    ]
    surface = Surface(canvas, neck)
    surface.fill(colour)
    surface.strip(0.45, 0.6, -pi, pi, darker(colour, 30), 160)
    if cos(canvas.view.yaw) > -0.2:
        lateral, forward, height = skeleton.trunk(0.84)
        top = (lateral + person.side * 0.025, forward + 0.065, height)
        tip = (lateral + person.side * 0.032, forward + 0.085, height - 0.16)
        canvas.limb(top, tip, 0.022, 0.026, colour)
        canvas.cuff(top, tip, (0.022, 0.026), (0.86, 0.93), lighter(colour, 45))
