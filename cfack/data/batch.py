"""A batch of training pairs as tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfack.data.dataset import TrainingSample
from cfack.data.views import Pixels
from cfack_runtime.images import PIXEL_MEAN, PIXEL_STD

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class TrainingBatch:
    """B pairs. T is the model's `max_tokens`, M the most masked pieces of a caption."""

    image_weak: Tensor
    """float32 (B, 3, H, W), normalised."""
    image_strong: Tensor
    """float32 (B, 3, H, W), normalised, erased boxes 0."""
    image_cnn: Tensor | None
    """float32 (B, 3, h, w), normalised by ImageNet's constants."""
    original_ids: Tensor
    """int64 (B, T)."""
    original_mask: Tensor
    """int64 (B, T): 1 on tokens, 0 on padding."""
    augmented_ids: Tensor
    """int64 (B, T)."""
    augmented_mask: Tensor
    """int64 (B, T)."""
    masked_ids: Tensor | None
    """int64 (B, T): the original caption with hidden pieces."""
    masked_positions: Tensor | None
    """int64 (B, M): where, then 0."""
    masked_labels: Tensor | None
    """int64 (B, M): the hidden ids, then -100."""
    identity: Tensor
    """int64 (B,): from 0."""

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.identity)

    def to(self, device: torch.device | str) -> TrainingBatch:
        """The batch on a device; from pinned memory the copy does not wait."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> TrainingBatch:
        """The batch in memory that a GPU can copy from by itself; called by torch's loader."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, function: Callable[[Tensor], Tensor]) -> TrainingBatch:
        moved: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            moved[field.name] = None if value is None else function(value)
        return TrainingBatch(**moved)


def collate(samples: Sequence[TrainingSample]) -> TrainingBatch:
    """Stack samples and normalise their images."""
    captions = [sample.caption for sample in samples]
    masked = [caption.masked for caption in captions if caption.masked is not None]
    return TrainingBatch(
        image_weak=_normalized([sample.weak for sample in samples], PIXEL_MEAN, PIXEL_STD),
        image_strong=_strong(samples),
        image_cnn=_cnn(samples),
        original_ids=_stack([caption.original for caption in captions]),
        original_mask=_mask([caption.original_length for caption in captions], captions[0].original),
        augmented_ids=_stack([caption.augmented for caption in captions]),
        augmented_mask=_mask([caption.augmented_length for caption in captions], captions[0].augmented),
        masked_ids=_stack([m.ids for m in masked]) if masked else None,
        masked_positions=_stack([m.positions for m in masked]) if masked else None,
        masked_labels=_stack([m.labels for m in masked]) if masked else None,
        identity=torch.tensor([sample.identity for sample in samples]),
    )


def _strong(samples: Sequence[TrainingSample]) -> Tensor:
    images = _normalized([sample.strong.pixels for sample in samples], PIXEL_MEAN, PIXEL_STD)
    for image, sample in zip(images, samples, strict=True):
        if (box := sample.strong.erased) is not None:
            image[:, box.top : box.top + box.height, box.left : box.left + box.width] = 0.0
    return images


def _cnn(samples: Sequence[TrainingSample]) -> Tensor | None:
    pixels = [sample.cnn for sample in samples if sample.cnn is not None]
    return _normalized(pixels, IMAGENET_MEAN, IMAGENET_STD) if pixels else None


def _normalized(images: Sequence[Pixels], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Images uint8 (H, W, 3) to float32 (B, 3, H, W): `(pixel / 255 - mean) / std` per channel."""
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # (B, 3, H, W)
    values = torch.empty(pixels.shape, dtype=torch.float32).copy_(pixels)
    shape = (1, 3, 1, 1)
    return values.div_(255.0).sub_(torch.tensor(mean).view(shape)).div_(torch.tensor(std).view(shape))


def _stack(arrays: Sequence[NDArray[np.int64]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))


def _mask(lengths: Sequence[int], like: NDArray[np.int64]) -> Tensor:
    """(B, T): 1 before each length."""
    return (torch.arange(len(like)) < torch.tensor(lengths)[:, None]).long()
