"""Which view of an image and which caption each encoder gets (O1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from cfack.data.batch import TrainingBatch


@dataclass(frozen=True)
class AssignedViews:
    """Inputs of the online and of the momentum encoders."""

    image: Tensor
    """(B, 3, H, W) for the online vision encoder."""
    ids: Tensor
    """(B, T) for the online text encoder."""
    mask: Tensor
    """(B, T) of `ids`."""
    momentum_image: Tensor
    momentum_ids: Tensor
    momentum_mask: Tensor


def assign_views(batch: TrainingBatch, views: str, momentum: bool) -> AssignedViews:
    """Distribute the views of a batch.

    Args:
        batch: holds the weak and the strong view, the original and the augmented caption.
        views: "code": the online encoders get the strong view and the augmented caption, as in the released
            code; "figure": the weak view and the original caption, as in the paper's figure.
        momentum: whether there are momentum encoders. Without them the released code gives the online ones
            the weak view and the augmented caption, whatever `views` says.
    """
    original = (batch.original_ids, batch.original_mask)
    augmented = (batch.augmented_ids, batch.augmented_mask)
    if not momentum:
        return AssignedViews(batch.image_weak, *augmented, batch.image_strong, *original)
    if views == "code":
        return AssignedViews(batch.image_strong, *augmented, batch.image_weak, *original)
    return AssignedViews(batch.image_weak, *original, batch.image_strong, *augmented)
