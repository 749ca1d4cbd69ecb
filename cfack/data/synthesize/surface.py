"""Surfaces of revolution in body coordinates: trunks, coats, skirts, bags."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import atan2, cos, pi, sin
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfack.data.synthesize.canvas import Canvas, Pixel
    from cfack.data.synthesize.palette import RGB
    from cfack.data.synthesize.pose import Point


@dataclass(frozen=True)
class Ring:
    """One horizontal ellipse of a surface: its centre and its half axes to the side and to the front."""

    centre: Point
    across: float
    along: float


class Surface:
    """A stack of horizontal ellipses from top to bottom: a trunk, a coat, a skirt, a backpack.

    Points on it are (t, angle): t is 0 at the top ring and 1 at the bottom ring, by height; angle is 0 at the
    person's front and grows to the person's left. What is painted turns with the person, up to the outline.
    """

    def __init__(self, canvas: Canvas, rings: Sequence[Ring]) -> None:
        self._canvas = canvas
        self._rings = rings
        top, bottom = rings[0].centre[2], rings[-1].centre[2]
        self._stops = [(top - ring.centre[2]) / (top - bottom) for ring in rings]
        self.length = top - bottom

    def fill(self, colour: RGB, alpha: int = 255) -> None:
        """Paint the whole visible side."""
        self.strip(0.0, 1.0, -pi, pi, colour, alpha)

    def shade(self) -> None:
        """Darken the right and lighten the left edge of the outline, as `Canvas.limb` does."""
        self._screen_strip(0.0, 1.0, 0.62, pi / 2, (0, 0, 0), 34)
        self._screen_strip(0.0, 1.0, 0.95, pi / 2, (0, 0, 0), 34)
        self._screen_strip(0.0, 1.0, -1.25, -0.55, (255, 255, 255), 22)

    def strip(
        self, top: float, bottom: float, start: float, end: float, colour: RGB, alpha: int = 255
    ) -> None:
        """Paint what is seen of the part between two heights t and two body angles in radians."""
        turn = self._turn(self._at((top + bottom) / 2))
        half = (end - start) / 2
        if half >= pi:
            self._screen_strip(top, bottom, -pi / 2, pi / 2, colour, alpha)
            return
        centre = _wrapped((start + end) / 2 + turn)
        low, high = max(centre - half, -pi / 2), min(centre + half, pi / 2)
        if low < high:
            self._screen_strip(top, bottom, low, high, colour, alpha)

    def point(self, t: float, angle: float) -> Pixel | None:
        """The pixel of a point of the surface, or None where it faces away from the camera."""
        ring = self._at(t)
        screen = _wrapped(angle + self._turn(ring))
        return None if abs(screen) > pi / 2 else self._pixel(ring, screen)

    def path(
        self, points: Sequence[tuple[float, float]], width: float, colour: RGB, alpha: int = 255
    ) -> None:
        """Draw a line through surface points, broken where it passes out of sight."""
        run: list[Pixel] = []
        for t, angle in points:
            pixel = self.point(t, angle)
            if pixel is not None:
                run.append(pixel)
                continue
            if len(run) > 1:
                self._canvas.line(run, width, colour, alpha)
            run = []
        if len(run) > 1:
            self._canvas.line(run, width, colour, alpha)

    def foreshortening(self, t: float, angle: float) -> float:
        """How wide a small patch at a point looks: 1 facing the camera, 0 at the outline or behind."""
        return max(0.0, cos(_wrapped(angle + self._turn(self._at(t)))))

    def _screen_strip(
        self, top: float, bottom: float, low: float, high: float, colour: RGB, alpha: int
    ) -> None:
        steps = 5 if high - low > 1.2 else 3
        upper, lower = self._at(top), self._at(bottom)
        angles = [low + (high - low) * step / (steps - 1) for step in range(steps)]
        between = [self._rings[i] for i in range(len(self._rings)) if top < self._stops[i] < bottom]
        outline = [self._pixel(upper, angle) for angle in angles]
        outline += [self._pixel(ring, high) for ring in between]
        outline += [self._pixel(lower, angle) for angle in reversed(angles)]
        outline += [self._pixel(ring, low) for ring in reversed(between)]
        self._canvas.polygon(outline, colour, alpha)

    def _pixel(self, ring: Ring, screen: float) -> Pixel:
        """The pixel of a ring at an angle counted from the camera's direction, positive to the right."""
        angle = screen - self._turn(ring)
        lateral, forward, height = ring.centre
        return self._canvas.pixel(
            (lateral + ring.across * sin(angle), forward + ring.along * cos(angle), height)
        )

    def _turn(self, ring: Ring) -> float:
        """What to add to a body angle of this ring for its angle from the camera's direction."""
        yaw = self._canvas.view.yaw
        return atan2(ring.along * sin(yaw), ring.across * cos(yaw))

    def _at(self, t: float) -> Ring:
        """The ring at a height, interpolated."""
        upper = min(max(bisect_right(self._stops, t) - 1, 0), len(self._rings) - 2)
        first, last = self._rings[upper], self._rings[upper + 1]
        part = (t - self._stops[upper]) / (self._stops[upper + 1] - self._stops[upper])
        lateral, forward, height = (
            a + (b - a) * part for a, b in zip(first.centre, last.centre, strict=True)
        )
        return Ring(
            (lateral, forward, height),
            first.across + (last.across - first.across) * part,
            first.along + (last.along - first.along) * part,
        )


def _wrapped(angle: float) -> float:
    """`angle` brought into [-pi, pi)."""
    return (angle + pi) % (2 * pi) - pi
