"""How a person stands or walks in one image, and where that puts the joints.

Body coordinates are (lateral, forward, height) in units of the body height: lateral grows to the person's
left, height from the ground. `View` projects them onto the picture plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from typing import TYPE_CHECKING

from cfack.data.synthesize.randomness import chance, pick

if TYPE_CHECKING:
    import random

    from cfack.data.synthesize.attributes import Person

Point = tuple[float, float, float]

# Yaw in degrees of what captions call a direction: 0 faces the camera, 90 walks to the right of the picture.
DIRECTIONS: dict[str, tuple[int, int]] = {
    "front": (-28, 28),
    "right": (58, 112),
    "back": (152, 208),
    "left": (-112, -58),
}


@dataclass(frozen=True)
class View:
    """The camera's direction on a person: yaw and downward pitch in radians."""

    yaw: float
    pitch: float

    def project(self, point: Point) -> tuple[float, float]:
        """Picture coordinates (right, up), in body heights, of a body point."""
        lateral, forward, height = point
        return (
            lateral * cos(self.yaw) + forward * sin(self.yaw),
            height * cos(self.pitch) - self.depth(point) * sin(self.pitch),
        )

    def depth(self, point: Point) -> float:
        """How far a body point lies towards the camera, in body heights."""
        lateral, forward, _ = point
        return forward * cos(self.yaw) - lateral * sin(self.yaw)


@dataclass(frozen=True)
class Pose:
    """One moment of one walk.

    Attributes:
        direction: Key of `DIRECTIONS`.
        stride: Largest angle of the thighs in radians; 0 stands still.
        phase: Position in the gait cycle in radians.
        lean: Forward lean of the trunk in radians.
        arms: What the (left, right) arm does.
    """

    direction: str
    view: View
    stride: float
    phase: float
    lean: float
    arms: tuple[str, str]

    @property
    def walks(self) -> bool:
        """Whether an onlooker would say that the person walks."""
        return self.stride > 0.15


@dataclass(frozen=True)
class Limb:
    """The three joints of an arm (shoulder, elbow, wrist) or a leg (hip, knee, ankle)."""

    root: Point
    middle: Point
    end: Point


@dataclass(frozen=True)
class Skeleton:
    """Joints in body coordinates; limbs are (left, right)."""

    legs: tuple[Limb, Limb]
    arms: tuple[Limb, Limb]
    lean: float
    lift: float

    def trunk(self, height: float) -> Point:
        """The centre of the trunk, neck or head at a height of the upright body."""
        return (0.0, max(0.0, height - HIP_HEIGHT) * sin(self.lean), height + self.lift)


HIP_HEIGHT, SHOULDER_HEIGHT = 0.52, 0.788
THIGH, SHIN, UPPER_ARM, FOREARM = 0.245, 0.235, 0.15, 0.145


def draw_pose(rng: random.Random, person: Person, direction: str) -> Pose:
    """A random pose in which `person` can hold what it carries."""
    low, high = DIRECTIONS[direction]
    walking = chance(rng, 82)
    return Pose(
        direction=direction,
        view=View(rng.uniform(low, high) * pi / 180, rng.uniform(3, 14) * pi / 180),
        stride=rng.uniform(0.24, 0.44) if walking else rng.uniform(0.0, 0.1),
        phase=rng.uniform(0, 2 * pi),
        lean=rng.uniform(0.0, 0.07),
        arms=(_arm_mode(rng, person, 1), _arm_mode(rng, person, -1)),
    )


def _arm_mode(rng: random.Random, person: Person, side: int) -> str:
    if person.umbrella is not None and side == -person.side:
        return "umbrella"
    if person.bag is not None and side == person.side:
        if person.bag.kind == "handbag":
            return pick(rng, {"elbow": 50, "hold": 50})
        if person.bag.kind in ("suitcase", "shopping bag"):
            return "hold"
    return pick(rng, {"swing": 74, "pocket": 13, "phone": 13})


def build_skeleton(pose: Pose, shoulder: float, hip: float) -> Skeleton:
    """Place the joints of a body of half shoulder width `shoulder` and half hip width `hip`."""
    legs = (_leg(pose, hip, pose.phase), _leg(pose, -hip, pose.phase + pi))
    lift = 0.035 - min(leg.end[2] for leg in legs)
    left, right = (
        _arm(pose, mode, side * (shoulder - 0.004), side, pose.phase + offset)
        for mode, side, offset in zip(pose.arms, (1, -1), (pi, 0.0), strict=True)
    )
    return Skeleton(
        legs=(_raised(legs[0], lift), _raised(legs[1], lift)),
        arms=(_raised(left, lift), _raised(right, lift)),
        lean=pose.lean,
        lift=lift,
    )


def _leg(pose: Pose, lateral: float, phase: float) -> Limb:
    thigh = pose.stride * sin(phase) + 0.04
    # The knee bends while the leg swings forward, that is while the thigh's angle grows.
    shin = thigh - 0.06 - 1.5 * pose.stride * max(0.0, cos(phase))
    hip = (lateral, 0.0, HIP_HEIGHT)
    knee = _swing(hip, THIGH, thigh)
    return Limb(hip, knee, _swing(knee, SHIN, shin))


def _arm(pose: Pose, mode: str, lateral: float, side: int, phase: float) -> Limb:
    angles = {
        "swing": (0.85 * pose.stride * sin(phase), 0.15 + 0.5 * pose.stride, 0.03, 0.012),
        "pocket": (-0.28, 0.62, 0.05, -0.05),
        "phone": (0.3, 1.75, 0.02, -0.055),
        "elbow": (0.05, 1.25, 0.035, -0.01),
        "hold": (0.3 * pose.stride * sin(phase), 0.08, 0.035, 0.01),
        "umbrella": (0.35, 1.65, 0.02, -0.02),
    }
    upper, bend, spread, turn = angles[mode]
    forward = (SHOULDER_HEIGHT - HIP_HEIGHT) * sin(pose.lean)
    shoulder = (lateral, forward, SHOULDER_HEIGHT)
    elbow = _swing(shoulder, UPPER_ARM, upper, side * spread)
    return Limb(shoulder, elbow, _swing(elbow, FOREARM, upper + bend, side * turn))


def _swing(start: Point, length: float, angle: float, sideways: float = 0.0) -> Point:
    """The end of a bone that hangs from `start`, turned forward by `angle`, and moved `sideways`."""
    reach = (length**2 - sideways**2) ** 0.5
    return (start[0] + sideways, start[1] + reach * sin(angle), start[2] - reach * cos(angle))


def _raised(limb: Limb, lift: float) -> Limb:
    root, middle, end = ((p[0], p[1], p[2] + lift) for p in (limb.root, limb.middle, limb.end))
    return Limb(root, middle, end)
