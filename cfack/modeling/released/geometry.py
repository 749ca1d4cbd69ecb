"""The geometry of a released checkpoint, out of its weights and its configuration.

Almost every number can be read off a weight. The heads of BERT cannot: they come from a known name
(`bert-base`, `bert-large`) or from a configuration that is given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from cfack.config import ExperimentConfig
from cfack.config.released import translate_released
from cfack.config.toml import from_mapping
from cfack.modeling.released.claims import settle
from cfack.modeling.released.config_claims import GEOMETRY_KEYS, claims_of_config
from cfack.modeling.released.patch_grid import source_grid
from cfack.modeling.released.weight_claims import claims_of_grid, claims_of_weights
from cfack_runtime.errors import CheckpointError

REMEDY = (
    "Give with --config FILE.json what the file does not say. Where a known name does not fit, "
    '{"vision": {}, "text": {"num_attention_heads": N}} is enough: the rest is read off the weights '
    "(docs/checkpoints.md lists the keys)"
)

_FLAGS = ("mlm", "use_momentum", "use_cnn_feats", "use_id_loss")
"""Which parts a checkpoint has; the configuration inside a file knows that better than a given one."""

_SECTION_NAMES = {"vision": "vision_config", "text": "text_encoder"}
"""Table of numbers -> the key that may name a known size instead."""


def released_experiment(
    state: Mapping[str, Tensor], config: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[ExperimentConfig, list[str]]:
    """The experiment that a released CFACK checkpoint belongs to.

    Args:
        state: its tensors, under the released keys.
        config: the configuration inside the file; may be empty.
        given: the keys of `--config`. Its numbers must agree with those of `config`; its tables `vision` and
            `text` stand in for the names there; its flags count where `config` has none; any other key
            overrides.

    Returns:
        The configuration, and a note for each key of it that is not used.

    Raises:
        CheckpointError: weights and configuration contradict each other (all contradictions, each with both
            sources), or the number of BERT's heads is nowhere.
        ConfigError: a key of `given` is unknown, or a value has the wrong type.
    """
    claims = list(claims_of_weights(state))
    claims += claims_of_config(_without_superseded(config, given), "the file's own configuration")
    claims += claims_of_config(_without_settled_flags(given, config), "--config")
    if not any(claim.path == "vision.image_height" for claim in claims):
        claims += claims_of_grid(source_grid(state, {}), state, "the position table, which is square")
    try:
        facts = settle(claims)
    except CheckpointError as error:
        raise CheckpointError(f"{error}\n{REMEDY}") from error
    if "text.num_heads" not in facts:
        raise CheckpointError(
            "the number of attention heads of BERT (text.num_attention_heads) is in no weight, and the "
            f"configuration has no known name (bert-base, bert-large) under text_encoder. {REMEDY}"
        )
    merged = {**config, **given}
    training = {key: value for key, value in merged.items() if key not in GEOMETRY_KEYS | {"image_root"}}
    table, notes = translate_released(training, "configuration of the checkpoint")
    notes += [
        f"{flag} = {given[flag]} in --config gives way to {config[flag]} in the file's own configuration"
        for flag in _FLAGS
        if flag in given and config.get(flag, given[flag]) != given[flag]
    ]
    model = table.setdefault("model", {})
    model["cnn"] = _cnn_table(merged, state) if facts.pop("cnn", False) else False
    for path, value in facts.items():
        *section, key = path.split(".")
        (model.setdefault(section[0], {}) if section else model)[key] = value
    return from_mapping(ExperimentConfig, table, "configuration of the checkpoint"), notes


def _without_superseded(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    dropped = {key for pair in _SECTION_NAMES.items() if any(key in given for key in pair) for key in pair}
    return {key: value for key, value in config.items() if key not in dropped}


def _without_settled_flags(given: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key not in _FLAGS or key not in config}


def _cnn_table(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The CNN branch; its timm name is in no weight."""
    described = re.match(r"[\w.-]+", str(config.get("cnn") or config.get("cnn_net") or ""))
    if described is None:
        raise CheckpointError(
            "the file holds a CNN branch (cnn_encoder.*), but no configuration names it; give its timm name "
            'with --config FILE.json: {"cnn_net": "convnext_base.fb_in22k_ft_in1k"}'
        )
    linear = any(key.startswith("pret_model.") for key in state)
    return {"name": described[0], "head": "linear" if linear else "timm", "pretrained": False}
