"""Places that cameras look at, painted once per camera as wide pictures from which images are cut.

A place is painted in units of its height: x runs from 0 to `ASPECT`, y from 0 at the top to 1 at the bottom.
People stand in front of it, on the ground that fills its lower part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from cfack.data.synthesize.palette import darker, lighter
from cfack.data.synthesize.place import ASPECT, Place, paint_car, paint_tiles, paint_tree
from cfack.data.synthesize.randomness import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _facades(place: Place, foot: float) -> None:
    """Houses side by side with rows of windows."""
    for left in place.steps(0.5, 0.9, start=-0.5):
        wall = place.tone((168, 150, 130), (150, 152, 154), (176, 164, 146), (140, 112, 96))
        place.box(left, 0.0, left + 0.95, foot, wall)
        for column in range(4):
            for row in range(2):
                x, y = left + 0.06 + 0.2 * column, 0.03 + row * foot * 0.45
                place.box(x, y, x + 0.11, y + foot * 0.3, place.tone((74, 88, 104), (96, 108, 118)))
                place.box(x, y + foot * 0.3, x + 0.11, y + foot * 0.33, lighter(wall, 25))


def _street(place: Place) -> None:
    _facades(place, 0.42)
    place.slope(0.42, 1.0, place.tone((150, 148, 144)), place.tone((172, 168, 160)))
    paint_tiles(place, 0.42, (120, 118, 114), 9, 110)
    for x in place.steps(0.7, 1.4):
        paint_tree(place, x, 0.5, 0.9)
    place.box(0, 0.41, ASPECT, 0.435, (118, 116, 114))


def _crossing(place: Place) -> None:
    _facades(place, 0.3)
    place.slope(0.3, 1.0, (88, 90, 94), (104, 106, 110))
    for x in place.steps(0.9, 1.5):
        paint_car(place, x, 0.42, 0.7)
    for index in range(-2, 22):
        x, slant = index * 0.16, -0.05
        place.polygon(
            [(x, 0.52), (x + 0.08, 0.52), (x + 0.09 + slant, 1.0), (x - 0.03 + slant, 1.0)], (214, 214, 208)
        )


def _grass(place: Place) -> None:
    place.slope(0.0, 0.34, (186, 204, 220), (206, 216, 218))
    for x in place.steps(0.12, 0.3):
        paint_tree(place, x, 0.36, place.rng.uniform(0.5, 0.9))
    place.slope(0.33, 1.0, (92, 122, 62), (112, 144, 70))
    for _ in range(260):
        x, y = place.rng.uniform(0, ASPECT), place.rng.uniform(0.36, 1.0)
        place.line(
            (x, y),
            (x + place.rng.uniform(-0.01, 0.01), y - 0.025 * y),
            0.004,
            place.tone((74, 104, 50), (140, 166, 88)),
        )
    place.polygon([(0, 0.62), (ASPECT, 0.7), (ASPECT, 0.88), (0, 0.8)], (184, 172, 148))


def _corridor(place: Place) -> None:
    wall = place.tone((208, 204, 192), (196, 204, 206), (214, 206, 196))
    place.slope(0.0, 0.5, wall, darker(wall, 12))
    for x in place.steps(0.6, 1.0):
        door = place.tone((126, 92, 62), (112, 122, 132), (150, 148, 142))
        place.box(x - 0.015, 0.02, x + 0.255, 0.5, darker(door, 30))
        place.box(x, 0.035, x + 0.24, 0.5, door)
        place.blob(x + 0.21, 0.3, 0.01, 0.01, (210, 200, 160))
        place.box(
            x + 0.36, 0.12, x + 0.5, 0.26, place.tone((230, 230, 224), (120, 150, 176), (200, 170, 110))
        )
    place.box(0, 0.475, ASPECT, 0.5, darker(wall, 45))
    floor = place.tone((170, 162, 150), (150, 158, 162), (190, 184, 172))
    place.slope(0.5, 1.0, darker(floor, 10), lighter(floor, 12))
    paint_tiles(place, 0.5, darker(floor, 20), 7, 130)
    for x in place.steps(0.5, 0.8):
        place.blob(x, 0.75, 0.14, 0.05, (255, 255, 250), 40)


def _shop(place: Place) -> None:
    place.box(0, 0, ASPECT, 0.5, place.tone((70, 66, 64), (96, 80, 66), (52, 62, 70)))
    for x in place.steps(0.75, 1.0):
        sign = place.tone((176, 40, 44), (40, 90, 150), (40, 120, 80), (220, 180, 60))
        place.box(x, 0.0, x + 0.68, 0.07, sign)
        for letter in range(6):
            place.box(x + 0.1 + 0.08 * letter, 0.02, x + 0.145 + 0.08 * letter, 0.055, (244, 240, 228))
        place.box(
            x + 0.02, 0.1, x + 0.66, 0.46, place.tone((196, 206, 204), (224, 206, 160), (150, 170, 180))
        )
        for shelf in range(5):
            across = x + 0.08 + 0.12 * shelf
            place.box(
                across,
                place.rng.uniform(0.2, 0.32),
                across + 0.07,
                0.44,
                place.tone((180, 90, 80), (90, 110, 150), (210, 190, 140), (110, 140, 100)),
            )
        place.polygon(
            [(x + 0.1, 0.46), (x + 0.22, 0.1), (x + 0.3, 0.1), (x + 0.18, 0.46)], (255, 255, 255), 46
        )
    place.slope(0.5, 1.0, (136, 132, 128), (164, 158, 152))
    paint_tiles(place, 0.5, (112, 108, 104), 8, 120)


def _wall(place: Place) -> None:
    brick = place.tone((150, 88, 68), (172, 150, 122), (128, 120, 114))
    place.slope(0.0, 0.5, brick, darker(brick, 10))
    for row in range(16):
        y = row * 0.5 / 16
        place.line((0, y), (ASPECT, y), 0.003, lighter(brick, 28), 150)
        for column in range(40):
            x = (column + 0.5 * (row % 2)) * ASPECT / 40
            place.line((x, y), (x, y + 0.5 / 16), 0.003, lighter(brick, 28), 150)
    for x in place.steps(0.8, 1.3):
        place.box(x, 0.06, x + 0.3, 0.28, place.tone((214, 208, 196), (90, 120, 150), (196, 150, 70)))
    place.slope(0.5, 1.0, (126, 124, 122), (150, 148, 144))
    place.box(0, 0.5, ASPECT, 0.515, (92, 90, 88))


def _station(place: Place) -> None:
    place.slope(0.0, 0.46, (176, 184, 190), (198, 202, 204))
    for x in place.steps(0.34, 0.36):
        place.box(x, 0.0, x + 0.3, 0.4, (150, 172, 184))
        place.polygon(
            [(x + 0.04, 0.4), (x + 0.16, 0.0), (x + 0.22, 0.0), (x + 0.1, 0.4)], (230, 240, 244), 110
        )
    for x in place.steps(0.9, 1.3):
        place.box(x, 0.0, x + 0.09, 0.52, (126, 130, 134))
        place.box(x, 0.0, x + 0.03, 0.52, (156, 160, 164))
    place.box(0, 0.4, ASPECT, 0.44, (120, 124, 128))
    place.slope(0.44, 1.0, (176, 176, 172), (206, 204, 198))
    paint_tiles(place, 0.44, (150, 150, 146), 8, 110)
    place.box(0, 0.58, ASPECT, 0.61, (222, 190, 70))


def _parking(place: Place) -> None:
    place.slope(0.0, 0.29, (170, 188, 206), (204, 210, 212))
    for x in place.steps(0.25, 0.5):
        paint_tree(place, x, 0.3, 0.6)
    place.slope(0.28, 1.0, (112, 114, 116), (134, 134, 134))
    for x in place.steps(0.62, 0.8):
        paint_car(place, x, 0.5, 0.85)
    for x in place.steps(0.4, 0.41):
        place.line((x, 0.55), (x - 0.12, 0.8), 0.012, (206, 206, 200))


PAINTERS: dict[str, Callable[[Place], None]] = {
    "street": _street,
    "zebra crossing": _crossing,
    "grass": _grass,
    "corridor": _corridor,
    "shop": _shop,
    "wall": _wall,
    "station": _station,
    "car park": _parking,
}


def paint_place(kind: str, seed: int, camera: int, height: int) -> Image.Image:
    """The place of a camera, `height` pixels tall and `ASPECT` times as wide, a little out of focus."""
    rng = stream("place", seed, camera, kind)
    place = Place(height, rng)
    PAINTERS[kind](place)
    grain = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
    speckle: NDArray[np.int16] = grain.integers(-7, 8, (height // 4, height * ASPECT // 4, 1), dtype=np.int16)
    pixels = np.asarray(place.image, dtype=np.int16)
    spread = np.repeat(np.repeat(speckle, 4, axis=0), 4, axis=1)
    pixels = pixels[: spread.shape[0], : spread.shape[1]] + spread
    textured = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return textured.filter(ImageFilter.GaussianBlur(height / 260))
