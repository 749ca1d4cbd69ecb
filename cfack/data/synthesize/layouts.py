"""The raw files of the three published data sets: names, folders, keys and ids as their owners chose them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cfack.data.synthesize.randomness import chance, stream

LayoutName = Literal["cuhk", "icfg", "rstp"]

CUHK_FOLDERS = ("cam_a", "cam_b", "CUHK01", "CUHK03", "Market", "test_query", "train_query")
PNG_FOLDERS = ("CUHK01", "cam_a")
TIMES = ("morning", "noon", "afternoon")


@dataclass(frozen=True)
class Layout:
    """How a data set lies on the disk.

    Attributes:
        annotation: Name of the annotation file.
        first_id: Id of the first identity.
        path_key: Key of the image path in a record.
        has_val: Whether there is a validation split.
        min_words: Fewest and usual most words that a caption is grown to.
    """

    name: LayoutName
    annotation: str
    first_id: int
    path_key: str
    has_val: bool
    min_words: tuple[int, int]


LAYOUTS: Mapping[str, Layout] = {
    "cuhk": Layout("cuhk", "reid_raw.json", 1, "file_path", True, (11, 20)),
    "icfg": Layout("icfg", "ICFG-PEDES.json", 0, "file_path", False, (28, 40)),
    "rstp": Layout("rstp", "data_captions.json", 0, "img_path", True, (23, 27)),
}


def image_path(layout: Layout, seed: int, identity: int, index: int, camera: int) -> str:
    """Where an image lies below `imgs/`; the folder says nothing about the split."""
    rng = stream("path", seed, identity, index)
    if layout.name == "rstp":
        return f"{identity:04d}_c{camera + 1}_{index:04d}.jpg"
    if layout.name == "icfg":
        # The folders are those of the data set that the images come from, not this one's splits.
        folder = "train" if chance(stream("folder", seed, identity), 50) else "test"
        when = f"{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}{TIMES[rng.randrange(3)]}"
        name = f"{identity:04d}_{index:03d}_{camera + 1:02d}_{when}_{rng.randrange(9999):04d}_0.jpg"
        return f"{folder}/{identity:04d}/{name}"
    folder = CUHK_FOLDERS[(camera + identity) % len(CUHK_FOLDERS)]
    names = {
        "CUHK01": f"{identity:04d}{index:03d}.png",
        "CUHK03": f"{identity}_{index}.jpg",
        "Market": f"{identity:04d}_c{camera + 1}s1_{index:06d}_00.jpg",
        "cam_a": f"{identity:03d}_{index}.png",
        "cam_b": f"{identity:03d}_{index}.jpg",
    }
    return f"{folder}/{names.get(folder, f'p{identity}_s{identity * 100 + index}.jpg')}"


def caption_count(layout: Layout, seed: int, identity: int, index: int) -> int:
    """How many captions an image has: a few CUHK images have more than two, one of them ten."""
    if layout.name == "icfg":
        return 1
    if layout.name == "rstp":
        return 2
    if (identity, index) == (1, 0):
        return 10
    return (
        3 + stream("captions", seed, identity, index).randrange(2) if identity % 97 == 5 and index == 0 else 2
    )


def record(
    layout: Layout, split: str, identity: int, path: str, captions: list[str], *, with_tokens: bool
) -> dict[str, Any]:
    """One entry of the annotation file."""
    number = identity + layout.first_id
    if layout.name == "rstp":
        return {"id": number, "img_path": path, "captions": captions, "split": split}
    entry: dict[str, Any] = {"split": split, "captions": captions, "file_path": path}
    if with_tokens:
        entry["processed_tokens"] = [_tokens(caption) for caption in captions]
    entry["id"] = number
    return entry


def _tokens(caption: str) -> list[str]:
    """Lower-case words without punctuation, as the published pre-processing makes them."""
    return re.sub(r"[^a-z0-9 ]+", " ", caption.lower()).split()
