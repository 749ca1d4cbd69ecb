"""Bags, suitcases and umbrellas."""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

from cfack.data.synthesize.palette import brightness, darker, lighter
from cfack.data.synthesize.surface import Ring, Surface

if TYPE_CHECKING:
    from cfack.data.synthesize.attributes import Person
    from cfack.data.synthesize.canvas import Canvas
    from cfack.data.synthesize.palette import RGB
    from cfack.data.synthesize.pose import Point, Skeleton


def _trim(colour: RGB) -> RGB:
    return darker(colour, 35) if brightness(colour) > 70 else lighter(colour, 22)


def bag_anchor(person: Person, skeleton: Skeleton) -> Point:
    """The body point whose depth decides whether the bag is painted before or after the person."""
    if person.bag is None:
        return (0.0, 0.0, 0.0)
    if person.bag.kind == "backpack":
        return (0.0, -0.13, 0.0)
    if person.bag.kind == "shoulder bag":
        return (person.side * 0.17, 0.0, 0.0)
    hand = _arm_end(person, skeleton)
    return (hand[0] * 1.3, hand[1], hand[2])


def _arm_end(person: Person, skeleton: Skeleton) -> Point:
    return skeleton.arms[0 if person.side > 0 else 1].end


def paint_bag(canvas: Canvas, person: Person, skeleton: Skeleton, *, on_elbow: bool) -> None:
    """Paint the bag itself; straps that cross the trunk are `paint_straps`."""
    if person.bag is None:
        return
    colour = person.bag.colour.rgb
    if person.bag.kind == "backpack":
        _paint_backpack(canvas, skeleton, colour)
        return
    hand = _arm_end(person, skeleton)
    if person.bag.kind == "shoulder bag":
        hip = skeleton.trunk(0.56)
        _paint_box(canvas, (person.side * 0.135, hip[1] - 0.02, hip[2]), 0.03, 0.075, 0.1, colour)
    elif person.bag.kind == "handbag":
        arm = skeleton.arms[0 if person.side > 0 else 1]
        grip = tuple((a + b) / 2 for a, b in zip(arm.middle, arm.end, strict=True)) if on_elbow else hand
        _paint_hanging(canvas, (grip[0], grip[1], grip[2]), 0.03, 0.066, 0.09, 0.05, colour)
    elif person.bag.kind == "shopping bag":
        _paint_hanging(canvas, hand, 0.03, 0.06, 0.14, 0.045, colour)
    else:
        _paint_suitcase(canvas, hand, colour)


def _paint_backpack(canvas: Canvas, skeleton: Skeleton, colour: RGB) -> None:
    outline = (
        (0.835, 0.05, 0.03),
        (0.815, 0.082, 0.05),
        (0.7, 0.092, 0.062),
        (0.6, 0.086, 0.058),
        (0.585, 0.07, 0.045),
    )
    rings = []
    for height, across, along in outline:
        x, y, z = skeleton.trunk(height)
        rings.append(Ring((x, y - 0.105, z), across, along))
    surface = Surface(canvas, rings)
    surface.fill(colour)
    trim = _trim(colour)
    surface.strip(0.5, 0.9, pi - 0.9, pi + 0.9, trim)
    surface.path([(0.28, pi - 1.2), (0.24, pi), (0.28, pi + 1.2)], 0.008, trim)
    surface.path([(0.58, pi - 0.7), (0.58, pi + 0.7)], 0.006, colour)
    surface.shade()


def _paint_box(
    canvas: Canvas, centre: Point, across: float, along: float, height: float, colour: RGB
) -> Surface:
    """Paint an upright box with rounded edges around its centre."""
    x, y, z = centre
    half = height / 2
    profile = ((half, 0.86), (half * 0.8, 1.0), (-half * 0.8, 1.0), (-half, 0.9))
    surface = Surface(canvas, [Ring((x, y, z + up), across * wide, along * wide) for up, wide in profile])
    surface.fill(colour)
    surface.strip(0.06, 0.4, -pi, pi, _trim(colour), 120)
    surface.shade()
    return surface


def _paint_hanging(canvas: Canvas, grip: Point, across: float, along: float, height: float, strap: float,
                   colour: RGB) -> None:  # fmt: skip
    x, y, z = grip
    top = z - strap
    for forward in (-along * 0.55, along * 0.55):
        canvas.line([canvas.pixel((x, y, z)), canvas.pixel((x, y + forward, top))], 0.008, _trim(colour))
    _paint_box(canvas, (x, y, top - height / 2), across, along, height, colour)


def _paint_suitcase(canvas: Canvas, hand: Point, colour: RGB) -> None:
    x, y = hand[0] * 1.15, hand[1] - 0.16
    handle = [canvas.pixel(hand), canvas.pixel((x, y, 0.29))]
    canvas.line(handle, 0.012, (70, 70, 74))
    for side in (-0.05, 0.05):
        canvas.ellipse(canvas.pixel((x + side, y, 0.012)), 0.012, 0.012, (24, 24, 26))
    profile = ((0.3, 0.9), (0.285, 1.0), (0.035, 1.0), (0.02, 0.9))
    surface = Surface(canvas, [Ring((x, y, up), 0.095 * wide, 0.06 * wide) for up, wide in profile])
    surface.fill(colour)
    for t in (0.25, 0.5, 0.75):
        surface.strip(t, t + 0.03, -pi, pi, _trim(colour), 160)
    surface.shade()


def paint_straps(canvas: Canvas, person: Person, trunk: Surface) -> None:
    """Paint the straps of a backpack or a shoulder bag on the trunk."""
    if person.bag is None:
        return
    strap = _trim(person.bag.colour.rgb) if person.bag.kind == "shoulder bag" else person.bag.colour.rgb
    if person.bag.kind == "backpack":
        for side in (-1, 1):
            trunk.strip(0.05, 0.5, side * 0.78 - 0.17, side * 0.78 + 0.17, strap)
    elif person.bag.kind == "shoulder bag":
        side = person.side
        front = [(0.07 + 0.73 * i / 8, side * (-0.75 + 2.1 * i / 8)) for i in range(9)]
        rear = [(0.07 + 0.73 * i / 8, side * (-0.75 - (2 * pi - 2.85) * i / 8)) for i in range(9)]
        trunk.path(front, 0.014, strap)
        trunk.path(rear, 0.014, strap)


def paint_umbrella(canvas: Canvas, person: Person, skeleton: Skeleton) -> None:
    """Paint an open umbrella above the head."""
    if person.umbrella is None:
        return
    hand = skeleton.arms[1 if person.side > 0 else 0].end
    top = (hand[0] * 0.5, hand[1] * 0.6, 1.16)
    canvas.line([canvas.pixel(hand), canvas.pixel(top)], 0.01, (60, 60, 64))
    colour = person.umbrella.rgb
    profile = ((1.165, 0.02), (1.15, 0.1), (1.115, 0.19), (1.06, 0.26))
    surface = Surface(canvas, [Ring((top[0], top[1], up), wide, wide) for up, wide in profile])
    surface.fill(colour)
    for index in range(8):
        surface.strip(0.0, 1.0, index * pi / 4, index * pi / 4 + 0.05, darker(colour, 30), 150)
    surface.shade()
