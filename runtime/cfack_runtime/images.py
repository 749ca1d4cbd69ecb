"""From an image file to the pixels that the image encoder takes."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cfack_runtime.errors import DataError, ImageError, UsageError

_log = logging.getLogger(__name__)

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Mean of R, G and B on a scale of 0 to 1 (CLIP's constants)."""
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
"""Standard deviation of R, G and B on a scale of 0 to 1 (CLIP's constants)."""
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
"""File name endings, in lower case, that `list_images` takes."""
MAX_PIXELS = 89_478_485
"""Largest image decoded, in pixels: a quarter GiB of RGB, as Pillow's own warning limit."""
MAX_SIDE = 65_535
"""Longest side decoded: JPEG's limit. A longer, thin image would grow without bound when squashed."""

_AT_MOST = f"At most {MAX_PIXELS} pixels and {MAX_SIDE} a side are read; make it smaller first"
# Named, because Pillow would otherwise try every reader it has, Ghostscript's among them.
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(source: str | Path | bytes) -> Image.Image:
    """Decode a JPEG, PNG, BMP or WebP into an upright RGB image.

    The EXIF orientation is applied. Transparency is dropped (the colours below it stay), 16 bits keep
    their upper 8, the first frame of an animation is taken.

    Args:
        source: a path, or the file's content.

    Raises:
        ImageError: there is no such file, it is damaged, of another kind, or too large.
    """
    name = f"<{len(source)} bytes>" if isinstance(source, bytes) else str(source)
    if not isinstance(source, bytes) and Path(source).is_dir():
        raise ImageError(f"{name}: is a folder, not an image")
    try:
        with Image.open(
            io.BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS
        ) as image:
            _refuse_huge(image, name)
            image.load()
            return _to_rgb(_upright(image))
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name}: too large to decode safely: {error} {_AT_MOST}") from error
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such file") from error
    except PermissionError as error:
        raise ImageError(f"{name}: cannot be read: {error.strerror}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: not a JPEG, PNG, BMP or WebP image") from error
    except Exception as error:  # damaged files make Pillow's readers raise almost anything
        raise ImageError(f"{name}: cannot be decoded, the file is damaged: {error}") from error


def resize_image(image: Image.Image, height: int, width: int) -> NDArray[np.uint8]:
    """Squash an image to a size, whatever its aspect.

    Bicubic with antialiasing, the width first and then the height, rounded to 8 bits between. The two
    calls pin that order: Pillow 13 changed the one a single call uses. Every version gives the same bits.

    Args:
        image: an RGB image.
        height: H, in pixels.
        width: W, in pixels.

    Returns:
        RGB pixels (H, W, 3), writable.

    Raises:
        UsageError: the image is not RGB.
    """
    if image.mode != "RGB":
        raise UsageError(f"expected an RGB image, got mode {image.mode}; decode it with decode_image")
    wide = image.resize((width, image.height), Image.Resampling.BICUBIC)
    return np.array(wide.resize((width, height), Image.Resampling.BICUBIC))


def load_image(path: str | Path, height: int, width: int) -> NDArray[np.uint8]:
    """Decode and resize one file: `resize_image(decode_image(path), height, width)`."""
    return resize_image(decode_image(path), height, width)


def list_images(folder: str | Path) -> list[Path]:
    """Find the image files of a folder and of the folders in it, sorted by path.

    They are told by `IMAGE_SUFFIXES`, in capitals or not. Names that begin with a dot are left out
    (thumbnails and the like), and links to folders are not followed.

    Raises:
        DataError: the folder, or one in it, cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found = []
    for parent, folders, files in os.walk(folder, onerror=_unreadable_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in files
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
        ]
    return sorted(found)


def _unreadable_folder(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed: {error.strerror}") from error


def _refuse_huge(image: Image.Image, name: str) -> None:
    """Refuse by the size in the header, before any pixel is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageError(f"{name}: too large to decode safely: {width} x {height} pixels. {_AT_MOST}")


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception as error:  # damaged EXIF says nothing about the pixels, which are fine
        _log.debug("unreadable EXIF block, taken as upright: %s", error)
        return image
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey; Pillow itself would clip it to white
        image = Image.fromarray((np.asarray(image).clip(0, 65_535) >> 8).astype(np.uint8))
    if image.mode in ("LA", "PA"):
        image = image.convert("RGBA")
    return image.convert("RGB")
