"""The image encoder as it is exported: the same function with fewer passes over its activations.

Each rewrite is exact up to rounding:

- Query, key and value are products of their own, where timm cuts one wide product apart and copies it.
- The scale of the query is in its weights, and the gains of a block are in the weights in front of them.
- The rows of a softmax add up to 1, so the bias of the values goes through attention as it is, and from there
  into the bias of the projection. BEiT's keys have none.

Modules carry the names of the model they rewrite, so that weights and nodes do too.
"""

from __future__ import annotations

import copy

import torch
from timm.models.beit import Attention, Block
from torch import Tensor, nn

from cfack.modeling.vision_encoder import VisionEncoder


def rewrite_vision_encoder(encoder: VisionEncoder) -> VisionEncoder:
    """Copy an encoder with rewritten blocks; the model keeps its own, and shares what is not changed."""
    rewritten, beit = copy.copy(encoder), copy.copy(encoder.beit)
    blocks = nn.ModuleList(_RewrittenBlock(block) for block in encoder.beit.blocks)
    beit._modules = {**encoder.beit._modules, "blocks": blocks}
    rewritten._modules = {**encoder._modules, "beit": beit}
    return rewritten


class _RewrittenBlock(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.attn = _RewrittenAttention(block.attn, block.gamma_1)
        self.mlp = copy.copy(block.mlp)
        last = block.mlp.fc2
        self.mlp._modules = {**block.mlp._modules, "fc2": _linear(last.weight, last.bias, block.gamma_2)}

    def forward(self, hidden: Tensor, shared_rel_pos_bias: Tensor | None = None) -> Tensor:
        """Map (B, 1+N, C) to the same shape; biases shared by blocks are not used by this model."""
        assert shared_rel_pos_bias is None
        hidden = hidden + self.attn(self.norm1(hidden))
        return hidden + self.mlp(self.norm2(hidden))  # type: ignore[no-any-return]  # nn.Module


class _RewrittenAttention(nn.Module):
    def __init__(self, attention: Attention, gain: Tensor | None) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        query, key, value = attention.qkv.weight.chunk(3)
        self.query = _linear(query * attention.scale, attention.q_bias * attention.scale)
        self.key = _linear(key)
        self.value = _linear(value)
        bias = attention.proj.bias + attention.proj.weight @ attention.v_bias
        self.proj = _linear(attention.proj.weight, bias, gain)
        self.relative_position_bias_table = attention.relative_position_bias_table
        self.relative_position_index = attention.relative_position_index

    def forward(self, hidden: Tensor) -> Tensor:
        """Attend among (B, 1+N, C)."""
        query, key, value = (self._heads(part(hidden)) for part in (self.query, self.key, self.value))
        scores = query @ key.transpose(-2, -1) + self._position_bias()  # (B, H, 1+N, 1+N)
        attended = (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)  # (B, 1+N, C)
        return self.proj(attended)  # type: ignore[no-any-return]  # nn.Module

    def _heads(self, hidden: Tensor) -> Tensor:
        """(B, 1+N, C) to (B, H, 1+N, C / H)."""
        batch, length, width = hidden.shape
        return hidden.view(batch, length, self.num_heads, width // self.num_heads).transpose(1, 2)

    def _position_bias(self) -> Tensor:
        """(1, H, 1+N, 1+N)."""
        index = self.relative_position_index
        bias = self.relative_position_bias_table[index.view(-1)].view(*index.shape, -1)
        return bias.permute(2, 0, 1).contiguous().unsqueeze(0)  # type: ignore[no-any-return]  # nn.Module


@torch.no_grad()
def _linear(weight: Tensor, bias: Tensor | None = None, gain: Tensor | None = None) -> nn.Linear:
    """A layer with these weights (out, in) and bias (out,), its result multiplied with a gain (out,)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter((weight if gain is None else weight * gain[:, None]).detach())
    if bias is not None:
        layer.bias = nn.Parameter((bias if gain is None else bias * gain).detach())
    return layer
