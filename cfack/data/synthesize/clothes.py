"""Dressing a skeleton: legs, shoes, trunk and arms."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING

from cfack.data.synthesize.palette import brightness, darker, lighter, mix
from cfack.data.synthesize.patterns import paint_pattern, paint_tube_pattern
from cfack.data.synthesize.surface import Ring, Surface

if TYPE_CHECKING:
    from cfack.data.synthesize.attributes import Person
    from cfack.data.synthesize.canvas import Canvas
    from cfack.data.synthesize.palette import RGB
    from cfack.data.synthesize.pose import Limb, Point, Skeleton


@dataclass(frozen=True)
class Body:
    """Half widths of a body in body heights."""

    shoulder: float
    chest: float
    waist: float
    hip: float
    depth: float


BODIES = {
    False: Body(shoulder=0.118, chest=0.102, waist=0.086, hip=0.088, depth=0.068),
    True: Body(shoulder=0.102, chest=0.088, waist=0.07, hip=0.092, depth=0.064),
}
# Height of the lower edge above ground and how much wider than the body the garment is.
HEMS = {
    "t-shirt": (0.5, 0.008), "polo shirt": (0.5, 0.008), "tank top": (0.51, 0.004), "shirt": (0.49, 0.011),
    "long-sleeved t-shirt": (0.5, 0.008), "sweater": (0.49, 0.014), "hoodie": (0.48, 0.017),
    "jacket": (0.475, 0.017), "puffer jacket": (0.465, 0.03), "coat": (0.31, 0.022), "dress": (0.29, 0.006),
}  # fmt: skip
SKIRT_HEMS = {"skirt": 0.31, "long skirt": 0.12}
LEG_RADII = {"trousers": (0.053, 0.043, 0.036), "jeans": (0.052, 0.039, 0.029), "bare": (0.046, 0.034, 0.023)}


def paint_leg(canvas: Canvas, person: Person, limb: Limb, forward: Point) -> None:
    """Paint one leg with what covers it, shoe first; `forward` is the tip of the foot."""
    garment = person.lower
    _paint_bare_leg(canvas, person, limb)
    _paint_shoe(canvas, person, limb, forward)
    if garment is None or garment.kind in SKIRT_HEMS:
        return
    colour = garment.colour.rgb
    if garment.kind == "shorts":
        joints: tuple[Point, ...] = (limb.root, along(limb.root, limb.middle, 0.92))
        radii: tuple[float, ...] = (0.056, 0.051)
    else:
        # The hem ends above the ankle, so that the shoe is seen.
        joints = (limb.root, limb.middle, along(limb.middle, limb.end, 0.96))
        radii = LEG_RADII[garment.kind]
    canvas.tube(joints, radii, colour, hem=True)
    paint_tube_pattern(canvas, joints, radii, garment)
    if garment.kind == "jeans":
        faded = lighter(colour, 14)
        canvas.cuff(limb.root, limb.middle, (0.018, 0.013), (0.3, 0.96), faded)
        canvas.cuff(limb.middle, limb.end, (radii[1], radii[2]), (0.86, 0.97), lighter(colour, 24))
    elif garment.kind == "trousers":
        crease = [canvas.pixel(joint) for joint in joints]
        canvas.line(crease, 0.004, darker(colour, 30), 110)


def along(start: Point, end: Point, part: float) -> Point:
    """The body point at a fraction of the way."""
    x, y, z = (a + (b - a) * part for a, b in zip(start, end, strict=True))
    return (x, y, z)


def _paint_bare_leg(canvas: Canvas, person: Person, limb: Limb) -> None:
    canvas.tube((limb.root, limb.middle, limb.end), LEG_RADII["bare"], person.skin)


def _paint_shoe(canvas: Canvas, person: Person, limb: Limb, toe: Point) -> None:
    kind, colour = person.shoes.kind, person.shoes.colour.rgb
    ankle = limb.end
    heel = (ankle[0] + (ankle[0] - toe[0]) * 0.35, ankle[1] + (ankle[1] - toe[1]) * 0.35, toe[2])
    sole = (235, 235, 232) if kind == "sneakers" and brightness(colour) < 190 else darker(colour, 45)
    if kind == "boots":
        canvas.limb(along(ankle, limb.middle, 0.45), ankle, 0.037, 0.031, colour)
    if kind in ("sandals", "flats", "high heels"):
        canvas.limb(ankle, toe, 0.02, 0.014, person.skin)
        canvas.limb(heel, toe, 0.012 if kind == "sandals" else 0.015, 0.014, colour)
        if kind == "sandals":
            canvas.cuff(ankle, toe, (0.021, 0.016), (0.5, 0.75), colour)
        if kind == "high heels":
            canvas.line([canvas.pixel(heel), canvas.below(heel, 0.03)], 0.009, colour)
        return
    canvas.limb((heel[0], heel[1], heel[2] - 0.012), (toe[0], toe[1], toe[2] - 0.012), 0.016, 0.014, sole)
    canvas.limb(heel, toe, 0.02, 0.017, colour)
    canvas.limb(ankle, heel, 0.024, 0.018, colour)


def paint_skirt(canvas: Canvas, person: Person, skeleton: Skeleton, body: Body) -> None:
    """Paint a skirt, or the seat of trousers that joins the legs."""
    garment = person.lower
    if garment is None:
        return
    legs = skeleton.legs
    skirt = garment.kind in SKIRT_HEMS
    hem = SKIRT_HEMS.get(garment.kind, 0.465)
    spread = 0.7 * abs(legs[0].middle[1] - legs[1].middle[1]) * (1.0 if garment.kind == "skirt" else 1.25)
    flare = (0.04 if garment.kind == "skirt" else 0.035) if skirt else -0.004
    rings = [
        Ring(skeleton.trunk(0.60), body.waist + 0.006, body.depth * 0.92),
        Ring(skeleton.trunk(0.53), body.hip + 0.01, body.depth + 0.008),
        Ring(skeleton.trunk(hem), body.hip + flare, body.depth + (flare + spread * 0.5 if skirt else 0.0)),
    ]
    surface = Surface(canvas, rings)
    surface.fill(garment.colour.rgb)
    paint_pattern(canvas, surface, garment)
    if skirt:
        for angle in (-2.2, -1.2, -0.35, 0.45, 1.3, 2.3, 3.0):
            surface.path([(0.35, angle), (1.0, angle * 1.02)], 0.005, darker(garment.colour.rgb, 35), 130)
        surface.shade()


def trunk_surface(canvas: Canvas, person: Person, skeleton: Skeleton, body: Body) -> Surface:
    """The outside of the upper garment."""
    kind = person.upper.kind
    hem, ease = HEMS[kind]
    rings = [
        Ring(skeleton.trunk(0.858), 0.036, 0.036),
        Ring(skeleton.trunk(0.84), body.shoulder * 0.66 + ease / 2, body.depth * 0.6 + ease / 2),
        Ring(skeleton.trunk(0.818), body.shoulder * 0.98 + ease / 2, body.depth * 0.8 + ease),
        Ring(skeleton.trunk(0.79), body.shoulder + 0.012 + ease / 2, body.depth * 0.92 + ease),
        Ring(skeleton.trunk(0.73), body.chest + 0.008 + ease, body.depth + ease),
        Ring(skeleton.trunk(0.63), body.waist + 0.008 + ease, body.depth * 0.93 + ease),
        Ring(skeleton.trunk(0.545), body.hip + 0.008 + ease, body.depth + 0.006 + ease),
    ]
    if hem < 0.45:
        flare = 0.05 if kind == "dress" else 0.022
        spread = 0.4 * abs(skeleton.legs[0].middle[1] - skeleton.legs[1].middle[1])
        rings.append(Ring(skeleton.trunk(hem), body.hip + flare + ease, body.depth + flare * 0.6 + spread))
    else:
        rings.append(Ring(skeleton.trunk(hem), body.hip + 0.006 + ease, body.depth + 0.004 + ease))
    return Surface(canvas, rings)


def paint_trunk(canvas: Canvas, person: Person, surface: Surface) -> None:
    """Paint the upper garment on its surface: cloth, pattern, opening, seams."""
    garment, colour = person.upper, person.upper.colour.rgb
    surface.fill(colour)
    paint_pattern(canvas, surface, garment)
    seam = lighter(colour, 30) if brightness(colour) < 60 else darker(colour, 40)
    if garment.kind == "puffer jacket":
        for row in range(1, 9):
            surface.strip(row / 9, row / 9 + 0.025, -pi, pi, seam, 150)
    if person.inner is not None:
        surface.strip(0.02, 0.97, -0.42, 0.42, person.inner.rgb)
        for angle in (-0.42, 0.42):
            surface.path([(t / 10, angle) for t in range(1, 11)], 0.007, seam)
    elif garment.kind in ("jacket", "coat", "shirt", "puffer jacket"):
        surface.path([(t / 10, 0.0) for t in range(1, 11)], 0.006, seam)
    _paint_collar(canvas, person, surface, seam)
    if garment.kind in ("sweater", "hoodie", "jacket"):
        surface.strip(0.94, 1.0, -pi, pi, darker(colour, 22), 200)
    if garment.kind in ("dress", "coat"):
        surface.strip(0.42 if garment.kind == "dress" else 0.4, 0.45, -pi, pi, darker(colour, 35), 220)
    for angle in (-1.0, 0.9, 2.3, -2.4):
        surface.path([(0.62, angle), (0.78, angle * 0.9)], 0.006, darker(colour, 40), 70)
    surface.shade()


def _paint_collar(canvas: Canvas, person: Person, surface: Surface, seam: RGB) -> None:
    kind, colour = person.upper.kind, person.upper.colour.rgb
    if kind in ("t-shirt", "long-sleeved t-shirt", "tank top", "dress"):
        depth = 0.16 if kind in ("tank top", "dress") and person.female else 0.075
        surface.strip(0.0, depth, -0.75, 0.75, person.skin)
        surface.strip(0.0, depth * 0.6, -1.1, 1.1, person.skin)
    elif kind in ("shirt", "polo shirt", "jacket", "coat"):
        fold = lighter(colour, 22) if brightness(colour) < 120 else darker(colour, 14)
        for angle in (-0.5, 0.5):
            corners = [
                surface.point(t, a) for t, a in ((0.0, angle * 0.2), (0.0, angle * 2.2), (0.16, angle * 1.1))
            ]
            canvas.polygon([corner for corner in corners if corner is not None], fold)
    elif kind == "hoodie":
        surface.strip(0.0, 0.15, 1.1, 2 * pi - 1.1, darker(colour, 16))
        if person.inner is None:
            surface.strip(0.58, 0.8, -0.7, 0.7, darker(colour, 12))
            for angle in (-0.2, 0.2):
                surface.path([(0.08, angle), (0.3, angle)], 0.006, lighter(colour, 60))
    else:
        surface.strip(0.0, 0.1, -pi, pi, seam, 120)


def paint_arm(canvas: Canvas, person: Person, limb: Limb) -> None:
    """Paint one arm with its sleeve and hand."""
    garment, ease = person.upper, HEMS[person.upper.kind][1]
    joints = (limb.root, limb.middle, limb.end)
    canvas.limb(limb.end, along(limb.middle, limb.end, 1.16), 0.019, 0.017, person.skin)
    if person.sleeves == "long":
        radii: tuple[float, ...] = (0.03 + ease, 0.026 + ease * 0.8, 0.021 + ease * 0.6)
        canvas.tube(joints, radii, garment.colour.rgb)
        paint_tube_pattern(canvas, joints, radii, garment)
        canvas.cuff(
            limb.middle,
            limb.end,
            (radii[1], radii[2]),
            (0.92, 1.04),
            mix(garment.colour.rgb, (60, 60, 60), 30),
        )
        return
    canvas.tube(joints, (0.03, 0.026, 0.02), person.skin)
    if person.sleeves == "short":
        sleeve, radii = (limb.root, along(limb.root, limb.middle, 0.85)), (0.033 + ease, 0.034 + ease)
        canvas.tube(sleeve, radii, garment.colour.rgb, hem=True)
        paint_tube_pattern(canvas, sleeve, radii, garment)
