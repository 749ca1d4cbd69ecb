"""From a folder of images to a gallery that equals it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.encoders import ImageEncoder
from cfack_runtime.errors import BackendError, DataError, ImageError, UsageError
from cfack_runtime.gallery import IndexReport, SkippedImage
from cfack_runtime.gallery_index import GalleryImage
from cfack_runtime.gallery_writer import GalleryWriter
from cfack_runtime.images import IMAGE_SUFFIXES, list_images, load_image
from cfack_runtime.progress import ProgressCallback

_log = logging.getLogger(__name__)

SEGMENT_IMAGES = 1024
"""A segment is committed when it holds so many images ..."""
SEGMENT_SECONDS = 60.0
"""... or was begun so long ago, so that a killed process loses at most a minute's work."""


@dataclass(frozen=True)
class _Plan:
    to_encode: list[GalleryImage]
    unchanged: int
    gone: list[str]
    skipped: list[SkippedImage]


def index_folder(
    folder: Path,
    writer: GalleryWriter,
    encoder: ImageEncoder,
    *,
    keep_tokens: bool,
    batch_size: int,
    progress: ProgressCallback,
) -> IndexReport:
    """Encode what is new or has changed, and take out what is gone.

    A file counts as unchanged if its size and its time of last change are. One that cannot be read is
    skipped, reported and logged as a warning.

    Args:
        folder: read with all folders in it.
        writer: the gallery.
        encoder: of the gallery's embedding space.
        keep_tokens: write image tokens too.
        batch_size: images decoded and encoded at a time.
        progress: counts files that had to be encoded.

    Raises:
        DataError: the folder holds no image, or none that can be read. What was in the gallery stays.
        GalleryError: the disk does not take it.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")
    began = last_commit = time.perf_counter()
    plan = _plan(folder, writer.images)
    skipped, added, total = plan.skipped, 0, len(plan.to_encode)
    for start in range(0, total, batch_size):
        images, pixels = _decode(folder, plan.to_encode[start : start + batch_size], encoder, skipped)
        if images:
            encoded = encoder.encode(np.stack(pixels), batch_size)
            writer.add(encoded.embedding, _half(encoded.tokens, images) if keep_tokens else None, images)
            added += len(images)
        if writer.pending >= SEGMENT_IMAGES or time.perf_counter() - last_commit > SEGMENT_SECONDS:
            writer.commit()
            last_commit = time.perf_counter()
        progress(min(start + batch_size, total), total)
    if not added and not plan.unchanged:
        raise DataError(
            f"none of the {len(skipped)} image files in {folder} can be read; the first is "
            f"{skipped[0].path}: {skipped[0].reason}"
        )
    removed = [*plan.gone, *(image.path for image in skipped if image.path in writer.images)]
    writer.remove(removed)
    return IndexReport(added, plan.unchanged, len(removed), tuple(skipped), time.perf_counter() - began)


def _plan(folder: Path, known: Mapping[str, GalleryImage]) -> _Plan:
    files = list_images(folder)
    if not files:
        raise DataError(
            f"{folder}: holds no image; files that end in {', '.join(IMAGE_SUFFIXES)} are taken, in all "
            "folders below it"
        )
    plan = _Plan([], 0, [], [])
    unchanged, found = 0, set()
    for file in files:
        path = file.relative_to(folder).as_posix()
        found.add(path)
        try:
            path.encode()
            status = file.stat()
        except UnicodeEncodeError:
            _skip(plan.skipped, path, "its name is not valid UTF-8; rename it")
            continue
        except OSError as error:  # a dangling link, or deleted since it was listed
            _skip(plan.skipped, path, f"cannot be opened: {error.strerror}")
            continue
        image = GalleryImage(path, status.st_size, status.st_mtime_ns, {})
        before = known.get(path)
        if before is not None and (before.size, before.mtime_ns) == (image.size, image.mtime_ns):
            unchanged += 1
        else:
            plan.to_encode.append(image)
    return _Plan(plan.to_encode, unchanged, [path for path in known if path not in found], plan.skipped)


def _decode(
    folder: Path, batch: Sequence[GalleryImage], encoder: ImageEncoder, skipped: list[SkippedImage]
) -> tuple[list[GalleryImage], list[NDArray[np.uint8]]]:
    """Read a batch of files into pixels (H, W, 3); those that cannot be read are added to `skipped`."""
    geometry = encoder.geometry
    images, pixels = [], []
    for image in batch:
        try:
            pixels.append(load_image(folder / image.path, geometry.image_height, geometry.image_width))
        except ImageError as error:
            _skip(skipped, image.path, str(error).removeprefix(f"{folder / image.path}: "))
        else:
            images.append(image)
    return images, pixels


def _skip(skipped: list[SkippedImage], path: str, reason: str) -> None:
    skipped.append(SkippedImage(path, reason))
    _log.warning("skipped %s: %s", path, reason)


def _half(tokens: NDArray[np.floating], images: Sequence[GalleryImage]) -> NDArray[np.float16]:
    """Convert tokens (B, 1+N, C) to FP16, and refuse ones that are too large for it."""
    with np.errstate(over="ignore"):
        half = tokens.astype(np.float16)
    finite = np.isfinite(half).all(axis=(1, 2))
    if not finite.all():
        raise BackendError(
            f"the image tokens of {images[int(np.argmin(finite))].path} are too large for FP16, in which a "
            "gallery keeps them; index without tokens (--no-tokens)"
        )
    return half
