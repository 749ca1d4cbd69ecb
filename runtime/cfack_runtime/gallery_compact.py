"""Merging small segments, and giving the bytes of removed images back."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cfack_runtime.errors import GalleryError
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_copy import copy_rows
from cfack_runtime.gallery_index import SEGMENTS, Segment
from cfack_runtime.gallery_map import give_back
from cfack_runtime.gallery_segment import OpenSegment
from cfack_runtime.gallery_store import GalleryStore
from cfack_runtime.progress import ProgressCallback

SEGMENT_IMAGES = 65_536
"""Segments are merged up to so many images ..."""
SEGMENT_BYTES = 4 << 30
"""... or bytes: that much disk is needed beside the gallery while it is compacted."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class CompactReport:
    """What one compaction did."""

    segments_before: int
    segments_after: int
    bytes_before: int
    """Of all listed segments."""
    bytes_after: int
    removed: int
    """Removed images whose bytes were given back."""
    seconds: float


def compact_segments(store: GalleryStore, gallery: Gallery, progress: ProgressCallback) -> CompactReport:
    """Merge neighbours, one group after the other; each is committed before its old files are deleted.

    Args:
        store: the gallery's folder, locked.
        gallery: its content, as it is now.
        progress: counts images looked at.

    Raises:
        GalleryError: a file is damaged, or the disk does not take it; nothing is lost.
    """
    began, before = time.perf_counter(), store.segments
    opened = {segment.entry.name: segment for segment in gallery.segments}
    done, total = 0, sum(segment.images for segment in before)
    for group in plan(before):
        if len(group) > 1 or group[0].removed:
            merged = _merge(store, gallery, [opened[segment.name] for segment in group])
            place = store.segments.index(group[0])
            rest = store.segments[place + len(group) :]
            with store.whole_or_nothing():
                store.publish_segments((*store.segments[:place], *merged, *rest))
            for segment in group:
                shutil.rmtree(store.path / SEGMENTS / segment.name, ignore_errors=True)
        done += sum(segment.images for segment in group)
        progress(done, total)
    after = store.segments
    return CompactReport(
        segments_before=len(before),
        segments_after=len(after),
        bytes_before=sum(segment.size for segment in before),
        bytes_after=sum(segment.size for segment in after),
        removed=total - sum(segment.images for segment in after),
        seconds=time.perf_counter() - began,
    )


def plan(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Neighbours that become one segment, in their order; a group of one without removed rows stays as is."""
    groups: list[list[Segment]] = []
    for segment in segments:
        large = _share(segment) >= 0.5 and not segment.removed
        if groups and not large and _may_join(groups[-1], segment):
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return groups


def _may_join(group: Sequence[Segment], segment: Segment) -> bool:
    first, last = group[0], group[-1]
    same = (first.layout, first.precision) == (segment.layout, segment.precision)
    whole = _share(last) >= 0.5 and not last.removed  # not copied again for the sake of a small neighbour
    return same and not whole and sum(map(_share, [*group, segment])) <= 1


def _share(segment: Segment) -> float:
    """How much of a full segment its images fill that count."""
    kept = segment.images - len(segment.removed)
    return max(kept / SEGMENT_IMAGES, segment.size * kept / segment.images / SEGMENT_BYTES)


def _merge(store: GalleryStore, gallery: Gallery, group: Sequence[OpenSegment]) -> list[Segment]:
    """Write one segment with the images of a group that count; none, if there are none."""
    if not any(len(segment) for segment in group):
        return []
    entry = group[0].entry
    with store.new_segment(gallery.identity, entry.layout) as target:
        for segment in group:
            _require_undamaged(gallery, segment)
            copy_rows(segment, segment.rows, target)
        return [target.finish(entry.precision)]


def _require_undamaged(gallery: Gallery, segment: OpenSegment) -> None:
    """Check the hashes, so that damage is not copied under a new hash."""
    hashes = {entry.path: entry.sha256 for entry in segment.entry.files}
    for name, numbers in segment.numbers.items():
        digest, data = hashlib.sha256(), numbers.reshape(-1).view("u1")
        for start in range(0, len(data), _CHUNK):
            digest.update(data[start : start + _CHUNK].data)
            give_back(data[start : start + _CHUNK])
        if digest.hexdigest() != hashes[name]:
            raise GalleryError(
                f"{gallery.path / SEGMENTS / segment.entry.name / name}: its SHA-256 is not the one in "
                "gallery.json; the file was damaged. Nothing was changed; restore it, or delete the gallery "
                "and index the images again"
            )
