"""Images and captions that the ranges of activations are measured on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack.data.annotations import read_split
from cfack_runtime.errors import UsageError
from cfack_runtime.images import load_image
from cfack_runtime.manifest import Geometry
from cfack_runtime.tokenizer import CaptionTokenizer


@dataclass(frozen=True)
class CalibrationSamples:
    """n images, and n captions."""

    source: str
    """Where they come from, for people and reports."""
    pixels: NDArray[np.uint8]
    """(n, H, W, 3)."""
    input_ids: NDArray[np.int64]
    """(n, T)."""
    attention_mask: NDArray[np.int64]
    """(n, T)."""
    sha256: str
    """Of all of it."""

    @property
    def count(self) -> int:
        """Number of images, and of captions."""
        return len(self.pixels)

    def to_json(self) -> dict[str, Any]:
        """What a report says of them."""
        return {"source": self.source, "images": self.count, "captions": self.count, "sha256": self.sha256}


def calibration_samples(
    source: str, pixels: NDArray[np.uint8], input_ids: NDArray[np.int64], mask: NDArray[np.int64]
) -> CalibrationSamples:
    """Put samples together and hash them; see `CalibrationSamples`."""
    digest = hashlib.sha256()
    for array in (pixels, input_ids, mask):
        digest.update(f"{array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return CalibrationSamples(source, pixels, input_ids, mask, digest.hexdigest())


def read_calibration(
    data: Path,
    geometry: Geometry,
    tokenizer: CaptionTokenizer,
    *,
    split: str = "train",
    count: int = 64,
    seed: int = 0,
) -> CalibrationSamples:
    """Draw images of a split, with a caption each; the same arguments draw the same.

    Args:
        data: a prepared data set.
        geometry: the sizes of the model.
        tokenizer: the model's.
        split: which split; the one trained on, so that no evaluation is fitted to.
        count: how many; all, if the split has fewer.
        seed: of the draw.

    Raises:
        UsageError: `count` is not positive.
        DataError: there is no such split, or a caption or an image cannot be used.
    """
    if count < 1:
        raise UsageError(f"calibration with {count} samples; give at least 1, 64 is usual")
    source = read_split(data, split)
    rng = np.random.default_rng(seed)
    total = len(source.records)
    chosen = sorted(rng.choice(total, size=min(count, total), replace=False).tolist())
    captions = [str(rng.choice(source.records[i].captions)) for i in chosen]
    size = (geometry.image_height, geometry.image_width)
    pixels = np.stack([load_image(source.path(i), *size) for i in chosen])
    encoded = tokenizer.encode(captions)
    name = f"{source.name} split of {source.dataset}"
    return calibration_samples(name, pixels, encoded.input_ids, encoded.attention_mask)
