"""Filters on metadata: what they mean, and what they refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfack_runtime.errors import UsageError
from cfack_runtime.filters import AnyOf, Compare, Not, all_of, parse_filter
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_index import GalleryImage, Identity
from cfack_runtime.gallery_writer import GalleryWriter

METADATA: list[dict[str, Any]] = [
    {"camera": "east", "time": "2024-05-01T10:00", "frame": 1, "night": False},
    {"camera": "west", "time": "2024-04-30T23:59", "frame": 2, "night": True},
    {"camera": "east", "time": "2024-06-01T00:00", "frame": 3.5},
    {"camera": 7, "frame": "2"},
    {},
    {"camera": "the east {gate}", "note": 'say "hi"', "night": 1},
]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    out = tmp_path_factory.mktemp("filters") / "g"
    with GalleryWriter(out, Identity("a" * 64, 2, None, "/b", "/photos"), "fp32") as writer:
        for half in (range(3), range(3, 6)):
            images = [GalleryImage(f"cam{n}/p{n}é.jpg", 1, 1, METADATA[n]) for n in half]
            writer.add(np.tile(np.float32([1, 0]), (3, 1)), None, images)
            writer.commit()
    return Gallery.open(out)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("camera=east", [0, 2]),
        ("camera == east", [0, 2]),
        ("\"camera\" = 'east'", [0, 2]),
        ("camera!=east", [1, 3, 5]),  # the image without a camera fulfils no comparison
        ("not camera=east", [1, 3, 4, 5]),
        ("time>=2024-05-01", [0, 2]),
        ("time<2024-05-01", [1]),
        ("frame=2", [1, 3]),  # a word is a number to numbers and text to text
        ('frame="2"', [3]),
        ("frame>1 and frame<=3.5", [1, 2, 3]),  # the text "2" lies between the texts "1" and "3.5"
        ("night=true", [1]),
        ("night=1", [5]),
        ("night!=true", [0, 5]),
        ("night<true", []),
        ("camera=7", [3]),
        ("camera<8", [3]),
        ('camera="7"', []),
        ("camera=east and night=false or camera=west", [0, 1]),
        ("camera=east and (night=false or frame>3)", [0, 2]),
        ("NOT (camera=east OR camera=west)", [3, 4, 5]),
        ("camera in (west, 7)", [1, 3]),
        ("camera ~ *east*", [0, 2, 5]),
        ("camera~'*{g?te}'", [5]),
        ("path~cam[0-2]/*", [0, 1, 2]),
        ("path=cam1/p1é.jpg", [1]),
        ("note='say \"hi\"'", [5]),
        ({"camera": "east", "frame": 1}, [0]),
        ({"frame": 1.0}, [0]),
        ({"frame": [1, 2, "2"]}, [0, 1, 3]),
        ({"time": (">=", "2024-05-01"), "night": False}, [0]),
        ({"night": True}, [1]),
        ({}, [0, 1, 2, 3, 4, 5]),
        (AnyOf((Compare("camera", "=", "west"), Not(Compare("camera", "~", "*")))), [1, 3, 4]),
    ],
)
def test_a_filter_finds(gallery: Gallery, where: Any, rows: list[int]) -> None:
    found = gallery.select(where)
    assert found is not None
    assert found.dtype == np.int64
    assert found.tolist() == rows


def test_no_filter_is_none(gallery: Gallery) -> None:
    assert gallery.select(None) is None
    assert all_of([]) is None


def test_several_filters_must_all_hold(gallery: Gallery) -> None:
    found = gallery.select(all_of(["camera=east or camera=west", {"night": True}]))
    assert found is not None
    assert found.tolist() == [1]


def test_removed_images_are_not_found_and_their_fields_not_known(tmp_path: Path) -> None:
    with GalleryWriter(tmp_path / "g", Identity("a" * 64, 2, None, "/b", "/p"), "fp32") as writer:
        images = [GalleryImage("a", 1, 1, {"x": 1}), GalleryImage("b", 1, 1, {"y": 2, "x": 1})]
        writer.add(np.float32([[1, 0], [0, 1]]), None, images)
        writer.remove(["b"])
    opened = Gallery.open(tmp_path / "g")
    found = opened.select("x=1")
    assert found is not None
    assert found.tolist() == [0]
    with pytest.raises(UsageError, match="has the field 'y'; its fields are path, x"):
        opened.select("y=2")


def test_an_unknown_field_is_named_with_the_known_ones(gallery: Gallery) -> None:
    with pytest.raises(
        UsageError, match="has the field 'kamera'; its fields are path, camera, frame, night, note, time"
    ):
        gallery.select("kamera=east")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", "expected the name of a field at character 1, got the end"),
        ("camera", "after 'camera' at character 7, got the end"),
        ("camera east", "expected =, !=, <, <=, >, >=, ~ or 'in' after 'camera' at character 8, got east"),
        ("camera=", "expected a value at character 8"),
        ("camera==east=", "expected 'and', 'or' or the end at character 13, got ="),
        ("(camera=east", "expected ')' at character 13, got the end"),
        ("camera=east)", "expected 'and', 'or' or the end at character 12, got )"),
        ("camera='east", "closed quotation at character 8, got '"),
        ("camera in ()", "expected a value at character 12, got )"),
        ("camera in (a b)", "expected ')' at character 14, got b"),
        ("camera=east and", "expected the name of a field"),
        ("(" * 60 + "a=1" + ")" * 60, "nested too deeply"),
        ("not " * 60 + "a=1", "nested too deeply"),
        ("a" * 10_001, "a filter of 10001 characters; at most 10000 are read"),
        ({"camera": ("like", "x")}, "'like' is no comparison"),
        ({"camera": ("=", "x", "y")}, r"camera: expected (operator, value)"),
        ({"camera": None}, "camera is compared with None"),
        (7, "a filter is a sentence, a mapping or a condition, not a int"),
    ],
)
def test_a_malformed_filter_is_refused_with_the_place(where: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter(where)
    assert message in str(caught.value)
