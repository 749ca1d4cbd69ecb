"""Reading the YAML configurations of the released code as they are.

Every key is translated or reported with the reason why it is not used, unknown ones included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from cfack.config.experiment import ExperimentConfig
from cfack.config.toml import from_mapping, load_config
from cfack_runtime.errors import ConfigError

LINEAR_HEAD_CNN = "convnext_base.fb_in22k_ft_in1k"
"""The one CNN to which the released code adds a linear layer; any other keeps its own classifier."""

_LARGE: dict[str, dict[str, float]] = {
    "vision": {"width": 1024, "depth": 24, "num_heads": 16, "init_values": 1e-5},
    "text": {"width": 1024, "num_heads": 16, "intermediate_size": 4096},
}

_TEXT_AUGMENTATIONS = {
    "eda": "eda",
    "none": "none",
    "": "none",
    "backtranslate": "back-translation",
    "back_translation": "back-translation",
    "backtranslation": "back-translation",
}

# Keys whose value goes to one place unchanged but for its type: released key -> (type, our path).
_DIRECT: dict[str, tuple[type, str]] = {
    "patch_size": (int, "model.vision.patch_size"),
    "embed_dim": (int, "model.embed_dim"),
    "use_momentum": (bool, "model.momentum"),
    "momentum": (float, "loss.momentum"),
    "temp": (float, "model.temperature"),
    "text_tokenizer": (str, "model.text.tokenizer"),
    "batch_size_train": (int, "data.batch_size"),
    "batch_size_test": (int, "data.eval_batch_size"),
    "accumulate_steps": (int, "train.accumulate_steps"),
    "max_tokens": (int, "model.text.max_tokens"),
    "k_test": (int, "train.rerank"),
    "mlm": (bool, "model.mlm"),
    "mask_prob": (float, "augment.mask_probability"),
    "max_masks": (int, "augment.max_masks"),
    "skipgram_prb": (float, "augment.skip_gram_probability"),
    "skipgram_size": (int, "augment.skip_gram_size"),
    "erasing_p": (float, "augment.erasing_probability"),
    "eval_epoch": (int, "train.eval_every"),
    "optimizer.lr": (float, "optimizer.learning_rate"),
    "optimizer.vision_lr": (float, "optimizer.vision_learning_rate"),
    "optimizer.text_lr": (float, "optimizer.text_learning_rate"),
    "optimizer.cross_lr": (float, "optimizer.fusion_learning_rate"),
    "optimizer.weight_decay": (float, "optimizer.weight_decay"),
    "optimizer.lr_mult": (float, "optimizer.new_parameter_factor"),
    "schedular.sched": (str, "schedule.name"),
    "schedular.epochs": (int, "schedule.epochs"),
    "schedular.num_warmup_steps": (float, "schedule.warmup_fraction"),
    "schedular.min_rate": (float, "schedule.min_rate"),
}

# Keys that the released code itself never reads, or that mean nothing here.
_UNUSED = {
    "use_mask": "the masked vision transformer never worked (O30)",
    "use_cross_aug": "it calls methods that do not exist (O20)",
    "cross_prob": "part of use_cross_aug (O20)",
    "cross_gene": "part of use_cross_aug (O20)",
    "cross_kernel_size": "part of use_cross_aug (O20)",
    "cross_max_features": "part of use_cross_aug (O20)",
    "max_words": "captions are cut by max_tokens; the released code never reads it (O30)",
    "num_dec_layers": "never read by the released code (O30)",
    "large_lr_for_dec": "never read by the released code (O30)",
    "batch_size_test_text": "never read by the released code (O30)",
    "weak_pos_pair_probability": "never read by the released code (O30)",
    "alpha": "never read by the released code (O30)",
    "mask_whole_word": "whole words are always masked, as every released configuration asks",
    "num_classes": "counted in the training split (O18)",
    "optimizer.opt": "AdamW is the only optimiser",
    "schedular.lr": "the optimiser's learning rate is used",
    "train_file": "the data folder holds train.json",
    "val_file": "the data folder holds val.json; the released files name the test split here (O13), "
    "which `--select-on test` asks for",
    "test_file": "the data folder holds test.json",
    "use_beit_v2": "BEiT-v2 is the only vision encoder",
    "text_num_hidden_layers": "read with text_fusion_start_at",
}


def load_any_config(source: str | Path) -> tuple[ExperimentConfig, list[str]]:
    """Read a preset, a TOML file or a released YAML file.

    Returns:
        The configuration, and for a YAML file one note for each key that is not used.

    Raises:
        ConfigError: no such file, or any wrong key or value, all at once.
    """
    if Path(source).suffix.lower() not in (".yaml", ".yml"):
        return load_config(source), []
    return load_released(Path(source))


def load_released(path: Path) -> tuple[ExperimentConfig, list[str]]:
    """Translate one released YAML file; see `load_any_config`."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of keys, got {type(content).__name__}")
    table, notes = translate_released(content, str(path))
    return from_mapping(ExperimentConfig, table, str(path)), notes


