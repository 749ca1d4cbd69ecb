"""Things between camera and person: a pole, a bonnet, a bush, a bin, another pedestrian."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import ImageDraw

from cfack.data.synthesize.attributes import draw_person
from cfack.data.synthesize.figure import paint_person
from cfack.data.synthesize.palette import RGB, darker, lighter, mix
from cfack.data.synthesize.pose import DIRECTIONS, draw_pose
from cfack.data.synthesize.randomness import chance, pick

if TYPE_CHECKING:
    import random

    from PIL import Image

OCCLUDERS = {None: 74, "pole": 6, "car": 6, "bush": 6, "bin": 4, "passer-by": 4}


def paint_bystander(image: Image.Image, rng: random.Random, floor: float) -> None:
    """Paint now and then somebody farther away, cut by the edge of the picture or not."""
    if not chance(rng, 14):
        return
    size = rng.uniform(0.42, 0.62) * image.height
    x = image.width * (rng.uniform(-0.02, 0.16) if chance(rng, 50) else rng.uniform(0.84, 1.02))
    _paint_stranger(image, rng, (x, floor * image.height + size * 0.16), size)


def paint_occluder(image: Image.Image, rng: random.Random) -> None:
    """Paint in some pictures a thing that hides a part of the person."""
    kind = pick(rng, OCCLUDERS)
    left = chance(rng, 50)
    if kind == "pole":
        _pole(image, rng)
    elif kind == "car":
        _bonnet(image, rng, left)
    elif kind == "bush":
        _bush(image, rng, left)
    elif kind == "bin":
        _bin(image, rng, left)
    elif kind == "passer-by":
        x = image.width * (rng.uniform(-0.08, 0.0) if left else rng.uniform(1.0, 1.08))
        _paint_stranger(image, rng, (x, image.height * 1.04), image.height * rng.uniform(0.94, 1.04))


def _paint_stranger(image: Image.Image, rng: random.Random, foot: tuple[float, float], size: float) -> None:
    # Strangers come from a world of their own: no identity of the data set stands in another's image.
    person = draw_person(-1, rng.randrange(10_000))
    pose = draw_pose(rng, person, pick(rng, dict.fromkeys(DIRECTIONS, 1)))
    paint_person(image, person, pose, foot, size)


def _pole(image: Image.Image, rng: random.Random) -> None:
    draw = ImageDraw.Draw(image, "RGBA")
    width = image.width * rng.uniform(0.05, 0.1)
    x = image.width * rng.uniform(0.08, 0.84)
    colour: RGB = ((96, 98, 102), (60, 66, 62), (150, 148, 142))[rng.randrange(3)]
    draw.rectangle((x, 0, x + width, image.height), fill=colour)
    draw.rectangle((x, 0, x + width * 0.3, image.height), fill=lighter(colour, 22))
    draw.rectangle((x + width * 0.75, 0, x + width, image.height), fill=darker(colour, 28))


def _bonnet(image: Image.Image, rng: random.Random, left: bool) -> None:
    """The front of a parked car in a lower corner."""
    draw = ImageDraw.Draw(image, "RGBA")
    wide, high = image.width, image.height
    colour: RGB = ((150, 152, 156), (196, 196, 194), (52, 56, 64), (116, 38, 40), (46, 66, 106))[
        rng.randrange(5)
    ]
    top, reach = high * rng.uniform(0.74, 0.86), wide * rng.uniform(0.42, 0.75)

    def at(x: float, y: float) -> tuple[float, float]:
        return (x if left else wide - x, y)

    draw.polygon(
        [
            at(0, top),
            at(reach * 0.72, top + 0.02 * high),
            at(reach, top + 0.07 * high),
            at(reach, high),
            at(0, high),
        ],
        fill=colour,
    )
    draw.polygon(
        [
            at(0, top),
            at(reach * 0.72, top + 0.02 * high),
            at(reach * 0.95, top + 0.06 * high),
            at(0, top + 0.04 * high),
        ],
        fill=lighter(colour, 28),
    )
    x, y = at(reach * 0.86, top + 0.1 * high)
    draw.ellipse((x - 0.05 * wide, y - 0.018 * high, x + 0.05 * wide, y + 0.018 * high), fill=(244, 240, 214))
    draw.line(
        [at(reach * 0.5, top + 0.16 * high), at(reach, top + 0.16 * high)], fill=darker(colour, 50), width=3
    )


def _bush(image: Image.Image, rng: random.Random, left: bool) -> None:
    draw = ImageDraw.Draw(image, "RGBA")
    wide, high = image.width, image.height
    for _ in range(26):
        x = wide * abs(rng.gauss(0.0, 0.2))
        y = high * (1.0 - abs(rng.gauss(0.0, 0.09)))
        radius = wide * rng.uniform(0.04, 0.09)
        x = x if left else wide - x
        shade = mix((50, 88, 44), (128, 156, 76), rng.randrange(80))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shade)


def _bin(image: Image.Image, rng: random.Random, left: bool) -> None:
    draw = ImageDraw.Draw(image, "RGBA")
    wide, high = image.width, image.height
    colour: RGB = ((64, 96, 74), (80, 84, 90), (110, 84, 60))[rng.randrange(3)]
    width, top = wide * rng.uniform(0.22, 0.3), high * rng.uniform(0.76, 0.84)
    x = wide * rng.uniform(-0.04, 0.1)
    x = x if left else wide - x - width
    draw.rounded_rectangle((x, top, x + width, high + 9), radius=width / 8, fill=colour)
    draw.rectangle((x, top, x + width, top + 0.02 * high), fill=darker(colour, 40))
    draw.rectangle((x + width * 0.08, top, x + width * 0.25, high), fill=lighter(colour, 18))
