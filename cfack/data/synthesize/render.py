"""One image of one identity: place, pose, light and camera are drawn, painted and compressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from cfack.data.synthesize.camera import CAMERAS, camera_of, compress, expose, place_of
from cfack.data.synthesize.figure import paint_person
from cfack.data.synthesize.occlusion import paint_bystander, paint_occluder
from cfack.data.synthesize.pose import Pose, draw_pose
from cfack.data.synthesize.randomness import chance, pick, stream

if TYPE_CHECKING:
    import random

    from cfack.data.synthesize.attributes import Person
    from cfack.data.synthesize.camera import Camera

SUPERSAMPLING = 2
DIRECTION_WEIGHTS = {"front": 34, "back": 26, "left": 20, "right": 20}


@dataclass(frozen=True)
class Shot:
    """What one image of a person shows beside the person.

    Attributes:
        index: Number of the image among those of the identity.
    """

    index: int
    camera: Camera
    pose: Pose

    @property
    def place(self) -> str:
        """The kind of place in the background."""
        return self.camera.place


def draw_shot(person: Person, seed: int, identity: int, index: int) -> Shot:
    """Camera and pose of image `index`; neighbouring images of an identity come from different cameras."""
    first = stream("cameras", seed, identity).randrange(CAMERAS)
    rng = stream("shot", seed, identity, index)
    camera = camera_of(seed, (first + index * 5) % CAMERAS)
    return Shot(index, camera, draw_pose(rng, person, pick(rng, DIRECTION_WEIGHTS)))


def render(person: Person, shot: Shot, seed: int, identity: int, image_height: int) -> Image.Image:
    """Paint the image of a shot; RGB, about `image_height` pixels tall."""
    rng = stream("image", seed, identity, shot.index)
    height = image_height * rng.randint(80, 120) // 100
    width = height * rng.randint(40, 52) // 100
    big = (width * SUPERSAMPLING, height * SUPERSAMPLING)
    image = _backdrop(shot, seed, image_height, big, rng)
    paint_bystander(image, rng, 0.5)
    tall = rng.uniform(0.82, 0.93) * (0.86 if person.umbrella is not None else 1.0)
    foot = (big[0] * rng.uniform(0.44, 0.56), big[1] * rng.uniform(0.935, 0.985))
    paint_person(image, person, shot.pose, foot, big[1] * tall)
    paint_occluder(image, rng)
    if chance(rng, 18):
        _sunbeam(image, rng)
    return expose(image.reduce(SUPERSAMPLING), shot.camera, rng)


def encode(image: Image.Image, shot: Shot, seed: int, identity: int, suffix: str) -> bytes:
    """The file of a rendered image; `suffix` is ".jpg" or ".png"."""
    return compress(image, shot.camera, stream("file", seed, identity, shot.index), suffix)


def _backdrop(
    shot: Shot, seed: int, image_height: int, size: tuple[int, int], rng: random.Random
) -> Image.Image:
    """A cut of the camera's place at a random spot and scale."""
    place = place_of(seed, shot.camera.number, image_height * SUPERSAMPLING)
    high = place.height * rng.uniform(0.8, 1.0)
    wide = high * size[0] / size[1]
    left = rng.uniform(0, place.width - wide)
    top = place.height - high
    return place.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + wide, top + high))


def _sunbeam(image: Image.Image, rng: random.Random) -> None:
    """Light or shadow that falls on one side of the picture."""
    strength = rng.randint(20, 52)
    colour = (0, 0, 0) if chance(rng, 60) else (255, 236, 190)
    ramp = Image.linear_gradient("L").rotate(90).resize(image.size)
    if chance(rng, 50):
        ramp = ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image.paste(colour, (0, 0), ramp.point([value * strength // 100 for value in range(256)]))