def translate_released(content: Mapping[str, Any], name: str) -> tuple[dict[str, Any], list[str]]:
    """Our nested tables from the released keys, and the notes on keys that are not used.

    Raises:
        ConfigError: lists every value of the wrong type.
    """
    flat = _flatten(content)
    table: dict[str, Any] = {}
    notes: list[str] = []
    faults: list[str] = []
    _translate_combined(flat, table, faults)
    for key, value in flat.items():
        if key in _DIRECT:
            kind, path = _DIRECT[key]
            try:
                _put(table, path, _coerce(kind, value))
            except (TypeError, ValueError):
                faults.append(f"{key}: expected {kind.__name__}, got {value!r}")
        elif key in _UNUSED:
            notes.append(f"{key} is not used: {_UNUSED[key]}")
        elif key not in _COMBINED:
            notes.append(f"{key} is not used: no released or present code knows it")
    if faults:
        raise ConfigError(f"{name}:\n" + "\n".join(f"  - {fault}" for fault in faults))
    return table, notes


def _image_size(value: Any, table: dict[str, Any], flat: Mapping[str, Any]) -> None:
    side = _coerce(int, value)
    _put(table, "model.vision.image_height", side)
    _put(table, "model.vision.image_width", side)


def _vision_size(value: Any, table: dict[str, Any], flat: Mapping[str, Any]) -> None:
    if "large" in PurePosixPath(str(value)).name:
        for key, number in _LARGE["vision"].items():
            _put(table, f"model.vision.{key}", number)
    elif "base" not in PurePosixPath(str(value)).name:
        raise ValueError("only BEiT-v2 base and large are known by name; write a TOML file for another size")


def _text_size(value: Any, table: dict[str, Any], flat: Mapping[str, Any]) -> None:
    if "large" in PurePosixPath(str(value)).name:
        for key, number in _LARGE["text"].items():
            _put(table, f"model.text.{key}", number)
    elif "base" not in PurePosixPath(str(value)).name:
        raise ValueError("only BERT base and large are known by name; write a TOML file for another size")


def _fusion_start(value: Any, table: dict[str, Any], flat: Mapping[str, Any]) -> None:
    start = _coerce(int, value)
    layers = _coerce(int, flat.get("text_num_hidden_layers", 18))
    if not 0 < start < layers:
        raise ValueError(f"must lie between 1 and text_num_hidden_layers - 1 = {layers - 1}")
    _put(table, "model.text.num_text_layers", start)
    _put(table, "model.text.num_fusion_layers", layers - start)


def _cnn(value: Any, table: dict[str, Any], flat: Mapping[str, Any]) -> None:
    if not _coerce(bool, value):
        _put(table, "model.cnn", False)
        return
    name = str(flat.get("cnn_net", LINEAR_HEAD_CNN))
    _put(table, "model.cnn.name", name)
    _put(table, "model.cnn.head", "linear" if name == LINEAR_HEAD_CNN else "timm")


def _cnn_name(value: Any, table: dict[str, Any], flat: Mapping[str, Any]) -> None:
    """Read together with use_cnn_feats, which also says whether it counts."""


def _sdm(value: Any, table: dict[str, Any], flat: Mapping[str, Any]) -> None:
    _put(table, "loss.pairs", "sdm" if _coerce(bool, value) else "contrastive")


def _identity(value: Any, table: dict[str, Any], flat: Mapping[str, Any]) -> None:
    # Any positive number asks for the loss; training puts the count of its split here.
    _put(table, "model.num_identities", 1 if _coerce(bool, value) else 0)


def _text_augment(value: Any, table: dict[str, Any], flat: Mapping[str, Any]) -> None:
    name = str(value or "").lower()
    if name not in _TEXT_AUGMENTATIONS:
        raise ValueError(f"known here: {', '.join(sorted(filter(None, _TEXT_AUGMENTATIONS)))}")
    _put(table, "augment.text", _TEXT_AUGMENTATIONS[name])


def _mask_type(value: Any, table: dict[str, Any], flat: Mapping[str, Any]) -> None:
    _put(table, "augment.mask", "noun" if "noun" in str(value).lower() else "whole-word")


def _data_root(value: Any, table: dict[str, Any], flat: Mapping[str, Any]) -> None:
    _put(table, "data.root", str(PurePosixPath(str(value)).parent))


_COMBINED: dict[str, Callable[[Any, dict[str, Any], Mapping[str, Any]], None]] = {
    "image_res": _image_size,
    "vision_config": _vision_size,
    "text_encoder": _text_size,
    "text_fusion_start_at": _fusion_start,
    "use_cnn_feats": _cnn,
    "cnn_net": _cnn_name,
    "use_sdm": _sdm,
    "use_id_loss": _identity,
    "text_augment": _text_augment,
    "mask_type": _mask_type,
    "image_root": _data_root,
}


def _translate_combined(flat: Mapping[str, Any], table: dict[str, Any], faults: list[str]) -> None:
    # The released code builds no CNN branch unless the file asks for one; our default has one.
    for key, value in {"use_cnn_feats": False, **flat}.items():
        if key in _COMBINED:
            try:
                _COMBINED[key](value, table, flat)
            except (TypeError, ValueError) as error:
                faults.append(f"{key}: got {value!r}: {error}")


def _flatten(content: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if key in ("optimizer", "schedular") and isinstance(value, Mapping):
            flat.update({f"{key}.{inner}": item for inner, item in value.items()})
        else:
            flat[str(key)] = value
    return flat


def _coerce(kind: type, value: Any) -> Any:
    """PyYAML reads `1e-5` as a string (O23), so numbers are also accepted as text."""
    if kind is bool:
        if not isinstance(value, bool):
            raise TypeError("expected true or false")
        return value
    if isinstance(value, bool):
        raise TypeError("expected a number or text")
    if kind is int and float(value) != int(float(value)):
        raise ValueError("expected a whole number")
    return int(float(value)) if kind is int else kind(value)


def _put(table: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
    table[last] = value
