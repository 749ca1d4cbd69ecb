"""Adding images to a gallery so that a killed process loses nothing that was committed.

Images go into a new segment, written under a temporary name. When it is whole it is renamed, and then
`gallery.json`, which alone says what belongs to the gallery, is replaced in one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.contained import is_contained
from cfack_runtime.errors import GalleryError, UsageError
from cfack_runtime.files import atomic_write
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_folder import lock_folder, remove_leftovers, remove_unused, require_same
from cfack_runtime.gallery_index import (
    INDEX_NAME,
    GalleryImage,
    GalleryIndex,
    Identity,
    Segment,
    index_bytes,
    without_rows,
)
from cfack_runtime.gallery_segment import SegmentWriter


class GalleryWriter:
    """The one process that may change a gallery; use it in a `with` block.

    Leaving the block commits what was added, also when an error or Ctrl-C ends it. A folder to which
    nothing was ever committed is removed again.

    Args:
        path: the gallery's folder; made if it is not there.
        identity: what the gallery must have in common with the images that are going to be added. The path
            of the bundle may differ: the newest is remembered.
        precision: precision that encodes the images.

    Raises:
        EmbeddingSpaceError: the gallery belongs to another model.
        GalleryError: the folder holds something else, another folder's images, or tokens where none are
            wanted (or the reverse); a file of it is damaged; or another process is writing.
    """

    def __init__(self, path: str | Path, identity: Identity, precision: str) -> None:
        self.path = Path(path).resolve()
        self._precision = precision
        self._pending: SegmentWriter | None = None
        self._lock = lock_folder(self.path)
        try:
            self._index, self._places = self._load(identity)
            remove_leftovers(self.path, (segment.name for segment in self._index.segments))
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> GalleryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.commit()
            remove_unused(self.path)
        finally:
            self._lock.close()

    @property
    def images(self) -> dict[str, GalleryImage]:
        """Committed images by path."""
        return {path: image for path, (_, _, image) in self._places.items()}

    @property
    def pending(self) -> int:
        """Number of images added since the last commit."""
        return len(self._pending.images) if self._pending else 0

    def add(
        self,
        embeddings: NDArray[np.float32],
        tokens: NDArray[np.float16] | None,
        images: Sequence[GalleryImage],
    ) -> None:
        """Add a batch, which the next commit makes part of the gallery.

        An image whose path is in the gallery already replaces that one.

        Args:
            embeddings: (B, D), unit length.
            tokens: (B, 1+N, C); None exactly if the gallery keeps none.
            images: B images of different paths.

        Raises:
            UsageError: shapes, numbers or paths are not so, or a value is not finite.
            GalleryError: the disk does not take it; what was added since the last commit is lost.
        """
        self._check_batch(embeddings, tokens, images)
        with self._whole_or_not_at_all():
            if self._pending is None:
                self._pending = SegmentWriter(self.path, self._next_name(), tokens is not None)
            self._pending.add(embeddings, tokens, images)

    def commit(self) -> None:
        """Make everything added so far part of the gallery, for good.

        Raises:
            GalleryError: the disk does not take it; the gallery is as it was after the last commit.
        """
        if self._pending is None:
            return
        images = self._pending.images
        with self._whole_or_not_at_all():
            segment = self._pending.finish(self._precision)
            self._store((*self._without(image.path for image in images), segment))
        self._pending = None
        number = len(self._index.segments) - 1
        self._places |= {image.path: (number, row, image) for row, image in enumerate(images)}

    def remove(self, paths: Iterable[str]) -> None:
        """Commit, and take images out of the gallery. Their bytes stay on the disk.

        Raises:
            GalleryError: the disk does not take it.
        """
        self.commit()
        known = [path for path in paths if path in self._places]
        if not known:
            return
        with self._whole_or_not_at_all():
            self._store(self._without(known))
        for path in known:
            del self._places[path]

    def _load(self, identity: Identity) -> tuple[GalleryIndex, dict[str, tuple[int, int, GalleryImage]]]:
        """Path -> number of the segment, row in it, image."""
        if not (self.path / INDEX_NAME).exists():
            return GalleryIndex(identity), {}
        gallery = Gallery.open(self.path)
        require_same(self.path, gallery.index.identity, identity)
        places = {
            image.path: (number, int(row), image)
            for number, segment in enumerate(gallery.segments)
            for row, image in zip(segment.rows, segment.images, strict=True)
        }
        return replace(gallery.index, identity=identity), places

    def _check_batch(
        self,
        embeddings: NDArray[np.float32],
        tokens: NDArray[np.float16] | None,
        images: Sequence[GalleryImage],
    ) -> None:
        identity = self._index.identity
        shape = identity.image_tokens
        expected = (len(images), identity.embed_dim)
        if embeddings.shape != expected:
            raise UsageError(f"embeddings are {embeddings.shape}, expected {expected}")
        wanted = None if shape is None else (len(images), shape.count, shape.width)
        got = None if tokens is None else tokens.shape
        if got != wanted:
            raise UsageError(f"tokens are {got}, expected {wanted}")
        if not np.isfinite(embeddings).all() or (tokens is not None and not np.isfinite(tokens).all()):
            raise UsageError("embeddings or tokens are not finite, or outgrow float16")
        pending = {image.path for image in self._pending.images} if self._pending else set()
        for image in images:
            if not is_contained(image.path) or image.path in pending:
                raise UsageError(
                    f"path {image.path!r} is added twice, or is no relative path inside the root"
                )
            pending.add(image.path)

    def _next_name(self) -> str:
        numbers = [int(segment.name.partition("-")[0]) for segment in self._index.segments]
        return f"{max(numbers, default=0) + 1:06d}-{token_hex(4)}"

    def _without(self, paths: Iterable[str]) -> tuple[Segment, ...]:
        """The segments, with the rows of these paths marked as removed."""
        rows: dict[int, list[int]] = {}
        for path in paths:
            if path in self._places:
                number, row, _ = self._places[path]
                rows.setdefault(number, []).append(row)
        return tuple(
            without_rows(segment, rows[number]) if number in rows else segment
            for number, segment in enumerate(self._index.segments)
        )

    def _store(self, segments: tuple[Segment, ...]) -> None:
        index = replace(self._index, segments=segments)
        atomic_write(self.path / INDEX_NAME, index_bytes(index))
        self._index = index

    @contextmanager
    def _whole_or_not_at_all(self) -> Iterator[None]:
        """Drop the pending segment if anything, Ctrl-C included, interrupts its writing."""
        try:
            yield
        except BaseException as error:
            if self._pending is not None:
                self._pending.discard()
                self._pending = None
            if not isinstance(error, OSError):
                raise
            raise GalleryError(
                f"{self.path}: cannot be written: {error.strerror}. The {len(self._places)} images committed "
                "before are safe; make room and run the same again"
            ) from error
