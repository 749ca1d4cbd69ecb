"""Filters on metadata choose the same images in C as in Python."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cfack_runtime.errors import CfackError
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_index import GalleryImage
from cfack_runtime.gallery_writer import GalleryWriter
from cfack_runtime.retriever import Retriever

sys.path.insert(0, str(Path(__file__).parent))
import capi

INVALID = -1
VALUES: tuple[Any, ...] = (
    *(True, False, 0, 1, 2, -1, 1.0, 1.5, -0.0, 1e-5, 10**29, 2**53 + 1, float(2**53), 12345678901234567890),
    *("east", "East", "1", "true", "", "a b", "2024-05-01", "2024-05-02T10:00", "Straße", "[x]", "a*b", "人"),
)
FIELDS = ("camera", "time", "n", "night", "two words")
WORDS = [
    *FIELDS[:4],
    '"two words"',
    "path",
    "and",
    "or",
    "not",
    "in",
    "AND",
    "(",
    ")",
    ",",
    "=",
    "==",
    "!=",
    "<",
]
WORDS += [
    "<=",
    ">",
    ">=",
    "~",
    "!",
    '"',
    "'east'",
    '"1"',
    "east",
    "1",
    "1.0",
    "true",
    "2024-05-01",
    "*a*",
    "c?m*",
]
WORDS += ["[!a-e]*", "9007199254740993", "1e0", "-0", "人", "\u3000", "cam1/*", "00"]


@pytest.fixture(scope="module")
def library() -> capi.Library:
    return capi.Library()


@pytest.fixture(scope="module")
def crowd(
    library: capi.Library, toy_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Callable[[str], Any], Gallery]]:
    """A gallery with every kind of metadata, and a function that filters it in C."""
    generator = random.Random(11)
    folder = tmp_path_factory.mktemp("crowd")
    with Retriever.open(toy_bundle) as retriever:
        Image.new("RGB", (4, 4)).save(folder / "one.png")
        identity = replace(retriever.index(folder, folder / "one").identity, image_tokens=None)
    images = [
        GalleryImage(
            f"cam{i % 3}/{i:03}.png",
            i,
            i,
            {field: generator.choice(VALUES) for field in FIELDS if generator.random() < 0.8},
        )
        for i in range(120)
    ]
    rows = np.random.default_rng(2).normal(size=(len(images), 3)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with GalleryWriter(folder / "gallery", identity, "fp32") as writer:
        writer.add(rows[:70], None, images[:70])
        writer.commit()
        writer.add(rows[70:], None, images[70:])
        writer.remove([images[3].path, images[50].path])
    bundle, ours = library.open("bundle", toy_bundle), library.open("gallery", folder / "gallery")

    def select(where: str) -> Any:
        try:
            (hits,) = library.search(bundle, ours, ["red"], k=1000, rerank=0, where=where)
        except capi.LibraryError as error:
            return str(error) if error.code == INVALID else error
        return sorted(hit[0] for hit in hits)

    yield select, Gallery.open(folder / "gallery")
    library.c.cfack_gallery_free(ours)
    library.c.cfack_bundle_free(bundle)


def _python_select(gallery: Gallery, where: str) -> Any:
    try:
        places = gallery.select(where)
    except CfackError as error:
        return str(error)
    assert places is not None
    return sorted(gallery.images[int(place)].path for place in places)


@pytest.mark.parametrize("field", [*FIELDS[:4], "'two words'", "path"])
def test_every_comparison_of_every_value_is_pythons(crowd: Any, field: str) -> None:
    select, gallery = crowd
    for op in ("=", "!=", "<", "<=", ">", ">=", "~"):
        for value in (
            *VALUES,
            "9007199254740992",
            "9007199254740993.0",
            "1e29",
            "-0",
            ".5",
            "1.",
            "1e400",
            "+1",
        ):
            for written in (str(value), repr(str(value)), f'"{value}"'):
                where = f"{field} {op} {written}"
                ours, theirs = select(where), _python_select(gallery, where)
                assert isinstance(ours, str) if isinstance(theirs, str) else ours == theirs, where


def test_random_sentences_are_understood_as_in_python(crowd: Any) -> None:
    select, gallery = crowd
    generator = random.Random(5)
    understood = 0
    for _ in range(6000):
        parts = []
        for _ in range(generator.randint(1, 3)):
            if generator.random() < 0.5:  # mostly sense
                parts.append(
                    generator.choice(["not ", ""])
                    + " ".join(
                        [
                            generator.choice(FIELDS[:4]),
                            generator.choice(["=", "<", "~", "!="]),
                            generator.choice(WORDS[25:]),
                        ]
                    )
                )
            else:
                parts.append(" ".join(generator.choices(WORDS, k=generator.randint(1, 5))))
        where = generator.choice([" and ", " or ", " "]).join(parts)
        ours, theirs = select(where), _python_select(gallery, where)
        if isinstance(theirs, str):
            assert isinstance(ours, str), where
            # The same place and expectation; only long quotations are cut differently.
            assert ours.rpartition(": ")[2] == theirs.rpartition(": ")[2] or "has the field" in theirs, where
        else:
            understood += 1
            assert ours == theirs, where
    assert understood > 1000


def test_random_patterns_fit_as_in_python(crowd: Any) -> None:
    select, gallery = crowd
    generator = random.Random(6)
    for _ in range(3000):
        pattern = "".join(generator.choices("cam01239/.png*?[]!-^\\", k=generator.randint(0, 9)))
        pattern = generator.choice(["", "*", "cam"]) + pattern + generator.choice(["", "*"])
        for field in ("path", "camera"):
            where = f'{field} ~ "{pattern}"'
            assert select(where) == _python_select(gallery, where), where


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("camera =", "expected a value at character 9, got the end"),
        ("camera = east time", "expected 'and', 'or' or the end at character 15, got time"),
        ("(camera = east", "expected ')' at character 15, got the end"),
        ("人 = 'east", "expected a word, a comparison or a closed quotation at character 5, got '"),
        ("not " * 60 + "n = 1", "nested too deeply"),
        ("n = 1 or " * 2000, "at most 10000 are read"),
        ("colour = red", "its fields are path, camera, n, night, time, two words"),
    ],
)
def test_a_malformed_filter_says_where(crowd: Any, where: str, message: str) -> None:
    select, gallery = crowd
    assert message in select(where)
    assert message in _python_select(gallery, where)


def test_a_filter_that_is_no_utf8_is_refused(crowd: Any) -> None:
    assert "not valid UTF-8" in crowd[0]("n = \udcff")
