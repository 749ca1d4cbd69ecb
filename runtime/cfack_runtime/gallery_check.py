"""Looking at every byte of a gallery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cfack_runtime.contained import contained_file
from cfack_runtime.errors import GalleryError
from cfack_runtime.files import sha256_file
from cfack_runtime.gallery_index import SEGMENTS, Identity, Segment, read_index
from cfack_runtime.gallery_segment import OpenSegment, is_finite, open_segment
from cfack_runtime.progress import ProgressCallback, no_progress

_LENGTH_ERROR = 0.01
_ROWS = 4096


@dataclass(frozen=True)
class GalleryCheck:
    """What was found."""

    images: int
    """That count, in segments that could be opened."""
    segments: int
    bytes: int
    """Of all listed files."""
    faults: tuple[str, ...]
    """One sentence each, the first of a segment only; none: the gallery is whole."""


def check_gallery(path: str | Path, progress: ProgressCallback = no_progress) -> GalleryCheck:
    """Check every hash, number and line of a gallery, and that no path occurs twice; changes nothing.

    Args:
        path: the gallery's folder.
        progress: counts segments.

    Raises:
        GalleryError: there is no gallery, or its `gallery.json` is malformed.
    """
    path = Path(path)
    if not path.is_dir():
        raise GalleryError(f"{path}: no such folder; `cfack index` makes a gallery")
    path = path.resolve()
    index = read_index(path)
    faults: list[str] = []
    seen: set[str] = set()
    images = 0
    for done, segment in enumerate(index.segments, 1):
        try:
            images += _check_segment(path, segment, index.identity, seen)
        except GalleryError as error:
            faults.append(str(error))
        progress(done, len(index.segments))
    size = sum(segment.size for segment in index.segments)
    return GalleryCheck(images, len(index.segments), size, tuple(faults))


def _check_segment(gallery: Path, entry: Segment, identity: Identity, seen: set[str]) -> int:
    """Return the number of its images that count."""
    for file in entry.files:
        place = contained_file(gallery, f"{SEGMENTS}/{entry.name}/{file.path}", GalleryError)
        if place.stat().st_size == file.size and sha256_file(place) != file.sha256:
            raise GalleryError(f"{place}: its SHA-256 is not the one in gallery.json; the file was damaged")
    segment = open_segment(gallery, entry, identity, hash_embeddings=False)
    folder = gallery / SEGMENTS / entry.name
    for row in segment.rows.tolist():
        path = segment.lines.image(row).path
        if path in seen:
            raise GalleryError(f"{folder}: lists {path!r}, which the gallery has already")
        seen.add(path)
    for name, numbers in segment.numbers.items():
        if numbers.dtype.kind == "f" and not is_finite(numbers):
            raise GalleryError(f"{folder / name}: holds numbers that are not finite")
    for row in _rows_of_other_length(segment):
        raise GalleryError(f"{folder}: the embedding of row {row} has not length 1")
    return len(segment)


def _rows_of_other_length(segment: OpenSegment) -> Iterator[int]:
    part = segment.embeddings
    for start in range(0, len(part.rows), _ROWS):
        rows = part.rows[start : start + _ROWS]
        lengths = np.linalg.norm(part.values[rows].astype(np.float32), axis=1)
        yield from rows[np.abs(lengths - 1) > _LENGTH_ERROR].tolist()
