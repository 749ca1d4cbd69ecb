"""BEiT-v2 vision encoder: timm's `Beit`, without its classifier."""

from __future__ import annotations

import torch
from timm.models.beit import Beit
from torch import Tensor, nn

from cfack_runtime.errors import UsageError


class VisionEncoder(nn.Module):
    """Patch tokens of an image, led by their mean.

    The blocks see BEiT's class token; behind them it is dropped, the patch tokens are normalised and their
    mean takes its place. Height and width may differ.
    """

    def __init__(self, beit: Beit) -> None:
        super().__init__()
        self.beit = beit

    def forward(self, images: Tensor) -> Tensor:
        """Encode normalised images.

        Args:
            images: float (B, 3, H, W) of the size that the encoder was built for.

        Returns:
            (B, 1+N, C): the mean token, then the N patch tokens in row order.

        Raises:
            UsageError: the images have another size.
        """
        height, width = self.beit.patch_embed.img_size
        if images.shape[-2:] != (height, width):
            raise UsageError(
                f"images of {images.shape[-2]} x {images.shape[-1]} given to a vision encoder for "
                f"{height} x {width} (height x width); resize them first"
            )
        hidden = self.beit.forward_features(images)  # (B, 1+N, C), led by the class token
        patches = self.beit.fc_norm(hidden[:, 1:])  # (B, N, C)
        return torch.cat([patches.mean(dim=1, keepdim=True), patches], dim=1)

    def set_fused_attention(self, enabled: bool) -> None:
        """Choose between torch's fused attention and plain matmul and softmax, which ONNX export needs."""
        for block in self.beit.blocks:
            block.attn.fused_attn = enabled

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Recompute each block in the backward pass instead of keeping its activations."""
        self.beit.set_grad_checkpointing(enabled)
