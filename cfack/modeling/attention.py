"""Multi-head attention of the fusion layers, and the masks of all text attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MASKED_SCORE = -10000.0
"""Added to the scores of padding: large enough to vanish in softmax, and finite in float16."""


def additive_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a mask of ones and zeros into one that is added to attention scores.

    Args:
        attention_mask: (B, T), 1 for a token and 0 for padding.
        dtype: of the scores.

    Returns:
        (B, 1, 1, T): 0 for a token, `MASKED_SCORE` for padding.
    """
    return ((1.0 - attention_mask.to(dtype)) * MASKED_SCORE)[:, None, None, :]


class Attention(nn.Module):
    """Scaled dot-product attention with separate projections, for self- and cross-attention.

    Either side may have a batch of one, which then serves every row of the other.
    """

    def __init__(self, width: int, context_width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.fused = True
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(context_width, width)
        self.value = nn.Linear(context_width, width)
        self.output = nn.Linear(width, width)

    def forward(
        self, hidden: Tensor, context: Tensor, mask: Tensor | None = None, context_index: Tensor | None = None
    ) -> Tensor:
        """Attend from `hidden` to `context`.

        Args:
            hidden: (B, T, C) queries.
            context: (B, S, C') keys and values; `hidden` itself for self-attention.
            mask: (B, 1, 1, S) added to the scores.
            context_index: (B,) the row of `context` that each row of `hidden` attends to; keys and values
                are then computed once for each row of `context`, however often it is used. None: row by row.

        Returns:
            (B, T, C).
        """
        query = self._split(self.query(hidden))  # (B, heads, T, C / heads)
        key, value = self.key(context), self.value(context)  # (B, S, C)
        if context_index is not None:
            key, value = key.index_select(0, context_index), value.index_select(0, context_index)
        attended = self._attend(query, self._split(key), self._split(value), mask)
        return self.output(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]  # nn.Module

    def _split(self, hidden: Tensor) -> Tensor:
        return hidden.view(*hidden.shape[:2], self.num_heads, -1).transpose(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        if self.fused:
            if query.shape[0] != key.shape[0]:  # the fused kernels do not broadcast over the batch
                batch = max(query.shape[0], key.shape[0])
                query, key, value = (part.expand(batch, -1, -1, -1) for part in (query, key, value))
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        scores = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)  # (B, heads, T, S)
        if mask is not None:
            scores = scores + mask
        return F.dropout(scores.softmax(dim=-1), dropout) @ value
