"""Reading a published annotation: a list of objects, one per image, whose faults are collected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cfack.data.annotations import SPLIT_NAMES, ImageRecord, image_path_fault, read_json
from cfack_runtime.captions import normalize_caption
from cfack_runtime.errors import DataError

_PATH_KEYS = ("file_path", "img_path")


@dataclass(frozen=True)
class RawRecord:
    """One usable entry of the file."""

    index: int
    """Where it stands in the file, from 0."""
    split: str
    record: ImageRecord


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one entry."""

    index: int
    image: str
    """Path as the entry gives it; empty where it gives none."""
    reason: str

    def __str__(self) -> str:
        return f"record {self.index}{f' ({self.image})' if self.image else ''}: {self.reason}"


def read_raw_records(path: Path) -> tuple[list[RawRecord], list[Fault]]:
    """Read an annotation as its authors publish it.

    Every entry is taken as far as it is sound: one with a bad caption keeps its others, and is dropped if
    it has none left. `processed_tokens` is not needed and not read.

    Returns:
        The sound entries, and everything that is wrong with the rest.

    Raises:
        DataError: the file is no JSON list, or no entry says its split.
    """
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path}: expected a JSON list with one object per image, got {_kind(entries)}")
    if not any(isinstance(entry, dict) and "split" in entry for entry in entries):
        raise DataError(
            f"{path}: no record has a `split`, so train and test cannot be told apart; "
            "ask the authors of the data set for the annotation file that names the splits"
        )
    records: list[RawRecord] = []
    faults: list[Fault] = []
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        found = _read_entry(index, entry, faults)
        if found is None:
            continue
        first = seen.setdefault(found.record.image, index)
        if first != index:
            faults.append(Fault(index, found.record.image, f"the same path as record {first}"))
            continue
        records.append(found)
    return records, faults


def _read_entry(index: int, entry: Any, faults: list[Fault]) -> RawRecord | None:
    if not isinstance(entry, dict):
        faults.append(Fault(index, "", f"expected an object, got {_kind(entry)}"))
        return None
    image = next((entry[key] for key in _PATH_KEYS if key in entry), None)
    name = image if isinstance(image, str) else ""
    split: Any = entry.get("split")
    identity: Any = entry.get("id")
    reasons = []
    if image is None:
        reasons.append(f"no {' or '.join(_PATH_KEYS)}")
    elif fault := image_path_fault(image):
        reasons.append(fault)
    if not isinstance(split, str) or split.strip().lower() not in SPLIT_NAMES:
        reasons.append(f"unknown split {split!r}; expected {', '.join(SPLIT_NAMES)}")
    if not isinstance(identity, int) or isinstance(identity, bool):
        reasons.append(f"id must be a whole number, got {identity!r}")
    if not isinstance(entry.get("captions"), list):
        reasons.append(f"captions must be a list of sentences, got {_kind(entry.get('captions'))}")
    faults += [Fault(index, name, reason) for reason in reasons]
    if reasons:
        return None
    captions, translations = _captions(index, name, entry, faults)
    if not captions:
        faults.append(Fault(index, name, "no usable caption"))
        return None
    # "./a//b.jpg" and "a/b.jpg" are one file
    record = ImageRecord(PurePosixPath(name).as_posix(), identity, captions, translations)
    return RawRecord(index, split.strip().lower(), record)


def _captions(
    index: int, image: str, entry: dict[str, Any], faults: list[Fault]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The usable captions and, where all of them have some, their back-translations."""
    translated = _translations(index, image, entry, faults)
    captions, translations = [], []
    for number, caption in enumerate(entry["captions"]):
        if reason := _caption_fault(caption):
            faults.append(Fault(index, image, f"caption {number}: {reason}"))
            continue
        captions.append(caption)
        if translated is not None:
            translations.append(translated[number])
    return tuple(captions), tuple(translations)


def _translations(
    index: int, image: str, entry: dict[str, Any], faults: list[Fault]
) -> list[tuple[str, ...]] | None:
    """`captions_bt`: for each caption a sentence, or a list of them."""
    given = entry.get("captions_bt")
    if given is None:
        return None
    if not isinstance(given, list) or len(given) != len(entry["captions"]):
        faults.append(Fault(index, image, "captions_bt must hold one entry for each caption"))
        return None
    listed = [texts if isinstance(texts, list) else [texts] for texts in given]
    for number, texts in enumerate(listed):
        for reason in filter(None, map(_caption_fault, texts)):
            faults.append(Fault(index, image, f"captions_bt {number}: {reason}"))
    return [tuple(text for text in texts if not _caption_fault(text)) for texts in listed]


def _caption_fault(caption: object) -> str | None:
    if not isinstance(caption, str):
        return f"expected a sentence, got {_kind(caption)}"
    try:
        caption.encode()
        normalize_caption(caption, 1)
    except UnicodeEncodeError:
        return "not valid unicode"
    except DataError:
        return f"empty: {caption!r}"
    return None


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "nothing"}
    if value == []:
        return "an empty list"
    return names.get(type(value), f"{value!r}")
