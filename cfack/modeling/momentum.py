"""Momentum copies of the encoders: exponential moving averages of their weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cfack.modeling.projection import embed

if TYPE_CHECKING:
    from cfack.modeling.cfack import CFACK

_COPIED = ("vision_encoder", "text_encoder", "vision_projection", "text_projection")


class MomentumEncoders(nn.Module):
    """Both encoders and their projections, following the online ones; never trained by gradients."""

    def __init__(
        self,
        vision_encoder: nn.Module,
        text_encoder: nn.Module,
        vision_projection: nn.Module,
        text_projection: nn.Module,
    ) -> None:
        """Deep-copy the online modules."""
        super().__init__()
        self.vision_encoder = copy.deepcopy(vision_encoder)
        self.text_encoder = copy.deepcopy(text_encoder)
        self.vision_projection = copy.deepcopy(vision_projection)
        self.text_projection = copy.deepcopy(text_projection)
        self.requires_grad_(False)

    @torch.no_grad()
    def embed_image(self, images: Tensor) -> Tensor:
        """Embed normalised images (B, 3, H, W) as (B, D), without gradient."""
        return embed(self.vision_projection, self.vision_encoder(images))

    @torch.no_grad()
    def embed_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed token ids (B, T) under their mask as (B, D), without gradient."""
        return embed(self.text_projection, self.text_encoder(input_ids, attention_mask))

    @torch.no_grad()
    def update(self, model: CFACK, coefficient: float) -> None:
        """Move towards the online weights in place: `m <- coefficient * m + (1 - coefficient) * online`."""
        torch._foreach_lerp_(_weights(self), _weights(model), 1.0 - coefficient)


def _weights(module: nn.Module) -> list[Tensor]:
    """What is averaged, in the same order for the copies and for the model."""
    return [weight for name in _COPIED for weight in getattr(module, name).parameters()]
