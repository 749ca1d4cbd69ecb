"""One segment of a gallery as a reader has it: files that were written together and never change.

Shapes: N patches, C token width, D embedding, K places.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cfack_runtime.contained import contained_file
from cfack_runtime.errors import GalleryError
from cfack_runtime.gallery_columns import Columns
from cfack_runtime.gallery_embeddings import EmbeddingPart
from cfack_runtime.gallery_index import SEGMENTS, Identity, Segment
from cfack_runtime.gallery_layout import IMAGES
from cfack_runtime.gallery_lines import ImageLines
from cfack_runtime.gallery_map import give_back, map_file
from cfack_runtime.gallery_tokens import dequantize_tokens
from cfack_runtime.manifest import FileEntry

_CHUNK = 1 << 20


@dataclass(frozen=True)
class OpenSegment:
    """A segment whose files are open; they stay so when a writer deletes them."""

    entry: Segment
    rows: NDArray[np.int64]
    """The rows that count, ascending."""
    lines: ImageLines
    numbers: Mapping[str, NDArray[Any]]
    """File name -> all its rows."""
    columns: Columns = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def embeddings(self) -> EmbeddingPart:
        """Its embeddings, and which of them count."""
        name = "embeddings.f32" if self.entry.layout.embeddings == "fp32" else "embeddings.f16"
        return EmbeddingPart(self.numbers[name], self.rows)

    def read_tokens(self, place: int, out: NDArray[Any]) -> None:
        """Read the tokens of one image, by its place among those that count, into (1+N, C).

        What was touched leaves the process's memory again: tokens may be many times larger than that.
        """
        row = self.rows[place]
        if self.entry.layout.tokens == "int8":
            numbers = self.numbers["tokens.i8"]
            out[:] = dequantize_tokens(numbers[row], self.numbers["tokens.scale"][row], out.dtype)
        else:
            numbers = self.numbers["tokens.f16"]
            out[:] = numbers[row]
        # The whole file: around what is touched the system maps more, some 80 kB an image.
        give_back(numbers)

    def with_entry(self, entry: Segment) -> OpenSegment:
        """The same files, of which other rows were removed."""
        return replace(self, entry=entry, rows=_counting_rows(entry))


def open_segment(
    gallery: Path, segment: Segment, identity: Identity, *, hash_embeddings: bool
) -> OpenSegment:
    """Open the files of a segment and check their sizes, and the hash of the list of images.

    Args:
        gallery: the gallery's folder.
        segment: what `gallery.json` says of it.
        identity: of the gallery.
        hash_embeddings: check their hash too, and that they are finite.

    Raises:
        GalleryError: a file is missing, truncated or damaged; the message names it.
    """
    entries = {entry.path: entry for entry in segment.files}
    embeddings, *tokens = segment.layout.files(identity)
    path, data = _open_file(gallery, segment, entries[IMAGES], hashed=True)
    lines = ImageLines(data, str(path))
    if len(lines) != segment.images:
        raise GalleryError(f"{path}: lists {len(lines)} images, gallery.json says {segment.images}")
    numbers = {}
    for rows in (embeddings, *tokens):
        hashed = hash_embeddings and rows is embeddings
        path, data = _open_file(gallery, segment, entries[rows.name], hashed=hashed)
        numbers[rows.name] = data.view(rows.dtype).reshape(segment.images, *rows.shape)
        if hashed and not is_finite(numbers[rows.name]):
            raise GalleryError(f"{path}: holds numbers that are not finite; index the images again")
    return OpenSegment(segment, _counting_rows(segment), lines, numbers, Columns(lines))


def is_finite(rows: NDArray[Any], dtype: DTypeLike = np.float32) -> bool:
    """Whether all numbers are, looked at in pieces that leave the memory again."""
    step = max(_CHUNK // max(rows[:1].nbytes, 1), 1)
    for start in range(0, len(rows), step):
        piece = rows[start : start + step]
        if not np.isfinite(np.sum(piece, dtype=dtype)) and not np.isfinite(piece).all():
            return False
        give_back(piece)
    return True


def hash_file(descriptor: int) -> str:
    """SHA-256 of an open file, read and not mapped, so that its pages are not the process's."""
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, _CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest()


def _counting_rows(segment: Segment) -> NDArray[np.int64]:
    return np.delete(np.arange(segment.images), np.array(segment.removed, dtype=np.int64))


def _open_file(
    gallery: Path, segment: Segment, entry: FileEntry, *, hashed: bool
) -> tuple[Path, NDArray[np.uint8]]:
    path = contained_file(gallery, f"{SEGMENTS}/{segment.name}/{entry.path}", GalleryError)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise GalleryError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        size = os.fstat(descriptor).st_size
        if size != entry.size:
            raise GalleryError(
                f"{path}: {size} bytes, but gallery.json says {entry.size}; the file was truncated or "
                "exchanged. Restore it, or delete the gallery and index the images again"
            )
        if hashed and hash_file(descriptor) != entry.sha256:
            raise GalleryError(
                f"{path}: its SHA-256 is not the one in gallery.json; the file was damaged or exchanged. "
                "Restore it, or delete the gallery and index the images again"
            )
        return path, map_file(descriptor, size)
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
