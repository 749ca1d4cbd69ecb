"""AdamW and its parameter groups: which learning rate a parameter has, and whether it decays.

Two groupings exist. The clean one goes by a parameter's role: only matrices and convolution kernels decay.
The released one (O14) goes by substrings of the released names, and so decays a LayerNorm, layer scales and
the class token; it is kept for training that must match the released code.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cfack.config import ExperimentConfig, OptimizerConfig

PART_OF_PREFIX = {"vision_encoder": "vision", "text_encoder": "text", "fusion_encoder": "fusion"}
"""Modules with a learning rate of their own; everything else is a head."""

RELEASED_PART_OF_PREFIX = {
    "vision_encoder": "vision",
    "text_encoder": "text",
    "fusion_encoder": "text",  # the upper layers of the released text encoder
    "mlm_head": "text",  # text_encoder.cls there
}

RELEASED_NO_DECAY = ("bias", "LayerNorm.weight", "norm.weight", "norm1.weight", "norm2.weight")
"""Substrings of a name that switch decay off in the released code. Ours differ from the released names
where one of these would match in the layers of `RELEASED_DECAYED` alone."""

RELEASED_DECAYED = ("matching_head.norm.weight",)
"""Called itm_head.1.weight there, which no substring matches."""

POSITION_BIAS = "relative_position_bias_table"
"""End of the names of relative-position tables."""

NOT_MATRICES = ("cls_token", "pos_embed", POSITION_BIAS)
"""Ends of names whose tensors have several axes and are no weight of a linear map."""


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate and a decay."""

    learning_rate: float
    weight_decay: float
    names: tuple[str, ...]


def parameter_groups(
    model: nn.Module, config: ExperimentConfig, new_parameters: Collection[str] = ()
) -> list[ParameterGroup]:
    """Sort every trainable parameter into one group.

    Args:
        model: a CFACK model; parameters without gradient (momentum encoders) are left out.
        config: its `optimizer` table, and the switches O7 (temperature) and O14 (grouping).
        new_parameters: names that the starting checkpoint did not hold.

    Returns:
        Groups in the order in which their first parameter appears; names in the model's order.
    """
    released = config.switches.released_parameter_groups
    new = set(new_parameters) if released else _new_parameters(new_parameters, config)
    names: dict[tuple[float, float], list[str]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name == "temperature":
            decays = config.switches.temperature_as_released
        else:
            decays = _decays_as_released(name) if released else _decays(name, parameter)
        prefixes = RELEASED_PART_OF_PREFIX if released else PART_OF_PREFIX
        part = prefixes.get(name.split(".")[0], "head")
        rate = _learning_rate(part, config.optimizer, is_new=name in new, released=released)
        if name.endswith(POSITION_BIAS):
            rate *= config.optimizer.position_bias_factor
        decay = config.optimizer.weight_decay if decays else 0.0
        names.setdefault((rate, decay), []).append(name)
    return [ParameterGroup(rate, decay, tuple(group)) for (rate, decay), group in names.items()]


def build_optimizer(
    model: nn.Module, groups: list[ParameterGroup], config: OptimizerConfig
) -> torch.optim.AdamW:
    """AdamW over the groups; each keeps its full learning rate as `base_lr` for the schedule."""
    parameters = dict(model.named_parameters())
    tables = [
        {
            "params": [parameters[name] for name in group.names],
            "lr": group.learning_rate,
            "base_lr": group.learning_rate,
            "weight_decay": group.weight_decay,
        }
        for group in groups
    ]
    on_gpu = all(parameter.is_cuda for parameter in parameters.values())
    return torch.optim.AdamW(
        tables, betas=(config.beta1, config.beta2), eps=config.eps, fused=True if on_gpu else None
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's learning rate to its full one times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def _learning_rate(part: str, config: OptimizerConfig, *, is_new: bool, released: bool) -> float:
    text = _first(config.text_learning_rate, config.learning_rate)
    rate = {
        "vision": _first(config.vision_learning_rate, config.learning_rate),
        "text": text,
        "fusion": _first(config.fusion_learning_rate, text),
        "head": config.learning_rate,
    }[part]
    # In the released code the first rule that matches a name wins, so an encoder's parameter is never new.
    counts_as_new = is_new and (part == "head" or not released)
    return rate * config.new_parameter_factor if counts_as_new else rate


def _new_parameters(missing: Collection[str], config: ExperimentConfig) -> set[str]:
    """A pretrained CNN trunk is missing in the checkpoint, but is not new."""
    pretrained = config.model.cnn is not None and config.model.cnn.pretrained
    return {name for name in missing if not (pretrained and name.startswith("cnn_branch.trunk."))}


def _decays(name: str, parameter: Tensor) -> bool:
    return parameter.ndim >= 2 and not name.endswith(NOT_MATRICES)


def _decays_as_released(name: str) -> bool:
    return name in RELEASED_DECAYED or not any(part in name for part in RELEASED_NO_DECAY)


def _first(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
