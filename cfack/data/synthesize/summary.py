"""What a synthesis wrote, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfack.data.synthesize.layouts import LayoutName


@dataclass(frozen=True)
class SplitCounts:
    """How much one split holds."""

    name: str
    identities: int
    images: int
    captions: int


@dataclass(frozen=True)
class SynthesisSummary:
    """What `synthesize` wrote.

    Attributes:
        root: The data set's folder: the annotation file and `imgs/`.
        annotation: The annotation file.
        splits: Counts of the splits, train first.
    """

    root: Path
    layout: LayoutName
    annotation: Path
    splits: tuple[SplitCounts, ...]

    @property
    def identities(self) -> int:
        """Identities of all splits."""
        return sum(split.identities for split in self.splits)

    @property
    def images(self) -> int:
        """Images of all splits."""
        return sum(split.images for split in self.splits)

    @property
    def captions(self) -> int:
        """Captions of all splits."""
        return sum(split.captions for split in self.splits)


def count_splits(records: list[dict[str, Any]]) -> tuple[SplitCounts, ...]:
    """Counts of the splits in the order of their first records."""
    counts = []
    for name in dict.fromkeys(entry["split"] for entry in records):
        chosen = [entry for entry in records if entry["split"] == name]
        people = {entry["id"] for entry in chosen}
        counts.append(
            SplitCounts(name, len(people), len(chosen), sum(len(entry["captions"]) for entry in chosen))
        )
    return tuple(counts)
