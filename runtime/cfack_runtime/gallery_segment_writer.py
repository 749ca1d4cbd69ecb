"""A new segment: whole on the disk under its name, or not there.

Shapes: B images, N patches, C token width, D embedding.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.gallery_index import SEGMENTS, Identity, Segment
from cfack_runtime.gallery_layout import IMAGES, Layout
from cfack_runtime.gallery_tokens import quantize_tokens
from cfack_runtime.manifest import FileEntry


class SegmentWriter:
    """A segment under a temporary name, to which rows are added until it is finished or discarded.

    Args:
        gallery: the gallery's folder.
        name: the segment's final name.
        identity: of the gallery.
        layout: how numbers are kept.
    """

    def __init__(self, gallery: Path, name: str, identity: Identity, layout: Layout) -> None:
        self.name, self.layout = name, layout
        self.images = 0
        self._target = gallery / SEGMENTS / name
        self._folder = gallery / SEGMENTS / f".{name}.tmp"
        self._folder.mkdir(parents=True)
        names = [IMAGES, *(file.name for file in layout.files(identity))]
        self._files = {name: (self._folder / name).open("xb") for name in names}
        self._hashes = {name: hashlib.sha256() for name in names}

    def add(self, numbers: Mapping[str, NDArray[Any]], lines: Sequence[bytes]) -> None:
        """Append rows: B of each file of numbers, as they lie on the disk, and B lines of `images.jsonl`."""
        for name, rows in numbers.items():
            self._write(name, np.ascontiguousarray(rows).data.cast("B"))
        self._write(IMAGES, b"".join(lines))
        self.images += len(lines)

    def finish(self, precision: str) -> Segment:
        """Have everything written to the disk and give the segment its name."""
        entries = []
        for name, stream in self._files.items():
            stream.flush()
            os.fsync(stream.fileno())
            entries.append(FileEntry(name, self._hashes[name].hexdigest(), stream.tell()))
            stream.close()
        sync_folder(self._folder)
        self._folder.rename(self._target)
        sync_folder(self._target.parent)
        return Segment(self.name, self.images, precision, tuple(entries), self.layout)

    def discard(self) -> None:
        """Leave nothing behind."""
        for stream in self._files.values():
            with suppress(OSError):  # closing writes what is buffered, and the disk may be full
                stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, name: str, data: bytes | memoryview) -> None:
        self._files[name].write(data)
        self._hashes[name].update(data)


def number_rows(
    layout: Layout, embeddings: NDArray[np.floating[Any]], tokens: NDArray[np.floating[Any]] | None
) -> dict[str, NDArray[Any]]:
    """Bring embeddings (B, D) and tokens (B, 1+N, C) into the form that a layout keeps.

    What outgrows float16 becomes infinite.

    Raises:
        UsageError: tokens that are to be quantised are not finite.
    """
    with np.errstate(over="ignore"):
        rows: dict[str, NDArray[Any]] = (
            {"embeddings.f32": embeddings.astype("<f4")}
            if layout.embeddings == "fp32"
            else {"embeddings.f16": embeddings.astype("<f2")}
        )
        if tokens is not None and layout.tokens == "fp16":
            rows["tokens.f16"] = tokens.astype("<f2")
    if tokens is not None and layout.tokens == "int8":
        rows["tokens.i8"], scales = quantize_tokens(tokens)
        rows["tokens.scale"] = scales.astype("<f4")
    return rows


def sync_folder(folder: Path) -> None:
    """Have the system write a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
