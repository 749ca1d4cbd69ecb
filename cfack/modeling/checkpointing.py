"""Gradient checkpointing: activations recomputed in the backward pass to save memory."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_layer(layer: nn.Module, *inputs: Tensor | None, checkpointed: bool) -> Tensor:
    """Call `layer(*inputs)`; while training, keep only its inputs if `checkpointed`."""
    if checkpointed and layer.training:
        return cast("Tensor", checkpoint(layer, *inputs, use_reentrant=False))
    return cast("Tensor", layer(*inputs))
