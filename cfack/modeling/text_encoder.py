"""BERT text encoder: transformers' embeddings and layers, run with an additive mask."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer

from cfack.modeling.attention import additive_mask
from cfack.modeling.checkpointing import run_layer


class TextEncoder(nn.Module):
    """Token embeddings and the text layers; the fusion layers that follow them are a module of their own."""

    def __init__(self, config: BertConfig) -> None:
        """Build the embeddings and `config.num_hidden_layers` layers."""
        super().__init__()
        self.embeddings = BertEmbeddings(config)
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))
        self.gradient_checkpointing = False
        self._bert_config = config

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode token ids.

        Args:
            input_ids: int64 (B, T).
            attention_mask: (B, T), 1 for a token and 0 for padding.

        Returns:
            (B, T, C).
        """
        hidden = self.embeddings(input_ids)  # (B, T, C)
        mask = additive_mask(attention_mask, hidden.dtype)
        for layer in self.layers:
            hidden = run_layer(layer, hidden, mask, checkpointed=self.gradient_checkpointing)
        return hidden  # type: ignore[no-any-return]  # transformers publishes no types

    def set_fused_attention(self, enabled: bool) -> None:
        """Choose between torch's fused attention and plain matmul and softmax."""
        self._bert_config._attn_implementation = "sdpa" if enabled else "eager"

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Recompute each layer in the backward pass instead of keeping its activations."""
        self.gradient_checkpointing = enabled
