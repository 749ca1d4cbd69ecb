"""Our annotation: one JSON file per split, the same for every data set.

    {"format": "cfack-split", "version": 1, "dataset": "cuhk", "split": "train", "image_root": "imgs",
     "records": [{"image": "cam_a/000_1.png", "identity": 1, "captions": ["A man ..."]}, ...]}

`image_root` is relative to the file and written with "/", as `image` is relative to `image_root`. A record
may hold `back_translations`: for each caption a list of its translations there and back.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.files import atomic_write

SPLIT_NAMES = ("train", "val", "test")
FORMAT = "cfack-split"
VERSION = 1

_FILE_KEYS = {"format", "version", "dataset", "split", "image_root", "records"}
_RECORD_KEYS = {"image", "identity", "captions", "back_translations"}


@dataclass(frozen=True)
class ImageRecord:
    """One image and what is said of it."""

    image: str
    """Path relative to the image root, with "/"."""
    identity: int
    """As the data set numbers it."""
    captions: tuple[str, ...]
    back_translations: tuple[tuple[str, ...], ...] = ()
    """For each caption its translations there and back; empty where the data set has none."""


@dataclass(frozen=True)
class Split:
    """One split of a data set."""

    name: str
    dataset: str
    image_root: Path
    records: tuple[ImageRecord, ...]

    def path(self, index: int) -> Path:
        """Where the image of a record lies."""
        return self.image_root / self.records[index].image

    @property
    def num_identities(self) -> int:
        """Number of different identities."""
        return len({record.identity for record in self.records})

    @property
    def num_captions(self) -> int:
        """Number of captions of all images."""
        return sum(len(record.captions) for record in self.records)


def split_path(root: str | Path, name: str) -> Path:
    """Where the annotation of a split lies. Raises UsageError for a name that is none."""
    if name not in SPLIT_NAMES:
        raise UsageError(f"no split {name!r}; expected one of {', '.join(SPLIT_NAMES)}")
    return Path(root) / f"{name}.json"


def available_splits(root: str | Path) -> list[str]:
    """Names of the splits that a prepared folder holds, train first."""
    return [name for name in SPLIT_NAMES if split_path(root, name).is_file()]


def read_split(root: str | Path, name: str) -> Split:
    """Read one split of a prepared data set.

    Args:
        root: the folder that `cfack data prepare` wrote to.
        name: "train", "val" or "test".

    Raises:
        DataError: there is no such split, or its file is wrong; file and record are named.
        UsageError: `name` is no split's name.
    """
    path = split_path(root, name)
    if not path.is_file():
        raise DataError(_missing(Path(root), name))
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path}: not a prepared split; `cfack data prepare NAME ROOT` writes them")
    if content.get("version") != VERSION:
        raise DataError(
            f"{path}: version {content.get('version')!r} of the format; this release reads version "
            f"{VERSION}. Run `cfack data prepare` again"
        )
    _check_keys(content, _FILE_KEYS, _FILE_KEYS, str(path))
    if content["split"] != name:
        raise DataError(f"{path}: holds the split {content['split']!r}, expected {name!r}")
    if not isinstance(content["image_root"], str) or not isinstance(content["dataset"], str):
        raise DataError(f"{path}: image_root and dataset must be strings")
    if not isinstance(content["records"], list) or not content["records"]:
        raise DataError(f"{path}: records must be a list of at least one record")
    records = tuple(_record(item, f"{path}: record {i}") for i, item in enumerate(content["records"]))
    return Split(name, content["dataset"], path.parent / content["image_root"], records)


def write_split(root: str | Path, split: Split) -> Path:
    """Write a split to `root`, whole or not at all, one record a line; returns the file's path."""
    path = split_path(root, split.name)
    head = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": split.dataset,
        "split": split.name,
        "image_root": _relative(split.image_root, path.parent),
    }
    lines = ",\n".join(_dump(_plain(record)) for record in split.records)
    text = f'{_dump(head)[:-1]}, "records": [\n{lines}\n]}}\n'
    atomic_write(path, text.encode())
    return path


def read_json(path: Path) -> Any:
    """Parse a JSON file. Raises DataError with line and column."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}; was it copied completely?"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8") from error
    except (OSError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def image_path_fault(image: object) -> str | None:
    """Say what is wrong with a path relative to the image root; None if nothing is."""
    if not isinstance(image, str) or not image:
        return f"the image path must be a string, got {image!r}"
    try:
        image.encode()
    except UnicodeEncodeError:
        return f"the image path {image!r} is not valid unicode"
    path = PurePosixPath(image)
    if path.is_absolute() or ".." in path.parts or "\0" in image:
        return f"the image path {image!r} leaves the image root"
    return None


def _missing(root: Path, name: str) -> str:
    if not root.is_dir():
        return f"{root}: no such folder; expected one written by `cfack data prepare NAME ROOT`"
    found = available_splits(root)
    if not found:
        return f"{root}: no prepared splits; run `cfack data prepare NAME {root}` first"
    message = f"{root}: there is no {name} split, only {', '.join(found)}"
    if name == "val":
        message += (
            ". A data set that has none (ICFG-PEDES) is given one with "
            f"`cfack data prepare NAME {root} --hold-out-val N`: N identities of the train split"
        )
    return message


def _record(item: object, where: str) -> ImageRecord:
    if not isinstance(item, dict):
        raise DataError(f"{where}: expected an object, got {type(item).__name__}")
    _check_keys(item, _RECORD_KEYS, _RECORD_KEYS - {"back_translations"}, where)
    if fault := image_path_fault(item["image"]):
        raise DataError(f"{where}: {fault}")
    identity, captions = item["identity"], item["captions"]
    if not isinstance(identity, int) or isinstance(identity, bool):
        raise DataError(f"{where}: identity must be a whole number, got {identity!r}")
    if not is_texts(captions) or not captions:
        raise DataError(f"{where}: captions must be a list of at least one sentence, got {captions!r}")
    translations = item.get("back_translations", [])
    if not isinstance(translations, list) or not all(is_texts(texts) for texts in translations):
        raise DataError(f"{where}: back_translations must hold a list of sentences for each caption")
    if translations and len(translations) != len(captions):
        raise DataError(
            f"{where}: {len(translations)} back_translations for {len(captions)} captions; expected as many"
        )
    return ImageRecord(item["image"], identity, tuple(captions), tuple(map(tuple, translations)))


def is_texts(value: object) -> bool:
    """Whether a JSON value is a list of strings that hold more than white space."""
    return isinstance(value, list) and all(isinstance(text, str) and text.strip() for text in value)


def _check_keys(item: dict[str, Any], known: set[str], needed: set[str], where: str) -> None:
    if missing := sorted(needed - item.keys()):
        raise DataError(f"{where}: {', '.join(missing)} missing")
    if unknown := sorted(item.keys() - known):
        raise DataError(f"{where}: unknown key {', '.join(unknown)}; known: {', '.join(sorted(known))}")


def _plain(record: ImageRecord) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "image": record.image,
        "identity": record.identity,
        "captions": record.captions,
    }
    if record.back_translations:
        plain["back_translations"] = record.back_translations
    return plain


def _relative(image_root: Path, folder: Path) -> str:
    """`image_root` as seen from `folder`, so that a data set can be moved as a whole."""
    return Path(os.path.relpath(image_root.resolve(), folder.resolve())).as_posix()


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
