"""Random erasing of the strong view (arXiv 1708.04896)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

AREA = (0.02, 0.4)
ASPECT = (0.3, 3.33)
TRIES = 100


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int


def draw_erased_box(height: int, width: int, probability: float, rng: np.random.Generator) -> Box | None:
    """Decide whether to erase, and where.

    The share of the area is uniform over `AREA` and the aspect (height by width) uniform, not log-uniform,
    over `ASPECT`; a box that does not fit is drawn anew. The aspect is that of the published square view: in
    a view of another aspect the box is squashed with the picture.

    Args:
        height: of the view, in pixels.
        width: of the view, in pixels.
        probability: of erasing at all.
        rng: decides.

    Returns:
        The pixels that become 0 after normalisation, or None.
    """
    if rng.random() >= probability:
        return None
    for _ in range(TRIES):
        area, aspect = rng.uniform(*AREA), rng.uniform(*ASPECT)
        box_height = round(height * math.sqrt(area * aspect))
        box_width = round(width * math.sqrt(area / aspect))
        if 0 < box_height < height and 0 < box_width < width:
            top = int(rng.integers(height - box_height + 1))
            left = int(rng.integers(width - box_width + 1))
            return Box(top, left, box_height, box_width)
    return None
