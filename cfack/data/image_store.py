"""Where training takes decoded images from: the disk, or memory."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from cfack.config import ExperimentConfig
from cfack.data.annotations import Split
from cfack.data.views import Pixels, cnn_view, eval_view
from cfack_runtime.images import decode_image
from cfack_runtime.progress import ProgressCallback, no_progress

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceImage:
    """What of an image does not depend on chance."""

    pixels: Pixels
    """Evaluation view (H, W, 3)."""
    cnn: Pixels | None
    """View of the CNN branch, where there is one."""
    original: Image.Image | None
    """The decoded image, where the strong view starts from it."""


class ImageStore:
    """The images of a split by the index of their record.

    Args:
        split: names the files.
        config: sizes of the views, and whether `data.cache_images`: then everything is decoded now.
        progress: told the images decoded and all, when they are cached.

    Raises:
        ImageError: an image cannot be read (now if cached, else when it is asked for).
    """

    def __init__(
        self, split: Split, config: ExperimentConfig, progress: ProgressCallback = no_progress
    ) -> None:
        self._split = split
        self._config = config
        self._cache: list[SourceImage] | None = None
        if config.data.cache_images:
            self._cache = self._load_all(progress)

    def __getitem__(self, index: int) -> SourceImage:
        """Give one image, from memory or from its file."""
        return self._load(index) if self._cache is None else self._cache[index]

    def _load(self, index: int) -> SourceImage:
        config = self._config
        image = decode_image(self._split.path(index))
        vision, cnn = config.model.vision, config.model.cnn
        pixels = eval_view(image, vision.image_height, vision.image_width)
        other = None
        if cnn is not None:
            crop = config.switches.cnn_centre_crop
            same = (cnn.image_height, cnn.image_width) == pixels.shape[:2] and not crop
            other = pixels if same else cnn_view(image, cnn.image_height, cnn.image_width, centre_crop=crop)
        return SourceImage(pixels, other, image if config.augment.strong == "uniform" else None)

    def _load_all(self, progress: ProgressCallback) -> list[SourceImage]:
        count = len(self._split.records)
        images: list[SourceImage] = []
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for image in pool.map(self._load, range(count)):
                images.append(image)
                progress(len(images), count)
        size = sum(image.pixels.nbytes for image in images) / 1e6
        _log.info("%d images of the %s split are kept in memory (%.0f MB)", count, self._split.name, size)
        return images
