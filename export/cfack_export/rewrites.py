"""The re-ranker for one text with many images, and for one image with many texts: the same in fewer sums.

Three rewrites, each exact up to rounding:

- One text, many images: layer 0 attends to itself once, and no key or value of an image is ever computed.
  The scores `q (X W_k + b_k)^T` are `(q W_k^T) X^T` and a term that is equal for all tokens of the image,
  which softmax ignores; the values `A (X W_v + b_v)` are `(A X) W_v + b_v`, for the rows of A add up to 1.
  At T tokens a layer costs 4 T H (1+N) C products an image (H heads) and not 2 (1+N) C C: it pays below
  T = C / 2H: 24 tokens of base size need 0.4 of the multiplications of the plain layer.
- One image, many texts: keys and values are computed once, and all texts are one batch of queries.
- The matching head reads token 0 only, so the last layer computes no other.

Modules carry the names of the model they rewrite, so that weights and nodes do too.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from cfack.modeling import CFACK
from cfack.modeling.attention import Attention, additive_mask
from cfack.modeling.fusion_encoder import FusionLayer


class OneTextGraph(nn.Module):
    """The tokens of one text and of many images to match logits."""

    def __init__(self, model: CFACK) -> None:
        super().__init__()
        self.model = _Rewritten(model, FoldedCrossAttention)

    def forward(self, text_tokens: Tensor, attention_mask: Tensor, image_tokens: Tensor) -> tuple[Tensor]:
        """Map (1, T, C), (1, T) and (B, 1+N, C') to match_logits (B, 2)."""
        return (self.model(text_tokens, attention_mask, image_tokens),)


class OneImageGraph(nn.Module):
    """The tokens of many texts and of one image to match logits."""

    def __init__(self, model: CFACK) -> None:
        super().__init__()
        self.model = _Rewritten(model, SharedCrossAttention)

    def forward(self, text_tokens: Tensor, attention_mask: Tensor, image_tokens: Tensor) -> tuple[Tensor]:
        """Map (B, T, C), (B, T) and (1, 1+N, C') to match_logits (B, 2)."""
        return (self.model(text_tokens, attention_mask, image_tokens),)


class FoldedCrossAttention(nn.Module):
    """Cross-attention whose key and value projections are applied to the text's side."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.query, self.key = attention.query, attention.key
        self.value, self.output = attention.value, attention.output

    def forward(self, hidden: Tensor, image: Tensor) -> Tensor:
        """Attend from text (1 or B, T, C) to images (B, 1+N, C'); returns (B, T, C)."""
        heads, width = self.num_heads, image.shape[-1]
        query = _heads_of(self.query(hidden), heads)  # (1 or B, H, T, d)
        query = query * query.shape[-1] ** -0.5
        folded = query @ self.key.weight.view(1, heads, -1, width)  # (1 or B, H, T, C')
        # All heads are rows of one product: an image is read once, not once a head.
        scores = folded.flatten(1, 2) @ image.transpose(1, 2)  # (B, H T, 1+N)
        seen = scores.softmax(dim=-1) @ image  # (B, H T, C')
        seen = seen.unflatten(1, (heads, -1))  # (B, H, T, C')
        value = self.value.weight.view(1, heads, -1, width).transpose(2, 3)  # (1, H, C', d)
        attended = (seen @ value).transpose(1, 2).flatten(2) + self.value.bias  # (B, T, C)
        return self.output(attended)  # type: ignore[no-any-return]  # nn.Module


class SharedCrossAttention(nn.Module):
    """Cross-attention of many texts to one image."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.query, self.key = attention.query, attention.key
        self.value, self.output = attention.value, attention.output

    def forward(self, hidden: Tensor, image: Tensor) -> Tensor:
        """Attend from texts (B, T, C) to an image (1, 1+N, C'); returns (B, T, C)."""
        heads = self.num_heads
        # All texts are rows of one product for each head.
        query = self.query(hidden).flatten(0, 1).unflatten(-1, (heads, -1)).transpose(0, 1)  # (H, B T, d)
        key, value = (_heads_of(part(image), heads).squeeze(0) for part in (self.key, self.value))
        scores = query * query.shape[-1] ** -0.5 @ key.transpose(1, 2)  # (H, B T, 1+N)
        attended = (scores.softmax(dim=-1) @ value).transpose(0, 1).reshape(hidden.shape)  # (B, T, C)
        return self.output(attended)  # type: ignore[no-any-return]  # nn.Module


class _Rewritten(nn.Module):
    """Fusion encoder and matching head."""

    def __init__(
        self, model: CFACK, cross_attention: type[FoldedCrossAttention | SharedCrossAttention]
    ) -> None:
        super().__init__()
        self.fusion_encoder = _FusionEncoder(
            [_FusionLayer(cast(FusionLayer, layer), cross_attention) for layer in model.fusion_encoder.layers]
        )
        self.matching_head = model.matching_head

    def forward(self, text: Tensor, attention_mask: Tensor, image: Tensor) -> Tensor:
        fused = self.fusion_encoder(text, additive_mask(attention_mask, text.dtype), image)
        return self.matching_head(fused[:, 0])  # type: ignore[no-any-return]  # nn.Module


class _FusionEncoder(nn.Module):
    def __init__(self, layers: list[_FusionLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, text: Tensor, mask: Tensor, image: Tensor) -> Tensor:
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            read = text[:, :1] if number == last else text
            text = layer(read, text, mask, image)
        return text


class _FusionLayer(nn.Module):
    def __init__(
        self, layer: FusionLayer, cross_attention: type[FoldedCrossAttention | SharedCrossAttention]
    ) -> None:
        super().__init__()
        self.self_attention = layer.self_attention
        self.self_attention_norm = layer.self_attention_norm
        self.cross_attention = cross_attention(layer.cross_attention)
        self.cross_attention_norm = layer.cross_attention_norm
        self.feed_forward = layer.feed_forward
        self.feed_forward_norm = layer.feed_forward_norm

    def forward(self, read: Tensor, text: Tensor, mask: Tensor, image: Tensor) -> Tensor:
        """Fuse the tokens that will be read (1 or B, t, C), which attend to all of `text` (1 or B, T, C)."""
        read = self.self_attention_norm(read + self.self_attention(read, text, mask))
        read = self.cross_attention_norm(read + self.cross_attention(read, image))
        return self.feed_forward_norm(read + self.feed_forward(read))  # type: ignore[no-any-return]  # nn.Module


def _heads_of(hidden: Tensor, heads: int) -> Tensor:
    """(B, S, C) to (B, H, S, C / H)."""
    batch, length, width = hidden.shape
    return hidden.view(batch, length, heads, width // heads).transpose(1, 2)
