"""The head as an ellipsoid on which face, hair and hats are painted."""

from __future__ import annotations

from math import atan2, cos, pi, sin
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cfack.data.synthesize.canvas import Canvas, Pixel
    from cfack.data.synthesize.palette import RGB
    from cfack.data.synthesize.pose import Point, Skeleton

HEAD_HEIGHT = 0.936
ACROSS, ALONG, UP = 0.05, 0.058, 0.065  # half axes of the head


class Head:
    """The head as an ellipsoid that knows where a point of its surface is seen."""

    def __init__(self, canvas: Canvas, skeleton: Skeleton) -> None:
        self.canvas = canvas
        self.centre: Point = skeleton.trunk(HEAD_HEIGHT)
        yaw = canvas.view.yaw
        self._turn = atan2(ALONG * sin(yaw), ACROSS * cos(yaw))

    def seen(self, azimuth: float) -> bool:
        """Whether the direction `azimuth` (0 front, positive left) is on the visible side."""
        return abs((azimuth + self._turn + pi) % (2 * pi) - pi) < pi / 2

    def pixel(self, azimuth: float, elevation: float, scale: float = 1.0) -> Pixel:
        """The pixel of a surface point; angles in radians; `scale` goes out from the surface."""
        lateral, forward, height = self.centre
        flat = cos(elevation) * scale
        return self.canvas.pixel(
            (lateral + ACROSS * flat * sin(azimuth), forward + ALONG * flat * cos(azimuth),
             height + UP * scale * sin(elevation))
        )  # fmt: skip

    def patch(
        self,
        azimuths: tuple[float, float],
        elevations: tuple[float, float],
        colour: RGB,
        scale: float = 1.0,
        alpha: int = 255,
    ) -> None:
        """Fill what is seen of the surface between two azimuths and two elevations."""
        centre = ((azimuths[0] + azimuths[1]) / 2 + self._turn + pi) % (2 * pi) - pi
        half = (azimuths[1] - azimuths[0]) / 2
        low, high = max(centre - half, -pi / 2), min(centre + half, pi / 2)
        if half >= pi:
            low, high = -pi / 2, pi / 2
        if low >= high:
            return
        columns = [low + (high - low) * i / 4 - self._turn for i in range(5)]
        rows = [elevations[0] + (elevations[1] - elevations[0]) * i / 4 for i in range(1, 4)]
        outline = [self.pixel(a, elevations[0], scale) for a in columns]
        outline += [self.pixel(columns[-1], e, scale) for e in rows]
        outline += [self.pixel(a, elevations[1], scale) for a in reversed(columns)]
        outline += [self.pixel(columns[0], e, scale) for e in reversed(rows)]
        self.canvas.polygon(outline, colour, alpha)


def turns(count: int) -> list[float]:
    """`count` azimuths all round."""
    return [2 * pi * index / count for index in range(count)]
