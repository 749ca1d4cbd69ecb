"""Painting a whole person in one pose, from the parts farthest from the camera to the nearest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import cos
from typing import TYPE_CHECKING

from cfack.data.synthesize import belongings, clothes, hair, head
from cfack.data.synthesize.canvas import Canvas
from cfack.data.synthesize.pose import build_skeleton

if TYPE_CHECKING:
    from PIL import Image

    from cfack.data.synthesize.attributes import Person
    from cfack.data.synthesize.canvas import Pixel
    from cfack.data.synthesize.pose import Limb, Point, Pose, Skeleton

BREADTHS = {"slim": 0.9, "average": 1.0, "heavy": 1.2}
Part = tuple[float, Callable[[], None]]


def paint_person(image: Image.Image, person: Person, pose: Pose, foot: Pixel, height: float) -> None:
    """Paint `person` on `image` (RGB, in place), standing at the pixel `foot`, `height` pixels tall."""
    canvas = Canvas(image, pose.view, foot, height, BREADTHS[person.build])
    body = clothes.BODIES[person.female]
    skeleton = build_skeleton(pose, body.shoulder, body.hip * 0.55)
    _paint_shadow(canvas)
    parts = _legs(canvas, person, skeleton) + _upper_parts(canvas, person, pose, skeleton)
    for _, paint in sorted(parts, key=lambda part: part[0]):
        paint()


def _paint_shadow(canvas: Canvas) -> None:
    centre = canvas.pixel((0.0, 0.0, 0.005))
    for size, alpha in ((1.0, 34), (0.75, 40), (0.5, 50)):
        canvas.ellipse(
            (centre[0] + 0.05 * canvas.height, centre[1]), 0.21 * size, 0.034 * size, (0, 0, 0), alpha
        )


def _legs(canvas: Canvas, person: Person, skeleton: Skeleton) -> list[Part]:
    """Legs come first; the trunk and everything that hangs from it cover them."""
    parts: list[Part] = []
    for limb in skeleton.legs:
        depth = canvas.view.depth(limb.middle) + 0.5 * canvas.view.depth(limb.root)
        parts.append((depth - 2.0, partial(clothes.paint_leg, canvas, person, limb, _toe(limb))))
    return parts


def _toe(limb: Limb) -> Point:
    """The tip of the foot: it points down where the heel is lifted behind."""
    back_lean = max(0.0, limb.middle[1] - limb.end[1])
    ankle = limb.end
    return (ankle[0] * 1.12, ankle[1] + 0.075, max(0.02, ankle[2] - 0.012 - 0.25 * back_lean))


def _upper_parts(canvas: Canvas, person: Person, pose: Pose, skeleton: Skeleton) -> list[Part]:
    body = clothes.BODIES[person.female]
    trunk = clothes.trunk_surface(canvas, person, skeleton, body)
    facing = cos(canvas.view.yaw)
    on_elbow = "elbow" in pose.arms
    parts: list[Part] = [
        (-1.0, partial(clothes.paint_skirt, canvas, person, skeleton, body)),
        (-0.05, partial(head.paint_neck, canvas, person, skeleton)),
        (0.0, partial(clothes.paint_trunk, canvas, person, trunk)),
        (0.001, partial(belongings.paint_straps, canvas, person, trunk)),
        (0.05, partial(head.paint_head, canvas, person, skeleton)),
        (0.048 if facing > -0.2 else 0.1, partial(head.paint_scarf, canvas, person, skeleton)),
        (-0.2 if facing > 0.35 else 0.049, partial(hair.paint_back_hair, canvas, person, skeleton)),
        (canvas.view.depth(belongings.bag_anchor(person, skeleton)),
         partial(belongings.paint_bag, canvas, person, skeleton, on_elbow=on_elbow)),
        (0.5, partial(belongings.paint_umbrella, canvas, person, skeleton)),
    ]  # fmt: skip
    if facing < -0.35:
        parts.append((0.06, partial(hair.paint_back_hair, canvas, person, skeleton)))
    if facing > 0.6:
        parts.append((0.055, partial(hair.paint_front_hair, canvas, person, skeleton)))
    for limb in skeleton.arms:
        depth = 0.5 * (canvas.view.depth(limb.root) + canvas.view.depth(limb.end))
        parts.append((depth + 0.035, partial(clothes.paint_arm, canvas, person, limb)))
    return parts
