"""Image files to batches of pixels, decoded by threads while the model computes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.images import load_image

_THREADS = min(8, os.cpu_count() or 1)
_BATCHES_AHEAD = 2


def pixel_batches(
    paths: Sequence[Path], starts: Sequence[int], batch_size: int, height: int, width: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode and resize batches of a list of images.

    Args:
        paths: all images.
        starts: places in `paths` at which the wanted batches begin, in the order wanted.
        batch_size: images per batch; the last of the list may be smaller.
        height: H of the model.
        width: W of the model.

    Yields:
        (start, pixels (B, H, W, 3)).

    Raises:
        ImageError: an image cannot be read; the message names it.
    """
    pool = ThreadPoolExecutor(_THREADS)
    waiting: deque[tuple[int, list[Future[NDArray[np.uint8]]]]] = deque()
    try:
        for start in starts:
            batch = paths[start : start + batch_size]
            waiting.append((start, [pool.submit(load_image, path, height, width) for path in batch]))
            if len(waiting) > _BATCHES_AHEAD:
                yield _finish(waiting.popleft())
        while waiting:
            yield _finish(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _finish(batch: tuple[int, list[Future[NDArray[np.uint8]]]]) -> tuple[int, NDArray[np.uint8]]:
    start, images = batch
    return start, np.stack([image.result() for image in images])
