"""Painting body coordinates on a picture: polygons, ellipses, lines and limbs."""

from __future__ import annotations

from itertools import pairwise
from math import hypot
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from cfack.data.synthesize.palette import darker, lighter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfack.data.synthesize.palette import RGB
    from cfack.data.synthesize.pose import Point, View

Pixel = tuple[float, float]


class Canvas:
    """A picture on which one person is painted, with the place and size of that person.

    Args:
        image: The picture, RGB; painted in place.
        view: Direction of the camera on the person.
        foot: Pixel between the person's feet.
        height: Pixels of one body height.
        broad: Width of the person in percent of its height's proportion.
    """

    def __init__(
        self, image: Image.Image, view: View, foot: Pixel, height: float, broad: float = 1.0
    ) -> None:
        self.view = view
        self.height = height
        self._foot = foot
        self._across = height * broad
        self._draw = ImageDraw.Draw(image, "RGBA")

    def pixel(self, point: Point) -> Pixel:
        """Where a body point lies in the picture."""
        right, up = self.view.project(point)
        return (self._foot[0] + right * self._across, self._foot[1] - up * self.height)

    def below(self, point: Point, down: float) -> Pixel:
        """The pixel `down` body heights straight below a body point."""
        x, y = self.pixel(point)
        return (x, y + down * self.height)

    def polygon(self, pixels: Sequence[Pixel], colour: RGB, alpha: int = 255) -> None:
        """Fill a polygon; fewer than three corners paint nothing."""
        if len(pixels) >= 3:
            self._draw.polygon(pixels, fill=(*colour, alpha))

    def ellipse(self, centre: Pixel, across: float, up: float, colour: RGB, alpha: int = 255) -> None:
        """Fill an upright ellipse of the given half axes, in body heights."""
        x, y, half_x, half_y = *centre, across * self._across, up * self.height
        self._draw.ellipse((x - half_x, y - half_y, x + half_x, y + half_y), fill=(*colour, alpha))

    def ring(self, centre: Pixel, radius: float, width: float, colour: RGB) -> None:
        """Draw a circle; radius and width in body heights."""
        x, y, half = *centre, radius * self.height
        thick = max(1, round(width * self.height))
        self._draw.ellipse((x - half, y - half, x + half, y + half), outline=(*colour, 255), width=thick)

    def line(self, pixels: Sequence[Pixel], width: float, colour: RGB, alpha: int = 255) -> None:
        """Draw a line of `width` body heights through pixels."""
        thick = max(1, round(width * self.height))
        self._draw.line(list(pixels), fill=(*colour, alpha), width=thick, joint="curve")

    def limb(self, start: Point, end: Point, start_radius: float, end_radius: float, colour: RGB) -> None:
        """Paint a tapered capsule between two body points; radii in body heights."""
        self.tube((start, end), (start_radius, end_radius), colour)

    def tube(
        self, joints: Sequence[Point], radii: Sequence[float], colour: RGB, *, hem: bool = False
    ) -> None:
        """Paint a bent tapered tube through body points, as lit from the left of the picture.

        Its ends are round; with `hem`, the last one is cut straight, as sleeves and trousers are.
        """
        pixels = [self.pixel(joint) for joint in joints]
        sizes = [radius * self.height for radius in radii]
        # The whole tube in its darkest tone, then narrower ones on top, shifted into the light.
        for tone, part, shift in (
            (darker(colour, 22), 1.0, 0.0),
            (colour, 0.8, -0.2),
            (lighter(colour, 9), 0.34, -0.36),
        ):
            for (first, last), (big, small) in zip(pairwise(pixels), pairwise(sizes), strict=True):
                start, end = (first[0] + shift * big, first[1]), (last[0] + shift * small, last[1])
                self._capsule(start, end, big * part, small * part, tone, cut=hem and last is pixels[-1])

    def glaze(self, joints: Sequence[Point], radii: Sequence[float]) -> None:
        """Darken the right side of a tube again, over a pattern."""
        for (first, last), (big, small) in zip(pairwise(joints), pairwise(radii), strict=True):
            start, end = self.pixel(first), self.pixel(last)
            side = _normal(start, end)
            sign = self.height if side[0] > 0 else -self.height
            corners = ((start, big, 0.45), (end, small, 0.45), (end, small, 1.0), (start, big, 1.0))
            edge = [_aside(corner, side, sign * radius * part) for corner, radius, part in corners]
            self.polygon(edge, (0, 0, 0), 56)

    def cuff(
        self, start: Point, end: Point, radii: tuple[float, float], span: tuple[float, float], colour: RGB
    ) -> None:
        """Paint the band of a limb between two fractions of its length, as of a stripe on a sleeve."""
        edges = ((span[0], -1.0), (span[0], 1.0), (span[1], 1.0), (span[1], -1.0))
        self.polygon([self.beside(start, end, radii, part, across) for part, across in edges], colour)

    def beside(
        self, start: Point, end: Point, radii: tuple[float, float], part: float, across: float
    ) -> Pixel:
        """The pixel at fraction `part` of a limb, `across` radii aside of its axis."""
        first, last = self.pixel(start), self.pixel(end)
        middle = (first[0] + (last[0] - first[0]) * part, first[1] + (last[1] - first[1]) * part)
        reach = (radii[0] + (radii[1] - radii[0]) * part) * self.height
        return _aside(middle, _normal(first, last), across * reach)

    def _capsule(
        self, first: Pixel, last: Pixel, start: float, end: float, colour: RGB, *, cut: bool
    ) -> None:
        side = _normal(first, last)
        body = [_aside(first, side, start), _aside(last, side, end), _aside(last, side, -end),
                _aside(first, side, -start)]  # fmt: skip
        self.polygon(body, colour)
        for (x, y), radius in ((first, start),) if cut else ((first, start), (last, end)):
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*colour, 255))


def _normal(first: Pixel, last: Pixel) -> Pixel:
    along = hypot(last[0] - first[0], last[1] - first[1]) or 1.0
    return ((last[1] - first[1]) / along, (first[0] - last[0]) / along)


def _aside(pixel: Pixel, side: Pixel, distance: float) -> Pixel:
    return (pixel[0] + side[0] * distance, pixel[1] + side[1] * distance)
