"""A consistent view of a folder that a writer may be changing at this moment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cfack_runtime.errors import GalleryError
from cfack_runtime.gallery_index import INDEX_NAME, GalleryIndex, Segment, read_index
from cfack_runtime.gallery_segment import OpenSegment, open_segment

HASHED_AT_OPENING = 1 << 30
"""Embeddings of so many bytes together are hashed when a gallery is opened, more are not."""
Stamp = tuple[int, int, int] | None

_MOST_TRIES = 100


def stamp(gallery: Path) -> Stamp:
    """What changes whenever `gallery.json` is replaced; None: there is none."""
    try:
        status = (gallery / INDEX_NAME).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def open_segments(
    gallery: Path, known: Mapping[str, OpenSegment], hash_embeddings: bool | None
) -> tuple[GalleryIndex, list[OpenSegment], Stamp]:
    """Read `gallery.json` and open all that it names.

    A writer that compacts deletes segments as soon as they are no longer listed. Where one is gone, the list
    that named it may be an old one: it is read again.

    Args:
        gallery: the gallery's folder.
        known: segments by name that are open already.
        hash_embeddings: as in `Gallery.open`.

    Raises:
        GalleryError: it is no gallery, or a file is missing, truncated or damaged; the message names it.
    """
    for _ in range(_MOST_TRIES):
        seen = stamp(gallery)
        index = read_index(gallery)
        try:
            return index, _open_all(gallery, index, known, hash_embeddings), seen
        except GalleryError:
            if stamp(gallery) == seen:
                raise
    raise GalleryError(f"{gallery}: changed {_MOST_TRIES} times while it was opened; try again")


def _open_all(
    gallery: Path, index: GalleryIndex, known: Mapping[str, OpenSegment], hash_embeddings: bool | None
) -> list[OpenSegment]:
    fresh = [segment for segment in index.segments if _opened(known, segment) is None]
    if hash_embeddings is None:
        size = sum(segment.images for segment in fresh) * index.identity.embed_dim * 4
        hash_embeddings = size <= HASHED_AT_OPENING
    return [
        _opened(known, segment)
        or open_segment(gallery, segment, index.identity, hash_embeddings=hash_embeddings)
        for segment in index.segments
    ]


def _opened(known: Mapping[str, OpenSegment], segment: Segment) -> OpenSegment | None:
    """The same segment as it is open already, with the rows that count now."""
    before = known.get(segment.name)
    if before is None or before.entry.files != segment.files:
        return None
    return before if before.entry == segment else before.with_entry(segment)
