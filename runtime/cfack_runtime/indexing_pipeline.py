"""Decoding ahead of the encoder.

Shapes: B images of a batch, H, W pixels.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.errors import ImageError, UsageError
from cfack_runtime.gallery_index import GalleryImage
from cfack_runtime.images import load_image
from cfack_runtime.manifest import Geometry

_MOST_DECODERS = 8
_BATCHES_AHEAD = 2

Decoded = tuple[GalleryImage, NDArray[np.uint8] | ImageError]
"""An image and its pixels (H, W, 3), or why there are none."""


def default_decoders() -> int:
    """Threads that decode if nothing is said: one a core that the process may use, at most 8."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4, _MOST_DECODERS)


def decode_ahead(
    folder: Path, images: Sequence[GalleryImage], geometry: Geometry, batch_size: int, decoders: int
) -> Iterator[list[Decoded]]:
    """Read image files in threads, in their order, while the caller works on the batch before.

    At most two batches and one image a thread are decoded and not yet taken, so that memory is bounded
    when the encoder is the slower one.

    Args:
        folder: what the paths are relative to.
        images: the files.
        geometry: says H and W.
        batch_size: images of a batch; the last may have fewer.
        decoders: threads.

    Raises:
        UsageError: a number is not positive.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")
    if decoders < 1:
        raise UsageError(f"decoders must be at least 1, got {decoders}")

    def decode(image: GalleryImage) -> Decoded:
        try:
            return image, load_image(folder / image.path, geometry.image_height, geometry.image_width)
        except ImageError as error:
            return image, error

    window: deque[Future[Decoded]] = deque()
    waiting = iter(images)
    with ThreadPoolExecutor(decoders, thread_name_prefix="cfack-decode") as pool:
        try:
            for first in range(0, len(images), batch_size):
                for image in waiting:
                    window.append(pool.submit(decode, image))
                    if len(window) >= batch_size * _BATCHES_AHEAD + decoders:
                        break
                size = min(batch_size, len(images) - first)
                yield [window.popleft().result() for _ in range(size)]
        finally:
            pool.shutdown(cancel_futures=True)
