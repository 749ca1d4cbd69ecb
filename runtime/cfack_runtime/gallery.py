"""A gallery: images encoded once, on disk, ready to be searched.

Shapes: G gallery images, K candidates, N patches, C token width, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.errors import GalleryError, UsageError
from cfack_runtime.gallery_index import GalleryImage, GalleryIndex, Identity, read_index
from cfack_runtime.gallery_segment import OpenSegment, open_segment


@dataclass(frozen=True)
class SkippedImage:
    """A file that could not be indexed."""

    path: str
    """Relative to the folder that was indexed."""
    reason: str


@dataclass(frozen=True)
class IndexReport:
    """What one run of indexing did."""

    added: int
    """Images encoded: new files and changed ones."""
    unchanged: int
    """Images that were in the gallery already."""
    removed: int
    """Images taken out, since their files are gone or can no longer be read."""
    skipped: tuple[SkippedImage, ...]
    seconds: float


class Gallery:
    """What a gallery held when it was opened; images that are added later are seen by opening it again.

    Made by `Gallery.open` and `Retriever.index`.

    Attributes:
        path: the gallery's folder, absolute.
        index: the content of its `gallery.json`.
        segments: its images as they lie on the disk.
        images: the G images, in the order in which they were added.
        embeddings: (G, D) float32, unit length, in that order.
        report: what the `Retriever.index` that returned this object did; None if it was opened.
    """

    def __init__(self, path: Path, index: GalleryIndex, segments: Sequence[OpenSegment]) -> None:
        self.path = path
        self.index = index
        self.segments = tuple(segments)
        self.images: tuple[GalleryImage, ...] = tuple(
            image for segment in self.segments for image in segment.images
        )
        self.report: IndexReport | None = None
        self._starts = np.cumsum([0, *(len(segment.images) for segment in self.segments)])
        # Filled piece by piece, so that a large gallery is never in memory twice.
        self.embeddings: NDArray[np.float32] = np.empty(
            (len(self.images), self.identity.embed_dim), np.float32
        )
        for start, segment in zip(self._starts, self.segments, strict=False):
            end = start + len(segment.images)
            self.embeddings[start:end] = segment.read_embeddings(self.identity.embed_dim)

    @classmethod
    def open(cls, path: str | Path) -> Gallery:
        """Read a gallery and check its files.

        Sizes of all files and hashes of embeddings and image lists are checked; image tokens, which are
        large, stay on the disk and are checked by size.

        Raises:
            GalleryError: it is no gallery, or a file is missing, truncated or damaged; the message names it.
        """
        path = Path(path)
        if not path.is_dir():
            raise GalleryError(f"{path}: no such folder; `cfack index` makes a gallery")
        path = path.resolve()
        index = read_index(path)
        gallery = cls(path, index, [open_segment(path, entry, index.identity) for entry in index.segments])
        _require_unique(gallery.images, path)
        return gallery

    def __len__(self) -> int:
        return len(self.images)

    @property
    def identity(self) -> Identity:
        """Embedding space, sizes, root and bundle."""
        return self.index.identity

    @property
    def has_tokens(self) -> bool:
        """Whether candidates can be re-ranked."""
        return self.identity.image_tokens is not None

    @property
    def root(self) -> Path:
        """Folder that was indexed."""
        return Path(self.identity.root)

    def image_path(self, place: int) -> Path:
        """Where the file of one image is, or was when it was indexed."""
        return self.root / self.images[place].path

    def tokens(self, places: NDArray[np.int64]) -> NDArray[np.float16]:
        """Read the image tokens of some images from the disk.

        Args:
            places: (K,) places in the gallery.

        Returns:
            (K, 1+N, C).

        Raises:
            GalleryError: the gallery was made without tokens.
            UsageError: a place is outside the gallery.
        """
        shape = self.identity.image_tokens
        if shape is None:
            raise GalleryError(
                f"{self.path}: holds no image tokens, so nothing can be re-ranked; search with rerank=0 "
                "(--rerank 0), or index the images into another gallery with tokens"
            )
        if len(places) and not 0 <= places.min() <= places.max() < len(self):
            raise UsageError(f"places go from {places.min()} to {places.max()} in a gallery of {len(self)}")
        tokens = np.empty((len(places), shape.count, shape.width), dtype=np.float16)
        owners = np.searchsorted(self._starts, places, side="right") - 1
        for owner in np.unique(owners):
            mine = owners == owner
            tokens[mine] = self.segments[owner].read_tokens(places[mine] - self._starts[owner])
        return tokens


def _require_unique(images: Sequence[GalleryImage], gallery: Path) -> None:
    seen: set[str] = set()
    for image in images:
        if image.path in seen:
            raise GalleryError(f"{gallery}: lists {image.path!r} twice; delete it and index the images again")
        seen.add(image.path)
