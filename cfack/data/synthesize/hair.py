"""Hair: what lies on the skull, what hangs behind it, and the locks in front of the shoulders."""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

from cfack.data.synthesize.palette import lighter
from cfack.data.synthesize.skull import HEAD_HEIGHT, turns
from cfack.data.synthesize.surface import Ring, Surface

if TYPE_CHECKING:
    from cfack.data.synthesize.attributes import Person
    from cfack.data.synthesize.canvas import Canvas
    from cfack.data.synthesize.palette import RGB
    from cfack.data.synthesize.pose import Skeleton
    from cfack.data.synthesize.skull import Head

LONG_STYLES = frozenset({"long", "shoulder-length"})


def paint_scalp(head: Head, person: Person) -> None:
    """Paint the skull with the hair on it, before the face."""
    if person.hair_style == "bald":
        head.patch((-pi, pi), (-pi / 2, pi / 2), person.skin)
        return
    hair, full = person.hair.rgb, _fullness(person)
    head.patch((-pi, pi), (-0.5, pi / 2), hair, full)
    head.patch((-pi, pi), (-pi / 2, -0.3), person.skin)
    head.patch((1.5, 2 * pi - 1.5), (-0.95, pi / 2), hair, min(full, 1.1))
    if person.hair_style == "curly":
        _paint_curls(head, hair)


def _fullness(person: Person) -> float:
    """How far the hair stands out from the skull."""
    return 1.2 if person.hair_style == "curly" else 1.06


def _paint_curls(head: Head, hair: RGB) -> None:
    """A ragged outline of thick hair."""
    for turn in turns(16):
        for elevation in (0.05, 0.6, 1.15):
            over_face = abs((turn + pi) % (2 * pi) - pi) < 1.2 and elevation < 0.6
            if over_face or not head.seen(turn):
                continue
            tone = lighter(hair, 9) if elevation > 1.0 else hair
            head.canvas.ellipse(head.pixel(turn, elevation, 1.2), 0.017, 0.016, tone)


def paint_fringe(head: Head, person: Person) -> None:
    """Paint the hair above the forehead, after the face."""
    if person.hair_style == "bald":
        return
    hair, full = person.hair.rgb, _fullness(person)
    head.patch((-1.35, 1.35), (0.62, pi / 2), hair, full)
    if person.female:
        head.patch((-1.3, 0.25), (0.38, 0.75), hair, 1.05)
    head.patch((-0.6, 0.5), (0.9, 1.2), lighter(hair, 22), full, 130)


def paint_back_hair(canvas: Canvas, person: Person, skeleton: Skeleton) -> None:
    """Paint what hangs or stands out behind the head: long hair, a ponytail, a bun."""
    hair, style = person.hair.rgb, person.hair_style
    back = skeleton.trunk(HEAD_HEIGHT)
    if style in LONG_STYLES:
        end = 0.72 if style == "long" else 0.825
        rings = [
            Ring((back[0], back[1] - 0.012, back[2] + 0.045), 0.04, 0.045),
            Ring((back[0], back[1] - 0.014, back[2]), 0.057, 0.058),
            Ring((back[0], back[1] - 0.03, back[2] - 0.07), 0.06, 0.042),
            Ring((back[0], back[1] - 0.05, back[2] - (HEAD_HEIGHT - end)), 0.046, 0.026),
        ]
        surface = Surface(canvas, rings)
        surface.fill(hair)
        for angle in (2.4, 2.9, 3.4, 3.9):
            surface.path([(0.1, angle), (0.95, angle)], 0.005, lighter(hair, 18), 110)
    elif style == "ponytail":
        root = (back[0], back[1] - 0.06, back[2] + 0.03)
        middle = (back[0], back[1] - 0.095, back[2] - 0.03)
        canvas.limb(root, middle, 0.017, 0.024, hair)
        canvas.limb(middle, (back[0], back[1] - 0.085, back[2] - 0.135), 0.024, 0.01, hair)
    elif style == "bun":
        canvas.ellipse(canvas.pixel((back[0], back[1] - 0.045, back[2] + 0.068)), 0.03, 0.028, hair)


def paint_front_hair(canvas: Canvas, person: Person, skeleton: Skeleton) -> None:
    """Paint the locks of long hair that fall in front of the shoulders."""
    if person.hair_style not in LONG_STYLES:
        return
    lateral, forward, height = skeleton.trunk(HEAD_HEIGHT)
    end = 0.16 if person.hair_style == "long" else 0.095
    for side in (-1, 1):
        top = (lateral + side * 0.047, forward + 0.012, height + 0.02)
        tip = (lateral + side * 0.058, forward + 0.03, height - end)
        canvas.limb(top, tip, 0.014, 0.017, person.hair.rgb)
