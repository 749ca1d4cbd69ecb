"""A gallery's folder in the hands of its one writer: new segments, and a `gallery.json` that names them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

from cfack_runtime.errors import GalleryError
from cfack_runtime.files import atomic_write
from cfack_runtime.gallery_folder import lock_folder, remove_leftovers, remove_unused
from cfack_runtime.gallery_index import INDEX_NAME, GalleryIndex, Identity, Segment, index_bytes
from cfack_runtime.gallery_layout import Layout
from cfack_runtime.gallery_segment_writer import SegmentWriter, sync_folder


class GalleryStore:
    """Locked from the beginning to `close`.

    A segment is written under a temporary name and renamed when it is whole; then `gallery.json`, which
    alone says what belongs to the gallery, is replaced in one step.

    Args:
        path: the gallery's folder; made if it is not there.

    Raises:
        GalleryError: the folder holds something else, cannot be written, or another process is writing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()
        self._lock = lock_folder(self.path)
        self.index: GalleryIndex | None = None

    def close(self) -> None:
        """Remove a folder to which nothing was ever committed, and let others write."""
        try:
            remove_unused(self.path)
        finally:
            self._lock.close()

    @property
    def segments(self) -> tuple[Segment, ...]:
        """As `gallery.json` lists them."""
        return () if self.index is None else self.index.segments

    def begin(self, identity: Identity, layout: Layout) -> SegmentWriter:
        """Start a segment, which nobody sees before it is listed."""
        numbers = [int(segment.name.partition("-")[0]) for segment in self.segments]
        name = f"{max(numbers, default=0) + 1:06d}-{token_hex(4)}"
        return SegmentWriter(self.path, name, identity, layout)

    def publish(self, index: GalleryIndex) -> None:
        """Make this the content of the gallery, for good."""
        atomic_write(self.path / INDEX_NAME, index_bytes(index))
        if self.index is None:
            sync_folder(self.path.parent)
        self.index = index

    def publish_segments(self, segments: tuple[Segment, ...]) -> None:
        """List other segments, of the same gallery."""
        assert self.index is not None  # there is no segment without a gallery
        self.publish(replace(self.index, segments=segments))

    def remove_unlisted(self) -> None:
        """Remove segments that are not listed, and temporary files: nobody else writes here."""
        remove_leftovers(self.path, (segment.name for segment in self.segments))

    @contextmanager
    def whole_or_nothing(self) -> Iterator[None]:
        """Say what is safe if the disk does not take what the block writes.

        Raises:
            GalleryError: instead of an OSError.
        """
        try:
            yield
        except OSError as error:
            images = sum(segment.images - len(segment.removed) for segment in self.segments)
            raise GalleryError(
                f"{self.path}: cannot be written: {error.strerror}. The {images} images committed before "
                "are safe; make room and run the same again"
            ) from error

    @contextmanager
    def new_segment(self, identity: Identity, layout: Layout) -> Iterator[SegmentWriter]:
        """Start a segment, and drop it if anything, Ctrl-C included, interrupts the block.

        Raises:
            GalleryError: the disk does not take it.
        """
        with self.whole_or_nothing():
            segment = self.begin(identity, layout)
            try:
                yield segment
            except BaseException:
                segment.discard()
                raise
