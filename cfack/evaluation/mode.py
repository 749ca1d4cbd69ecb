"""Running a model without training it, and leaving it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch dropout and gradients off inside the block; every module gets its own mode back afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        # Not inference mode: what a module may cache inside the block must stay usable in training.
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
