"""A brush for wide pictures of places, and what stands in more than one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from cfack.data.synthesize.palette import RGB, darker, lighter, mix

if TYPE_CHECKING:
    import random

ASPECT = 3  # width of the picture of a place in heights


class Place:
    """A picture of a place while it is painted."""

    def __init__(self, height: int, rng: random.Random) -> None:
        self.rng = rng
        self.image = Image.new("RGB", (height * ASPECT, height))
        self._draw = ImageDraw.Draw(self.image, "RGBA")
        self._height = height

    def slope(self, top: float, bottom: float, upper: RGB, lower: RGB) -> None:
        """Fill the rows between two heights with a gradient."""
        first, last = int(top * self._height), int(bottom * self._height)
        for row in range(first, last):
            colour = mix(upper, lower, 100 * (row - first) // max(1, last - first))
            self._draw.line((0, row, self.image.width, row), fill=colour)

    def box(
        self, left: float, top: float, right: float, bottom: float, colour: RGB, alpha: int = 255
    ) -> None:
        """Fill a rectangle."""
        scale = self._height
        self._draw.rectangle(
            (left * scale, top * scale, right * scale, bottom * scale), fill=(*colour, alpha)
        )

    def polygon(self, corners: list[tuple[float, float]], colour: RGB, alpha: int = 255) -> None:
        """Fill a polygon."""
        self._draw.polygon([(x * self._height, y * self._height) for x, y in corners], fill=(*colour, alpha))

    def blob(self, x: float, y: float, across: float, up: float, colour: RGB, alpha: int = 255) -> None:
        """Fill an ellipse."""
        scale = self._height
        box = ((x - across) * scale, (y - up) * scale, (x + across) * scale, (y + up) * scale)
        self._draw.ellipse(box, fill=(*colour, alpha))

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        width: float,
        colour: RGB,
        alpha: int = 255,
    ) -> None:
        """Draw a line."""
        scale = self._height
        ends = (start[0] * scale, start[1] * scale, end[0] * scale, end[1] * scale)
        self._draw.line(ends, fill=(*colour, alpha), width=max(1, round(width * scale)))

    def steps(self, low: float, high: float, jitter: float = 0.0, start: float = 0.0) -> list[float]:
        """Places along the picture at random distances between `low` and `high`."""
        x, found = start + self.rng.uniform(0, low), []
        while x < ASPECT:
            found.append(x + self.rng.uniform(-jitter, jitter))
            x += self.rng.uniform(low, high)
        return found

    def tone(self, *colours: RGB) -> RGB:
        """One of `colours`, a little lighter or darker."""
        colour = colours[self.rng.randrange(len(colours))]
        return (
            lighter(colour, self.rng.randrange(14))
            if self.rng.randrange(2)
            else darker(colour, self.rng.randrange(14))
        )


def paint_tiles(place: Place, ground: float, colour: RGB, rows: int, alpha: int) -> None:
    """Joints of a paved floor in perspective."""
    for row in range(rows):
        y = ground + (1 - ground) * (row / rows) ** 1.7
        place.line((0, y), (ASPECT, y), 0.003 + 0.004 * row / rows, colour, alpha)
    for x in range(-10, 24):
        place.line(
            (ASPECT / 2 + (x / 4 - ASPECT / 2) * 0.7, ground),
            (ASPECT / 2 + (x / 4 - ASPECT / 2) * 1.6, 1.0),
            0.004,
            colour,
            alpha,
        )


def paint_tree(place: Place, x: float, foot: float, size: float) -> None:
    """A tree whose trunk ends at `foot`."""
    place.box(x - 0.02 * size, foot - 0.3 * size, x + 0.02 * size, foot, place.tone((82, 64, 48)))
    green = place.tone((58, 96, 50), (84, 112, 56), (44, 80, 50))
    for _ in range(9):
        dx, dy = place.rng.uniform(-0.15, 0.15) * size, place.rng.uniform(-0.16, 0.12) * size
        shade = mix(green, (20, 40, 20) if dy > 0 else (190, 200, 110), place.rng.randrange(30))
        place.blob(x + dx, foot - 0.42 * size + dy, 0.11 * size, 0.09 * size, shade)


def paint_car(place: Place, x: float, foot: float, size: float) -> None:
    """A parked car seen from the side."""
    colour = place.tone((150, 152, 156), (190, 190, 188), (60, 64, 72), (120, 40, 40), (50, 70, 110))
    windows = [(0.14, 0.17), (0.22, 0.29), (0.5, 0.29), (0.62, 0.17)]
    place.polygon([(x + right * size, foot - up * size) for right, up in windows], darker(colour, 55))
    place.box(x, foot - 0.18 * size, x + 0.75 * size, foot - 0.05 * size, colour)
    for wheel in (0.15, 0.6):
        place.blob(x + wheel * size, foot - 0.045 * size, 0.065 * size, 0.065 * size, (26, 26, 28))
    place.blob(x + 0.02 * size, foot - 0.13 * size, 0.02 * size, 0.02 * size, (240, 234, 200))
