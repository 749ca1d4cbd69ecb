"""One segment of a gallery: files that were written together and never change."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.contained import contained_file
from cfack_runtime.errors import GalleryError
from cfack_runtime.gallery_index import (
    EMBEDDINGS,
    IMAGES,
    SEGMENTS,
    TOKENS,
    GalleryImage,
    Identity,
    Segment,
    image_line,
    parse_images,
)
from cfack_runtime.manifest import FileEntry


@dataclass(frozen=True)
class OpenSegment:
    """The images of a segment that count."""

    rows: NDArray[np.int64]
    """Their rows in the files, ascending."""
    images: tuple[GalleryImage, ...]
    all_embeddings: Path
    """File of (all rows, D)."""
    embeddings_entry: FileEntry
    all_tokens: NDArray[np.float16] | None
    """(all rows, 1+N, C), memory-mapped; None: none were kept."""

    def read_embeddings(self, embed_dim: int) -> NDArray[np.float32]:
        """Read and check the embeddings (images, D).

        Raises:
            GalleryError: the file is damaged; the message names it.
        """
        data = _read_checked(self.all_embeddings, self.embeddings_entry)
        embeddings = np.frombuffer(data, dtype="<f4").reshape(-1, embed_dim)
        if not np.isfinite(embeddings).all():
            raise GalleryError(f"{self.all_embeddings}: holds numbers that are not finite; index again")
        return embeddings[self.rows]

    def read_tokens(self, places: NDArray[np.int64]) -> NDArray[np.float16]:
        """Read the tokens (K, 1+N, C) of the images at (K,) places among `images`."""
        assert self.all_tokens is not None  # the gallery knows whether there are tokens
        return np.asarray(self.all_tokens[self.rows[places]])


def open_segment(gallery: Path, segment: Segment, identity: Identity) -> OpenSegment:
    """Check the files of a segment and read the list of its images.

    Raises:
        GalleryError: a file is missing, truncated or damaged; the message names it.
    """
    files = {entry.path: (_check_size(gallery, segment, entry), entry) for entry in segment.files}
    images = parse_images(_read_checked(*files[IMAGES]), str(files[IMAGES][0]))
    if len(images) != segment.images:
        raise GalleryError(
            f"{files[IMAGES][0]}: lists {len(images)} images, gallery.json says {segment.images}"
        )
    rows = np.setdiff1d(np.arange(segment.images), np.array(segment.removed, dtype=np.int64))
    tokens = None
    if identity.image_tokens is not None:
        shape = (segment.images, identity.image_tokens.count, identity.image_tokens.width)
        tokens = np.memmap(files[TOKENS][0], dtype="<f2", mode="r", shape=shape)
    return OpenSegment(rows, tuple(images[row] for row in rows), *files[EMBEDDINGS], tokens)


class SegmentWriter:
    """A segment under a temporary name, to which images are added until it is finished or discarded.

    Args:
        gallery: the gallery's folder.
        name: the segment's final name.
        keep_tokens: whether image tokens are written.
    """

    def __init__(self, gallery: Path, name: str, keep_tokens: bool) -> None:
        self.name = name
        self.images: list[GalleryImage] = []
        self._target = gallery / SEGMENTS / name
        self._folder = gallery / SEGMENTS / f".{name}.tmp"
        self._folder.mkdir(parents=True)
        names = (IMAGES, EMBEDDINGS, TOKENS) if keep_tokens else (IMAGES, EMBEDDINGS)
        self._files = {name: (self._folder / name).open("xb") for name in names}
        self._hashes = {name: hashlib.sha256() for name in names}

    def add(
        self,
        embeddings: NDArray[np.float32],
        tokens: NDArray[np.float16] | None,
        images: Sequence[GalleryImage],
    ) -> None:
        """Append a batch: embeddings (B, D), tokens (B, 1+N, C) if they are kept, and B images."""
        self._write(EMBEDDINGS, embeddings.astype("<f4").tobytes())
        if tokens is not None:
            self._write(TOKENS, tokens.astype("<f2").tobytes())
        self._write(IMAGES, b"".join(map(image_line, images)))
        self.images += images

    def finish(self, precision: str) -> Segment:
        """Have everything written to the disk and give the segment its name."""
        entries = []
        for name, stream in self._files.items():
            stream.flush()
            os.fsync(stream.fileno())
            entries.append(FileEntry(name, self._hashes[name].hexdigest(), stream.tell()))
            stream.close()
        _sync_folder(self._folder)
        self._folder.rename(self._target)
        _sync_folder(self._target.parent)
        return Segment(self.name, len(self.images), precision, tuple(entries))

    def discard(self) -> None:
        """Leave nothing behind."""
        for stream in self._files.values():
            with suppress(OSError):  # closing writes what is buffered, and the disk may be full
                stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, name: str, data: bytes) -> None:
        self._files[name].write(data)
        self._hashes[name].update(data)


def _sync_folder(folder: Path) -> None:
    """Have the system write a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_size(gallery: Path, segment: Segment, entry: FileEntry) -> Path:
    path = contained_file(gallery, f"{SEGMENTS}/{segment.name}/{entry.path}", GalleryError)
    size = path.stat().st_size
    if size != entry.size:
        raise GalleryError(
            f"{path}: {size} bytes, but gallery.json says {entry.size}; the file was truncated or exchanged. "
            "Restore it, or delete the gallery and index the images again"
        )
    return path


def _read_checked(path: Path, entry: FileEntry) -> bytes:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise GalleryError(
            f"{path}: its SHA-256 is not the one in gallery.json; the file was damaged or exchanged. Restore "
            "it, or delete the gallery and index the images again"
        )
    return data
