"""Changing a gallery so that a killed process loses nothing that was committed.

Shapes: B images, N patches, C token width, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.contained import is_contained
from cfack_runtime.errors import UsageError
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_compact import CompactReport, compact_segments
from cfack_runtime.gallery_copy import copy_images
from cfack_runtime.gallery_folder import choose_layout, require_same
from cfack_runtime.gallery_index import (
    INDEX_NAME,
    GalleryImage,
    GalleryIndex,
    Identity,
    Segment,
    image_line,
    without_rows,
)
from cfack_runtime.gallery_known import KnownImages
from cfack_runtime.gallery_metadata import Metadata, check_names
from cfack_runtime.gallery_segment_writer import SegmentWriter, number_rows
from cfack_runtime.gallery_store import GalleryStore
from cfack_runtime.progress import ProgressCallback, no_progress


class GalleryWriter:
    """The one process that may change a gallery; use it in a `with` block, from one thread.

    Leaving the block commits what was added, also when an error or Ctrl-C ends it. A folder to which
    nothing was ever committed is removed again. It holds the paths of all images in memory, some 300 bytes
    an image.

    Args:
        path: the gallery's folder; made if it is not there.
        identity: what the gallery must have in common with the images that are going to be added. The path
            of the bundle may differ: the newest is remembered.
        precision: precision that encodes the images.
        embeddings: how embeddings are kept, "fp32" or "fp16"; None: as the gallery has them, else "fp32".
        tokens: how tokens are kept, "fp16" or "int8"; None: as the gallery has them, else "fp16".

    Raises:
        EmbeddingSpaceError: the gallery belongs to another model.
        GalleryError: the folder holds something else, another folder's images, or numbers kept in another
            way; a file of it is damaged; or another process is writing.
    """

    def __init__(
        self,
        path: str | Path,
        identity: Identity,
        precision: str,
        *,
        embeddings: str | None = None,
        tokens: str | None = None,
    ) -> None:
        self._store = GalleryStore(path)
        self._identity, self._precision = identity, precision
        self._pending: SegmentWriter | None = None
        self._pending_images: dict[str, GalleryImage] = {}
        try:
            self._known = self._load(identity)
            self._layout = choose_layout(self.path, self._store.segments, identity, embeddings, tokens)
            self._store.remove_unlisted()
        except BaseException:
            self._store.close()
            raise

    @classmethod
    def reopen(cls, path: str | Path) -> GalleryWriter:
        """Change a gallery that is there, as it is: for `remove`, `set_metadata` and `compact`.

        Raises:
            GalleryError: there is none, it is damaged, or another process is writing.
        """
        gallery = Gallery.open(path, hash_embeddings=False)
        precisions = [segment.precision for segment in gallery.index.segments]
        return cls(path, gallery.identity, precisions[-1] if precisions else "fp32")

    def __enter__(self) -> GalleryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.commit()
        finally:
            self._store.close()

    @property
    def path(self) -> Path:
        """The gallery's folder, absolute."""
        return self._store.path

    @property
    def identity(self) -> Identity:
        """What all its images have in common."""
        return self._identity

    @property
    def images(self) -> KnownImages:
        """Committed images by path."""
        return self._known

    @property
    def pending(self) -> int:
        """Number of images added since the last commit."""
        return len(self._pending_images)

    def is_pending(self, path: str) -> bool:
        """Whether an image of this path was added since the last commit."""
        return path in self._pending_images

    def add(
        self,
        embeddings: NDArray[np.floating[Any]],
        tokens: NDArray[np.floating[Any]] | None,
        images: Sequence[GalleryImage],
    ) -> None:
        """Add a batch, which the next commit makes part of the gallery.

        An image whose path is in the gallery already replaces that one.

        Args:
            embeddings: (B, D), unit length.
            tokens: (B, 1+N, C); None exactly if the gallery keeps none.
            images: B images of different paths.

        Raises:
            UsageError: shapes, numbers, paths or metadata are not so, or a value is not finite.
            GalleryError: the disk does not take it; what was added since the last commit is lost.
        """
        numbers = self._check_batch(embeddings, tokens, images)
        if not images:
            return
        with self._whole_or_nothing():
            if self._pending is None:
                self._pending = self._store.begin(self._identity, self._layout)
            self._pending.add(numbers, [image_line(image) for image in images])
            self._pending_images.update((image.path, image) for image in images)

    def commit(self) -> None:
        """Make everything added so far part of the gallery, for good.

        Raises:
            GalleryError: the disk does not take it; the gallery is as it was after the last commit.
        """
        if self._pending is None:
            return
        with self._whole_or_nothing():
            segment = self._pending.finish(self._precision)
            self._publish((*self._without(self._pending_images), segment))
            number = len(self._store.segments) - 1
            self._known.add_segment(self.path, number, self._pending_images.values())
            self._pending, self._pending_images = None, {}

    def remove(self, paths: Iterable[str]) -> None:
        """Commit, and take images out of the gallery; paths that it does not hold are passed over.

        Their bytes stay on the disk until `compact`.

        Raises:
            GalleryError: the disk does not take it.
        """
        self.commit()
        known = [path for path in paths if path in self._known]
        if known:
            with self._whole_or_nothing():
                self._publish(self._without(known))
            self._known.remove(known)

    def set_metadata(self, metadata: Mapping[str, Metadata]) -> int:
        """Commit, and give images other metadata without encoding them again; they move to the end.

        Args:
            metadata: path -> all metadata of the image; unknown paths are passed over.

        Returns:
            Number of images whose metadata differ from before.

        Raises:
            UsageError: a name is "path" or empty, or a value is no number, string or boolean.
            GalleryError: the disk does not take it; the gallery is as it was.
        """
        for path, fields in metadata.items():
            check_names(fields, path)
        self.commit()
        changed = [
            replace(image, metadata=metadata[path])
            for path in metadata
            if path in self._known and (image := self._known[path]).metadata != metadata[path]
        ]
        if not changed:
            return 0
        places = [self._known.place(image.path) for image in changed]
        copies = copy_images(self._store, self._known.gallery, places, changed)
        first = len(self._store.segments)
        with self._store.whole_or_nothing():
            kept = self._without(image.path for image in changed)
            self._publish((*kept, *(segment for segment, _ in copies)))
        for number, (_, images) in enumerate(copies, first):
            self._known.add_segment(self.path, number, images)
        return len(changed)

    def compact(self, progress: ProgressCallback = no_progress) -> CompactReport:
        """Commit, merge small segments, and give the bytes of removed images back to the disk.

        Order and content stay the same. Readers that have the gallery open go on with what they opened.

        Args:
            progress: counts images looked at.

        Raises:
            GalleryError: a file is damaged, or the disk does not take it; nothing is lost.
        """
        self.commit()
        report = compact_segments(self._store, self._known.gallery, progress)
        self._known = KnownImages(self.path)
        return report

    def _load(self, identity: Identity) -> KnownImages:
        if not (self.path / INDEX_NAME).exists():
            return KnownImages(None)
        known = KnownImages(self.path)
        found = known.gallery.index
        require_same(self.path, found.identity, identity)
        self._store.index = replace(found, identity=identity)
        return known

    def _check_batch(
        self,
        embeddings: NDArray[np.floating[Any]],
        tokens: NDArray[np.floating[Any]] | None,
        images: Sequence[GalleryImage],
    ) -> dict[str, NDArray[Any]]:
        """The rows to be written."""
        shape = self._identity.image_tokens
        expected = (len(images), self._identity.embed_dim)
        if embeddings.shape != expected:
            raise UsageError(f"embeddings are {embeddings.shape}, expected {expected}")
        wanted = None if shape is None else (len(images), shape.count, shape.width)
        got = None if tokens is None else tokens.shape
        if got != wanted:
            raise UsageError(f"tokens are {got}, expected {wanted}")
        numbers = number_rows(self._layout, embeddings, tokens)
        if not all(np.isfinite(rows).all() for rows in numbers.values()):
            raise UsageError("embeddings or tokens are not finite, or outgrow float16")
        seen: set[str] = set()
        for image in images:
            if not is_contained(image.path) or image.path in seen or image.path in self._pending_images:
                raise UsageError(
                    f"path {image.path!r} is added twice, or is no relative path inside the root"
                )
            check_names(image.metadata, image.path)
            seen.add(image.path)
        return numbers

    def _without(self, paths: Iterable[str]) -> tuple[Segment, ...]:
        """The segments, with the rows of these paths marked as removed."""
        rows: dict[int, list[int]] = {}
        for path in paths:
            if path in self._known:
                number, row = self._known.place(path)
                rows.setdefault(number, []).append(row)
        return tuple(
            without_rows(segment, rows[number]) if number in rows else segment
            for number, segment in enumerate(self._store.segments)
        )

    def _publish(self, segments: tuple[Segment, ...]) -> None:
        self._store.publish(GalleryIndex(self._identity, segments))

    @contextmanager
    def _whole_or_nothing(self) -> Iterator[None]:
        """Drop what is pending if anything interrupts the block; a full disk becomes a GalleryError."""
        with self._store.whole_or_nothing():
            try:
                yield
            except BaseException:
                if self._pending is not None:
                    self._pending.discard()
                self._pending, self._pending_images = None, {}
                raise
