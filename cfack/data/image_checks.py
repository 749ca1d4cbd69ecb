"""Finding images that are missing or cannot be read before training does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from cfack_runtime.errors import ImageError
from cfack_runtime.images import decode_image
from cfack_runtime.progress import ProgressCallback, no_progress

_REPORT_EVERY = 64


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels from the file's header, before any EXIF rotation.

    Raises:
        ImageError: no such file, or no image.
    """
    try:
        with Image.open(path, formats=("JPEG", "PNG", "BMP", "WEBP")) as image:
            return image.size
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not a JPEG, PNG, BMP or WebP image") from error
    except Exception as error:  # damaged files make Pillow's readers raise almost anything
        raise ImageError(f"{path}: the header cannot be read: {error}") from error


def unreadable_images(
    paths: Sequence[Path], *, decode: bool = True, progress: ProgressCallback = no_progress
) -> dict[int, str]:
    """Try every image, in as many threads as there are CPUs.

    Args:
        paths: the images.
        decode: decode all pixels; otherwise read the header only, which misses a file that was cut short.
        progress: told the images done and all.

    Returns:
        Why an image cannot be used, by its index in `paths`.
    """
    check: Callable[[Path], object] = decode_image if decode else image_size
    reasons: dict[int, str] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for index, reason in enumerate(pool.map(lambda path: _reason(check, path), paths)):
            if reason is not None:
                reasons[index] = reason
            if (index + 1) % _REPORT_EVERY == 0 or index + 1 == len(paths):
                progress(index + 1, len(paths))
    return reasons


def _reason(check: Callable[[Path], object], path: Path) -> str | None:
    try:
        check(path)
    except ImageError as error:
        return str(error).removeprefix(f"{path}: ")
    return None
