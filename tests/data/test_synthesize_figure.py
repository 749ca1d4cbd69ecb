from dataclasses import replace
from math import radians

import numpy as np
import pytest
from PIL import Image

from cfack.data.synthesize.attributes import Garment, Item, Person, draw_person
from cfack.data.synthesize.figure import paint_person
from cfack.data.synthesize.palette import RGB, Colour
from cfack.data.synthesize.pose import Pose, View, build_skeleton
from cfack.data.synthesize.render import draw_shot, render

GREY, SKIN, BLACK = (128, 128, 128), (230, 190, 160), (10, 10, 10)
YAWS = {"front": 0, "right": 90, "back": 180, "left": -90}
PLAIN = replace(
    draw_person(0, 0),
    female=False,
    build="average",
    skin=SKIN,
    hair_style="short",
    hair=Colour("black", BLACK),
    beard=False,
    headwear=None,
    upper=Garment("t-shirt", Colour("red", (200, 0, 0))),
    sleeves="short",
    inner=None,
    lower=Garment("trousers", Colour("blue", (0, 0, 200))),
    shoes=Item("sneakers", Colour("green", (0, 200, 0))),
    bag=None,
    side=1,
    glasses=None,
    scarf=None,
    umbrella=None,
)


def paint(person: Person, direction: str) -> np.ndarray:
    pose = Pose(direction, View(radians(YAWS[direction]), 0.0), 0.0, 0.0, 0.0, ("hold", "hold"))
    image = Image.new("RGB", (200, 400), GREY)
    paint_person(image, person, pose, (100.0, 390.0), 360.0)
    return np.asarray(image, dtype=np.int16)


def like(pixels: np.ndarray, colour: RGB) -> np.ndarray:
    return np.abs(pixels - np.array(colour)).max(axis=2) < 60


@pytest.mark.parametrize("direction", list(YAWS))
def test_garments_have_their_colours_and_places_from_every_side(direction: str) -> None:
    pixels = paint(PLAIN, direction)
    for colour, top, bottom in (((200, 0, 0), 90, 210), ((0, 0, 200), 210, 370), ((0, 200, 0), 360, 400)):
        rows = np.flatnonzero(like(pixels, colour).any(axis=1))
        assert rows.size > 8
        assert rows.min() >= top - 20
        assert rows.max() <= bottom + 20


def test_the_face_is_where_the_person_looks_and_hidden_from_behind() -> None:
    skin = {name: like(paint(PLAIN, name)[30:85], SKIN) for name in YAWS}
    columns = {name: np.nonzero(mask)[1].mean() for name, mask in skin.items() if name in ("left", "right")}
    assert columns["right"] > 104
    assert columns["left"] < 96
    assert skin["back"].sum() < 0.35 * skin["front"].sum()


def test_a_backpack_fills_the_back_and_shows_straps_in_front() -> None:
    yellow = (230, 200, 0)
    wearer = replace(PLAIN, bag=Item("backpack", Colour("yellow", yellow)))
    seen = {name: int(like(paint(wearer, name), yellow).sum()) for name in YAWS}
    assert seen["back"] > 1500
    assert 100 < seen["front"] < 0.6 * seen["back"]


@pytest.mark.parametrize("pattern", ["horizontal stripes", "vertical stripes", "checks", "dots", "logo"])
def test_a_pattern_shows_its_colour_in_front(pattern: str) -> None:
    white = Colour("white", (250, 250, 250))
    dressed = replace(PLAIN, upper=replace(PLAIN.upper, pattern=pattern, accent=white))
    changed = np.abs(paint(dressed, "front") - paint(PLAIN, "front")).max(axis=2) > 40
    assert changed.sum() > 400


def test_a_logo_is_not_seen_from_behind() -> None:
    dressed = replace(
        PLAIN, upper=replace(PLAIN.upper, pattern="logo", accent=Colour("white", (250, 250, 250)))
    )
    assert np.array_equal(paint(dressed, "back"), paint(PLAIN, "back"))


def test_the_lower_foot_stands_on_the_ground_in_every_phase_of_the_walk() -> None:
    for phase in np.linspace(0, 6.2, 12):
        skeleton = build_skeleton(
            Pose("front", View(0.0, 0.0), 0.4, float(phase), 0.0, ("swing", "swing")), 0.1, 0.05
        )
        assert min(leg.end[2] for leg in skeleton.legs) == pytest.approx(0.035)


def test_images_of_one_person_come_from_other_cameras_and_differ() -> None:
    person = draw_person(3, 5)
    shots = [draw_shot(person, 3, 5, index) for index in range(4)]
    assert len({shot.camera.number for shot in shots}) == 4
    images = {render(person, shot, 3, 5, 64).tobytes() for shot in shots}
    assert len(images) == 4
