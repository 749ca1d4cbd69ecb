"""The cross-encoder: text tokens that attend to image tokens."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cfack.modeling.attention import Attention, additive_mask
from cfack.modeling.checkpointing import run_layer


class FeedForward(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, intermediate_size: int) -> None:
        super().__init__()
        self.intermediate = nn.Linear(width, intermediate_size)
        self.output = nn.Linear(intermediate_size, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, T, C) to (B, T, C)."""
        return self.output(F.gelu(self.intermediate(hidden)))  # type: ignore[no-any-return]  # nn.Module


class FusionLayer(nn.Module):
    """A post-norm BERT layer with cross-attention to an image between self-attention and feed-forward."""

    def __init__(
        self,
        self_attention: Attention,
        cross_attention: Attention,
        feed_forward: FeedForward,
        *,
        width: int,
        dropout: float,
        layer_norm_eps: float,
    ) -> None:
        super().__init__()
        self.self_attention = self_attention
        self.self_attention_norm = nn.LayerNorm(width, eps=layer_norm_eps)
        self.cross_attention = cross_attention
        self.cross_attention_norm = nn.LayerNorm(width, eps=layer_norm_eps)
        self.feed_forward = feed_forward
        self.feed_forward_norm = nn.LayerNorm(width, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, text: Tensor, mask: Tensor, image: Tensor, image_index: Tensor | None) -> Tensor:
        """Fuse text (B, T, C) under its additive mask (B, 1, 1, T) with an image (B, 1+N, C')."""
        text = self.self_attention_norm(text + self.dropout(self.self_attention(text, text, mask)))
        crossed = self.cross_attention(text, image, context_index=image_index)
        text = self.cross_attention_norm(text + self.dropout(crossed))
        return self.feed_forward_norm(text + self.dropout(self.feed_forward(text)))  # type: ignore[no-any-return]  # nn.Module


class FusionEncoder(nn.Module):
    """The stack of fusion layers."""

    def __init__(self, layers: list[FusionLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.gradient_checkpointing = False

    def forward(
        self,
        text_tokens: Tensor,
        attention_mask: Tensor,
        image_tokens: Tensor,
        image_index: Tensor | None = None,
    ) -> Tensor:
        """Let text attend to images; every image token is valid.

        Args:
            text_tokens: (B, T, C), out of the text encoder.
            attention_mask: (B, T), 1 for a token and 0 for padding.
            image_tokens: (B, 1+N, C'). Either batch may be 1 and then serves every row of the other.
            image_index: (B,) the row of `image_tokens` that belongs to each text; None: row by row. An image
                that many texts share is projected once.

        Returns:
            (B, T, C); token 0 is what the matching head reads.
        """
        mask = additive_mask(attention_mask, text_tokens.dtype)
        for layer in self.layers:
            text_tokens = run_layer(
                layer, text_tokens, mask, image_tokens, image_index, checkpointed=self.gradient_checkpointing
            )
        return text_tokens

    def set_fused_attention(self, enabled: bool) -> None:
        """Choose between torch's fused attention and plain matmul and softmax."""
        for module in self.modules():
            if isinstance(module, Attention):
                module.fused = enabled

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Recompute each layer in the backward pass instead of keeping its activations."""
        self.gradient_checkpointing = enabled
