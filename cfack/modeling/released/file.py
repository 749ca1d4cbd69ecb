"""A checkpoint file of the released code: a state dict, and often the configuration of its training."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from cfack.modeling import safe_pickle
from cfack_runtime.errors import CheckpointError

_CFACK_PREFIXES = ("vision_encoder_m.", "text_encoder_m.", "cnn_encoder.", "pret_model.", "classifier.")
_CFACK_FLAGS = ("use_momentum", "use_cnn_feats", "use_sdm", "use_id_loss")


@dataclass(frozen=True)
class ReleasedFile:
    """The content of one file."""

    path: Path
    state: dict[str, Tensor]
    """Floating-point tensors are float32."""
    config: dict[str, Any]
    """Empty where the file holds none."""

    @property
    def is_cfack(self) -> bool:
        """Whether it was written by CFACK's training, and not by X²-VLM's pre-training."""
        return any(flag in self.config for flag in _CFACK_FLAGS) or any(
            key.startswith(_CFACK_PREFIXES) for key in self.state
        )


def read_released_file(path: str | Path) -> ReleasedFile:
    """Read `{"model": state_dict, "config": dict}`, or a bare state dict.

    Raises:
        CheckpointError: see `safe_pickle.load`; or the file holds no state dict.
    """
    path = Path(path)
    content = safe_pickle.load(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}; expected a dict with a state dict in it"
        )
    state = content.get("model", content)
    if not isinstance(state, Mapping) or not state or not all(isinstance(key, str) for key in state):
        raise CheckpointError(f'{path}: expected a state dict under "model", found {_describe(state)}')
    strangers = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if strangers:
        raise CheckpointError(
            f"{path}: expected tensors only in the state dict, but {strangers[0]!r} is "
            f"{_describe(state[strangers[0]])}. The file with the weights is model_state_epoch_best.th"
        )
    return ReleasedFile(
        path, {key: _as_float32(value) for key, value in state.items()}, _config(path, content)
    )


def _config(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    config = {} if "model" not in content else content.get("config")
    if config is None:
        return {}
    if isinstance(config, argparse.Namespace):
        return dict(vars(config))
    if not isinstance(config, Mapping):
        raise CheckpointError(f'{path}: expected a dict under "config", found {_describe(config)}')
    return dict(config)


def _as_float32(tensor: Tensor) -> Tensor:
    return tensor.detach().float() if tensor.is_floating_point() else tensor.detach()


def _describe(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a dict with the keys {', '.join(map(repr, list(value)[:5]))}" if value else "an empty dict"
    return f"a {type(value).__name__}"
