"""The published data sets: what their files are called, and how much they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cfack.data.annotations import SPLIT_NAMES
from cfack_runtime.errors import DataError, UsageError

IMAGE_FOLDER = "imgs"
_UNSPLIT = "caption_all.json"


@dataclass(frozen=True)
class Counts:
    """How much a split holds."""

    identities: int
    images: int
    captions: int


@dataclass(frozen=True)
class Source:
    """One published data set."""

    name: str
    title: str
    annotations: tuple[str, ...]
    """Names under which the annotation file goes round; "-" and "_" are not told apart."""
    published: Mapping[str, Counts]
    """What its authors count; a split that is not here does not exist."""


SOURCES = (
    Source(
        "cuhk",
        "CUHK-PEDES",
        ("reid_raw.json",),
        {
            # Papers print 2 x 34,054 = 68,108 training captions; nine images have more than two.
            "train": Counts(11_003, 34_054, 68_126),
            "val": Counts(1_000, 3_078, 6_158),
            "test": Counts(1_000, 3_074, 6_156),
        },
    ),
    Source(
        "icfg",
        "ICFG-PEDES",
        ("ICFG-PEDES.json", "ICFG-PDES.json"),
        {"train": Counts(3_102, 34_674, 34_674), "test": Counts(1_000, 19_848, 19_848)},
    ),
    Source(
        "rstp",
        "RSTPReid",
        ("data_captions.json",),
        {
            "train": Counts(3_701, 18_505, 37_010),
            "val": Counts(200, 1_000, 2_000),
            "test": Counts(200, 1_000, 2_000),
        },
    ),
)


def find_source(name: str) -> Source:
    """A data set by its short name or its title, in capitals or not.

    Raises:
        UsageError: there is none of that name.
    """
    wanted = _plain(name)
    for source in SOURCES:
        if wanted in (source.name, _plain(source.title)):
            return source
    known = ", ".join(f"{source.name} ({source.title})" for source in SOURCES)
    raise UsageError(f"no data set {name!r}; known: {known}")


def find_annotation(source: Source, root: Path) -> Path:
    """Find a data set's own annotation file, whatever separator and capitals its name has here.

    Raises:
        DataError: there is none, or more than one; the message says what lies there instead.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; expected the one that holds {source.annotations[0]}")
    found = _annotations_in(source, root)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{root}: more than one annotation file of {source.title}: {names}; keep one")
    raise DataError(f"{root}: no {source.annotations[0]}" + _instead(source, root))


def _annotations_in(source: Source, folder: Path) -> list[Path]:
    wanted = {_plain(name) for name in source.annotations}
    return sorted(path for path in folder.iterdir() if _plain(path.name) in wanted and path.is_file())


def _instead(source: Source, root: Path) -> str:
    """Why an annotation may be missing, told from what else is there."""
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if _annotations_in(source, folder):
            return f"; it lies in {folder}: give that folder"
    for other in SOURCES:
        if other is not source and (theirs := _annotations_in(other, root)):
            return f"; {theirs[0].name} is there, of {other.title}: `cfack data prepare {other.name} {root}`"
    if source.name == "cuhk" and (root / _UNSPLIT).is_file():
        return (
            f", only {_UNSPLIT}, which does not say the splits; ask the authors of {source.title} for "
            f"{source.annotations[0]}, whose records have a `split`"
        )
    if splits := [name for name in SPLIT_NAMES if (root / f"{name}.json").is_file()]:
        return f", but {', '.join(splits)} prepared already; nothing is to be done"
    return f"; expected the annotation file of {source.title} and its images in {IMAGE_FOLDER}/"


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
