"""The lines of `images.jsonl`, read one by one when they are asked for.

A million of them as objects would take half a gigabyte and ten seconds; as bytes they take 100 MB of the
system's file cache.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.contained import is_contained
from cfack_runtime.errors import GalleryError
from cfack_runtime.gallery_index import GalleryImage, parse_image, parse_metadata
from cfack_runtime.manifest import Scalar

_LINE_FEED = 10
_CHUNK = 1 << 20
_KNOWN = 4096
# A line as our own writer writes it, which says the same to every reader; others are parsed in full.
# Its path is printable ASCII without anything escaped, its metadata holds no braces.
_OURS = re.compile(
    rb'\{"path": "([ !#-\[\]-~]+)", "size": (0|[1-9]\d{0,14}), "mtime_ns": (0|-?[1-9]\d{0,18}), '
    rb'"metadata": (\{[^{}]*\})\}'
)


class ImageLines:
    """The rows of one segment's `images.jsonl`.

    Args:
        data: the file.
        source: what messages call it.

    Raises:
        GalleryError: it does not end with a line feed.
    """

    def __init__(self, data: NDArray[np.uint8], source: str) -> None:
        if not len(data) or data[-1] != _LINE_FEED:
            raise GalleryError(f"{source}: does not end with a line feed")
        self._data, self._source = data, source
        found = [
            np.flatnonzero(data[start : start + _CHUNK] == _LINE_FEED) + start
            for start in range(0, len(data), _CHUNK)
        ]
        self._ends = np.concatenate(found)

    def __len__(self) -> int:
        return len(self._ends)

    def line(self, row: int) -> bytes:
        """The bytes of one line, without the line feed."""
        start = int(self._ends[row - 1]) + 1 if row else 0
        return self._data[start : int(self._ends[row])].tobytes()

    def image(self, row: int) -> GalleryImage:
        """Parse one line.

        Raises:
            GalleryError: it is malformed; the message names it.
        """
        return parse_image(self.line(row), self._where(row))

    def files(self) -> Iterator[tuple[str, int, int]]:
        """Path, size and time of last change of every row."""
        for row in range(len(self)):
            line = self.line(row)
            ours = _OURS.fullmatch(line)
            if ours and is_contained(path := ours[1].decode()):
                yield path, int(ours[2]), int(ours[3])
            else:
                image = parse_image(line, self._where(row))
                yield image.path, image.size, image.mtime_ns

    def paths(self) -> list[str]:
        """The path of every row."""
        return [path for path, _, _ in self.files()]

    def metadata(self) -> Iterator[Mapping[str, Scalar]]:
        """The metadata of every row; images of one camera may share an object."""
        known: dict[bytes, Mapping[str, Scalar]] = {b"{}": {}}
        for row in range(len(self)):
            line = self.line(row)
            ours = _OURS.fullmatch(line)
            if ours is None:
                yield parse_image(line, self._where(row)).metadata
                continue
            if ours[4] not in known:
                if len(known) > _KNOWN:
                    known = {}
                known[ours[4]] = parse_metadata(ours[4], self._where(row))
            yield known[ours[4]]

    def _where(self, row: int) -> str:
        return f"{self._source}, line {row + 1}"


class GalleryImages(Sequence[GalleryImage]):
    """All images of a gallery in its order; each is parsed when it is looked at.

    Args:
        segments: lines of a segment, and which of its rows count.
    """

    def __init__(self, segments: Sequence[tuple[ImageLines, NDArray[np.int64]]]) -> None:
        self._segments = tuple(segments)
        self._starts = np.cumsum([0, *(len(rows) for _, rows in segments)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @overload
    def __getitem__(self, place: int) -> GalleryImage: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[GalleryImage, ...]: ...
    def __getitem__(self, place: int | slice) -> GalleryImage | tuple[GalleryImage, ...]:
        if isinstance(place, slice):
            return tuple(self[index] for index in range(*place.indices(len(self))))
        inside = place + len(self) if place < 0 else place
        if not 0 <= inside < len(self):
            raise IndexError(f"image {place} of a gallery of {len(self)}")
        owner = int(np.searchsorted(self._starts, inside, side="right")) - 1
        lines, rows = self._segments[owner]
        return lines.image(int(rows[inside - self._starts[owner]]))

    def paths(self) -> Iterator[str]:
        """All paths, several times faster than one image after the other."""
        for lines, rows in self._segments:
            paths = lines.paths()
            yield from (paths[row] for row in rows)
