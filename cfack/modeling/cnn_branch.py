"""The convolutional branch of cross-knowledge conversion; used in training only."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class CnnBranch(nn.Module):
    """A timm model whose output lies in the embedding space of the encoders."""

    def __init__(self, trunk: nn.Module, projection: nn.Linear | None) -> None:
        """Join a trunk giving (B, F) and a projection to (B, D); None where the trunk's own head gives D."""
        super().__init__()
        self.trunk = trunk
        self.projection = projection

    def forward(self, images: Tensor) -> Tensor:
        """Map CNN views (B, 3, h, w) to (B, D), *not* normalised: the objective decides that (O8)."""
        features = self.trunk(images)
        return cast("Tensor", features if self.projection is None else self.projection(features))

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Pass the choice on to timm, where the trunk knows how."""
        setter = getattr(self.trunk, "set_grad_checkpointing", None)
        if setter is not None:
            setter(enabled)
