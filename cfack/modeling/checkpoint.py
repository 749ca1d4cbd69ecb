"""Our own checkpoints: a folder with `model.safetensors`, `config.toml` and `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cfack.config import ExperimentConfig, ModelConfig, dump_config, parse_config
from cfack.modeling.build import build_model
from cfack.modeling.cfack import CFACK
from cfack.modeling.errors_naming import naming
from cfack.modeling.transplant import TranslatedWeights, transplant_strictly
from cfack_runtime.errors import CheckpointError, ConfigError, DataError
from cfack_runtime.files import atomic_folder, sha256_file
from cfack_runtime.tokenizer import CaptionTokenizer

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.toml"
TOKENIZER_FILE = "tokenizer.json"


def save_checkpoint(
    path: str | Path,
    model: CFACK,
    config: ExperimentConfig | ModelConfig,
    tokenizer: CaptionTokenizer | None = None,
    *,
    overwrite: bool = False,
    extra_files: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint folder that is whole or not there.

    Args:
        path: the folder.
        model: its weights, and its own geometry, are what is written.
        config: the experiment around it; its `model` table gives way to the model's own.
        tokenizer: left out, evaluation, export and training will ask for one.
        overwrite: replace an existing folder.
        extra_files: name -> text of further files.

    Raises:
        UsageError: something is at `path` already and `overwrite` is off.
    """
    experiment = ExperimentConfig(model=config) if isinstance(config, ModelConfig) else config
    texts = {CONFIG_FILE: dump_config(replace(experiment, model=model.config)), **(extra_files or {})}
    if tokenizer is not None:
        texts[TOKENIZER_FILE] = tokenizer.to_json()
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_folder(path, overwrite=overwrite) as folder:
        save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")


def load_checkpoint(path: str | Path) -> CFACK:
    """Build the model of a checkpoint folder, on the CPU and in evaluation mode.

    Raises:
        CheckpointError: no such folder, a file is missing or damaged, or weights and configuration do not
            belong together (names the keys).
    """
    path = Path(path)
    weights = read_weights(path)
    with naming(path):
        try:
            model = build_model(load_experiment(path).model)
        except ConfigError as error:
            raise CheckpointError(f"{CONFIG_FILE}: {error}") from error
        transplant_strictly(model, TranslatedWeights.own(weights))
    return model.eval()


def load_experiment(path: str | Path) -> ExperimentConfig:
    """Read the configuration of a checkpoint folder.

    Raises:
        CheckpointError: no such folder, or its configuration is missing or wrong.
    """
    file = _file(Path(path), CONFIG_FILE)
    try:
        return parse_config(file.read_text(encoding="utf-8"), str(file))
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file}: cannot be read: {error}") from error


def load_tokenizer(path: str | Path) -> CaptionTokenizer:
    """Read the tokenizer of a checkpoint folder.

    Raises:
        CheckpointError: there is none (says how to add it), it is damaged, or it has more tokens than the
            model.
    """
    path = Path(path)
    text = load_experiment(path).model.text
    file = path / TOKENIZER_FILE
    if not file.is_file():
        raise CheckpointError(
            f"{path} has no {TOKENIZER_FILE}: put that of {text.tokenizer} there, or import again with "
            "`cfack import ... --tokenizer FOLDER_OR_VOCAB`"
        )
    try:
        tokenizer = CaptionTokenizer.from_file(file, text.max_tokens)
    except DataError as error:
        raise CheckpointError(f"{file}: {error}") from error
    if tokenizer.vocab_size > text.vocab_size:
        raise CheckpointError(
            f"{file} has {tokenizer.vocab_size} tokens, but the model knows {text.vocab_size}: "
            "it is another model's tokenizer"
        )
    return tokenizer


def checkpoint_hash(path: str | Path) -> str:
    """SHA-256 of a checkpoint folder's weights file. Raises CheckpointError if there is none."""
    return sha256_file(_file(Path(path), WEIGHTS_FILE))


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of a checkpoint folder, under our names.

    Raises:
        CheckpointError: no such folder or file, or it is truncated or no safetensors file.
    """
    file = _file(Path(path), WEIGHTS_FILE)
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{file} ({file.stat().st_size:,} bytes) is truncated or not a safetensors file: {error}"
        ) from error


def _file(path: Path, name: str) -> Path:
    if path.is_file():
        raise CheckpointError(
            f"{path} is a file; a checkpoint is a folder with {WEIGHTS_FILE} and {CONFIG_FILE}. "
            f"A released file becomes one by `cfack import {path} --out FOLDER`"
        )
    if not path.is_dir():
        raise CheckpointError(f"no checkpoint folder {path}")
    if not (path / name).is_file():
        raise CheckpointError(
            f"{path} has no {name}; a checkpoint is a folder with {WEIGHTS_FILE} and {CONFIG_FILE}"
        )
    return path / name
