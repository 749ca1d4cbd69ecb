"""A gallery: images encoded once, on disk, ready to be searched.

Shapes: G gallery images, K candidates, N patches, C token width, D embedding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cfack_runtime.errors import GalleryError, UsageError
from cfack_runtime.filters import Where, parse_filter
from cfack_runtime.gallery_columns import PATH
from cfack_runtime.gallery_embeddings import EmbeddingParts
from cfack_runtime.gallery_index import GalleryIndex, Identity
from cfack_runtime.gallery_lines import GalleryImages
from cfack_runtime.gallery_segment import OpenSegment
from cfack_runtime.gallery_snapshot import Stamp, open_segments, stamp


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
    """What a gallery held when it was opened. Made by `Gallery.open` and `Retriever.index`.

    It never changes, and any number of threads may use it. Images that a writer adds, removes or compacts
    meanwhile are seen by `refresh`; until then this object goes on with the files that it has open, even
    when the writer has deleted them.

    Attributes:
        path: the gallery's folder, absolute.
        index: the content of its `gallery.json`.
        segments: its images as they lie on the disk.
        images: the G images, in the order in which they were added; each is parsed when it is looked at.
        embeddings: (G, D), unit length, in that order; memory-mapped.
        report: what the `Retriever.index` that returned this object did; None if it was opened.
    """

    def __init__(self, path: Path, index: GalleryIndex, segments: Sequence[OpenSegment], seen: Stamp) -> None:
        self.path = path
        self.index = index
        self.segments = tuple(segments)
        self.images = GalleryImages([(segment.lines, segment.rows) for segment in self.segments])
        parts = [segment.embeddings for segment in self.segments]
        self.embeddings = EmbeddingParts(parts, self.identity.embed_dim)
        self.report: IndexReport | None = None
        self._seen = seen

    @classmethod
    def open(cls, path: str | Path, *, hash_embeddings: bool | None = None) -> Gallery:
        """Open a gallery and check its files.

        The size of every file and the hash of every list of images are checked; the lines of a list, when
        they are looked at. `cfack gallery verify` checks everything.

        Args:
            path: the gallery's folder.
            hash_embeddings: check the hash of the embeddings too, and that they are finite, which reads all
                of them; None: if they have at most 1 GiB together, which takes a second or two.

        Raises:
            GalleryError: it is no gallery, or a file is missing, truncated or damaged; the message names it.
        """
        path = Path(path)
        if not path.is_dir():
            raise GalleryError(f"{path}: no such folder; `cfack index` makes a gallery")
        path = path.resolve()
        return cls(path, *open_segments(path, {}, hash_embeddings))

    def refresh(self, *, hash_embeddings: bool | None = None) -> Gallery:
        """What the gallery holds now: this object if nothing has changed, else a new one.

        Costs one look at `gallery.json`, and for a new object the opening of the segments that are new.

        Raises:
            GalleryError: it is gone, or a new file is damaged.
        """
        if stamp(self.path) == self._seen:
            return self
        known = {segment.entry.name: segment for segment in self.segments}
        return Gallery(self.path, *open_segments(self.path, known, hash_embeddings))

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

    def tokens(self, places: NDArray[np.int64], dtype: DTypeLike = np.float16) -> NDArray[Any]:
        """Read the image tokens of some images from the disk; memory does not grow by more than them.

        Args:
            places: (K,) places in the gallery, in any order.
            dtype: float16 or float32.

        Returns:
            (K, 1+N, C) of that type; of a gallery with INT8 tokens, as they are after scaling.

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
        starts = self.embeddings.starts
        tokens = np.empty((len(places), shape.count, shape.width), dtype=dtype)
        owners = np.searchsorted(starts, places, side="right") - 1
        for place, owner, out in zip(places, owners, tokens, strict=True):
            self.segments[owner].read_tokens(int(place - starts[owner]), out)
        return tokens

    def fields(self) -> dict[str, int]:
        """Names of metadata fields, and how many images have each; reads all metadata the first time."""
        counts: Counter[str] = Counter()
        for segment in self.segments:
            counts += segment.columns.fields(segment.rows)
        return dict(sorted(counts.items()))

    def select(self, where: Where | None) -> NDArray[np.int64] | None:
        """Find images by their metadata, for `top_k(..., rows=...)`.

        The metadata of a field are read the first time that it is asked for, and kept.

        Args:
            where: see `cfack_runtime.filters`; None: no filter.

        Returns:
            Places in the gallery, ascending; None if there is no filter.

        Raises:
            UsageError: the filter is malformed, or no image has one of its fields; the message names it.
        """
        if where is None:
            return None
        condition = parse_filter(where)
        asked = condition.fields() - {PATH}
        if asked and len(self):
            for segment in self.segments:
                segment.columns.load(asked)
            known = self.fields()
            for field in sorted(asked - known.keys()):
                raise UsageError(
                    f"no image of {self.path} has the field {field!r}; its fields are "
                    f"{', '.join([PATH, *known])}"
                )
        found = [np.empty(0, np.int64)]
        for segment, start in zip(self.segments, self.embeddings.starts, strict=False):
            there = condition.rows(segment.columns.column, segment.entry.images)
            found.append(np.flatnonzero(there[segment.rows]) + start)
        return np.concatenate(found)
