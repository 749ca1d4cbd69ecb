"""Copying rows from segments that are there into new ones, as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_index import GalleryImage, Segment, image_line
from cfack_runtime.gallery_layout import Layout
from cfack_runtime.gallery_map import give_back
from cfack_runtime.gallery_segment import OpenSegment
from cfack_runtime.gallery_segment_writer import SegmentWriter
from cfack_runtime.gallery_store import GalleryStore

_BLOCK_BYTES = 16 << 20


def copy_rows(
    source: OpenSegment, rows: NDArray[np.int64], target: SegmentWriter, lines: Sequence[bytes] | None = None
) -> None:
    """Append rows of one segment to another of the same layout, a few megabytes at a time.

    Args:
        source: where they are.
        rows: which, in the order wanted.
        target: where they go.
        lines: what `images.jsonl` is to say of them; None: what it says.
    """
    row_bytes = sum(numbers[:1].nbytes for numbers in source.numbers.values())
    step = max(_BLOCK_BYTES // row_bytes, 1)
    for start in range(0, len(rows), step):
        mine = rows[start : start + step]
        numbers: dict[str, NDArray[Any]] = {name: all_[mine] for name, all_ in source.numbers.items()}
        texts = (
            [source.lines.line(row) + b"\n" for row in mine.tolist()]
            if lines is None
            else lines[start : start + step]
        )
        target.add(numbers, texts)
        for all_ in source.numbers.values():
            give_back(all_[mine.min() : mine.max() + 1])


def copy_images(
    store: GalleryStore,
    gallery: Gallery,
    places: Sequence[tuple[int, int]],
    images: Sequence[GalleryImage],
) -> list[tuple[Segment, list[GalleryImage]]]:
    """Write images that are there once more, with other lines.

    Args:
        store: where new segments are begun; what is returned is not listed yet.
        gallery: the images as they are.
        places: segment and row of each.
        images: what is to be said of each.

    Returns:
        One segment for each layout and precision, and its images in its order.

    Raises:
        GalleryError: the disk does not take it.
    """
    kinds: dict[tuple[Layout, str], dict[int, list[tuple[int, GalleryImage]]]] = {}
    for (number, row), image in zip(places, images, strict=True):
        entry = gallery.segments[number].entry
        kinds.setdefault((entry.layout, entry.precision), {}).setdefault(number, []).append((row, image))
    written = []
    for (layout, precision), by_segment in kinds.items():
        with store.new_segment(gallery.identity, layout) as target:
            for number, found in by_segment.items():
                rows = np.array([row for row, _ in found])
                lines = [image_line(image) for _, image in found]
                copy_rows(gallery.segments[number], rows, target, lines)
            segment = target.finish(precision)
        written.append((segment, [image for found in by_segment.values() for _, image in found]))
    return written
