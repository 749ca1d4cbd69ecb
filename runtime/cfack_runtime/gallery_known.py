"""What a writer knows of the images that are there: enough to find one by its path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from cfack_runtime.errors import GalleryError
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_index import GalleryImage


class KnownImages(Mapping[str, GalleryImage]):
    """Images by path; size and time of a file are at hand, the rest is read from the disk.

    Args:
        path: the gallery's folder; None: it is not a gallery yet.

    Raises:
        GalleryError: the gallery is damaged, or holds a path twice.
    """

    def __init__(self, path: Path | None) -> None:
        self._gallery = None if path is None else Gallery.open(path)
        self._folder = path
        self._places: dict[str, tuple[int, int, int, int]] = {}
        for number, segment in enumerate(self._gallery.segments if self._gallery else ()):
            counts = np.zeros(segment.entry.images, np.bool_)
            counts[segment.rows] = True
            for row, (name, size, mtime_ns) in enumerate(segment.lines.files()):
                if not counts[row]:
                    continue
                if name in self._places:
                    raise GalleryError(f"{path}: lists {name!r} twice; delete it and index the images again")
                self._places[name] = (number, row, size, mtime_ns)

    @property
    def gallery(self) -> Gallery:
        """The gallery as it is now."""
        assert self._folder is not None  # the writer asks only for what it has committed
        if self._gallery is None:
            self._gallery = Gallery.open(self._folder)
        self._gallery = self._gallery.refresh()
        return self._gallery

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, path: object) -> bool:
        return path in self._places

    def __getitem__(self, path: str) -> GalleryImage:
        number, row = self.place(path)
        return self.gallery.segments[number].lines.image(row)

    def place(self, path: str) -> tuple[int, int]:
        """Number of the segment, and row in it."""
        return self._places[path][:2]

    def file(self, path: str) -> tuple[int, int] | None:
        """Size and time of last change that the file had; None: the image is not there."""
        found = self._places.get(path)
        return None if found is None else found[2:]

    def add_segment(self, folder: Path, number: int, images: Iterable[GalleryImage]) -> None:
        """Take note of the images of a new segment, in its order."""
        self._folder = folder
        for row, image in enumerate(images):
            self._places[image.path] = (number, row, image.size, image.mtime_ns)

    def remove(self, paths: Iterable[str]) -> None:
        """Take note that images are gone."""
        for path in paths:
            del self._places[path]
