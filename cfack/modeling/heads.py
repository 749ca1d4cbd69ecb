"""Heads on the fused tokens: does the text match the image, and which word was masked."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MatchingHead(nn.Module):
    """Two logits for a fused pair: 0 "does not match", 1 "matches"."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(2 * width)
        self.output = nn.Linear(2 * width, 2)

    def forward(self, fused: Tensor) -> Tensor:
        """Map fused [CLS] tokens (B, C) to logits (B, 2)."""
        return self.output(F.gelu(self.norm(self.dense(fused))))  # type: ignore[no-any-return]  # nn.Module


class MaskedLanguageHead(nn.Module):
    """BERT's masked-language-model head; its decoder is the word embedding of the text encoder."""

    def __init__(self, width: int, vocab_size: int, layer_norm_eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden: Tensor, word_embeddings: Tensor) -> Tensor:
        """Predict words.

        Args:
            hidden: (..., C) fused tokens at masked positions.
            word_embeddings: (V, C) weight of the text encoder's word embedding.

        Returns:
            (..., V) logits.
        """
        return F.linear(self.norm(F.gelu(self.dense(hidden))), word_embeddings, self.bias)
