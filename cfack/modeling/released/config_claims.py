"""The geometry that a released configuration states, or that a known name in it stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from cfack.config import load_config
from cfack.modeling.released.claims import Claim
from cfack.modeling.released.patch_grid import image_sides
from cfack_runtime.errors import ConfigError

GEOMETRY_KEYS = frozenset(
    {"image_res", "patch_size", "vision_config", "vision"}
    | {"text_encoder", "text", "text_num_hidden_layers", "text_fusion_start_at"}
    | {"embed_dim", "mlm", "use_momentum", "use_id_loss", "num_classes", "use_cnn_feats", "cnn_net", "cnn"}
)
"""Keys of a released configuration that are read here; the others say how to train."""

_VISION_KEYS = {
    "embed_dim": "vision.width",
    "depth": "vision.depth",
    "num_heads": "vision.num_heads",
    "mlp_ratio": "vision.mlp_ratio",
    "patch_size": "vision.patch_size",
    "drop_path_rate": "vision.drop_path_rate",
    "init_values": "vision.init_values",
    "layer_norm_eps": "vision.layer_norm_eps",
}
_TEXT_KEYS = {
    "hidden_size": "text.width",
    "num_attention_heads": "text.num_heads",
    "intermediate_size": "text.intermediate_size",
    "vocab_size": "text.vocab_size",
    "max_position_embeddings": "text.max_positions",
    "hidden_dropout_prob": "text.dropout",
    "layer_norm_eps": "text.layer_norm_eps",
}
_TEXT_DEPTH_KEYS = {"num_hidden_layers", "fusion_layer"}
_NAMED_VISION = ("width", "depth", "num_heads", "mlp_ratio", "drop_path_rate", "init_values")
_NAMED_TEXT = ("width", "num_heads", "intermediate_size")
_PRESET_OF_SIZE = {"base": "base-384", "large": "large-384"}


def claims_of_config(config: Mapping[str, Any], place: str) -> Iterator[Claim]:
    """What a configuration says about the geometry; a key that is absent says nothing.

    A table `vision` or `text` with numbers counts instead of a name under `vision_config` or `text_encoder`.

    Args:
        config: the released keys, and those tables.
        place: what messages call the configuration.

    Raises:
        ConfigError: a table holds an unknown key.
    """
    flags = {"patch_size": "vision.patch_size", "embed_dim": "embed_dim", "mlm": "mlm"}
    flags |= {"use_momentum": "momentum", "use_cnn_feats": "cnn"}
    for key, path in flags.items():
        if key in config:
            yield Claim(path, config[key], f"{key} in {place}")
    yield from _claims_of_image_res(config, f"image_res in {place}")
    yield from _claims_of_layers(
        config.get("text_num_hidden_layers"),
        config.get("text_fusion_start_at"),
        f"text_fusion_start_at in {place}",
    )
    if config.get("use_id_loss") is True and "num_classes" in config:
        yield Claim("num_identities", config["num_classes"], f"num_classes in {place}")
    elif config.get("use_id_loss") is False:
        yield Claim("num_identities", 0, f"use_id_loss in {place}")
    yield from _claims_of_vision(config, place)
    yield from _claims_of_text(config, place)


def _claims_of_vision(config: Mapping[str, Any], place: str) -> Iterator[Claim]:
    if "vision" not in config:
        yield from _claims_of_name(config, "vision_config", "vision", _NAMED_VISION, place)
        return
    part = _part(config, "vision", {*_VISION_KEYS, "image_res"})
    for key in part.keys() & _VISION_KEYS.keys():
        yield Claim(_VISION_KEYS[key], part[key], f"vision.{key} in {place}")
    yield from _claims_of_image_res(part, f"vision.image_res in {place}")


def _claims_of_text(config: Mapping[str, Any], place: str) -> Iterator[Claim]:
    if "text" not in config:
        yield from _claims_of_name(config, "text_encoder", "text", _NAMED_TEXT, place)
        return
    part = _part(config, "text", {*_TEXT_KEYS, *_TEXT_DEPTH_KEYS})
    for key in part.keys() & _TEXT_KEYS.keys():
        yield Claim(_TEXT_KEYS[key], part[key], f"text.{key} in {place}")
    source = f"text.fusion_layer in {place}"
    yield from _claims_of_layers(part.get("num_hidden_layers"), part.get("fusion_layer"), source)


def _claims_of_image_res(config: Mapping[str, Any], source: str) -> Iterator[Claim]:
    if "image_res" in config:
        for side, value in zip(("height", "width"), image_sides(config["image_res"]), strict=True):
            yield Claim(f"vision.image_{side}", value, source)


def _claims_of_layers(total: Any, start: Any, source: str) -> Iterator[Claim]:
    if start is not None:
        yield Claim("text.num_text_layers", start, source)
    if isinstance(total, int) and isinstance(start, int):
        yield Claim("text.num_fusion_layers", total - start, f"{source} and the number of hidden layers")


def _claims_of_name(
    config: Mapping[str, Any],
    key: str,
    section: str,
    fields: tuple[str, ...],
    place: str,
) -> Iterator[Claim]:
    """The numbers behind a known name such as configs/config_beit2_base.json; nothing behind another."""
    name = PurePosixPath(str(config.get(key, ""))).name
    size = next((size for size in _PRESET_OF_SIZE if re.search(rf"(^|[-_]){size}([-_.]|$)", name)), None)
    if size is None:
        return
    known = getattr(load_config(_PRESET_OF_SIZE[size]).model, section)
    for field in fields:
        yield Claim(f"{section}.{field}", getattr(known, field), f"{key} = {name!r} in {place}")


def _part(config: Mapping[str, Any], key: str, known: set[str]) -> Mapping[str, Any]:
    part = config[key]
    if not isinstance(part, Mapping):
        raise ConfigError(f"{key}: expected a table of keys, got {part!r}")
    unknown = sorted(set(part) - known)
    if unknown:
        raise ConfigError(f"unknown key {key}.{unknown[0]}; known here: {', '.join(sorted(known))}")
    return part
