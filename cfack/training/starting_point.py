"""What a new run starts from: a tokenizer and weights."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cfack.data.vocabulary import build_tokenizer
from cfack.modeling import CFACK, build_model
from cfack.modeling.checkpoint import TOKENIZER_FILE
from cfack.modeling.start import start_from
from cfack.modeling.tokenizer_source import open_tokenizer
from cfack.training.distributed import Processes, from_main
from cfack_runtime.errors import UsageError
from cfack_runtime.tokenizer import CaptionTokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from cfack.config import ExperimentConfig
    from cfack.data.annotations import Split

logger = logging.getLogger(__name__)

CNN_TRUNK = "cnn_branch.trunk."


def new_tokenizer(
    config: ExperimentConfig, split: Split, checkpoint: Path | None, asked: str | None, processes: Processes
) -> CaptionTokenizer:
    """The tokenizer asked for, else the checkpoint's, else the configuration's.

    The main process finds it for all: a vocabulary that is built need not come out the same twice.

    Args:
        config: its `model.text` names the tokenizer.
        split: the training captions, for a vocabulary built from them.
        checkpoint: the starting weights; a folder may hold a tokenizer.
        asked: folder, file or hub name that goes before all.
        processes: those that train together.
    """
    found = _find_tokenizer(config, split, checkpoint, asked) if processes.is_main else None
    text = from_main(found.to_json() if found is not None else "")
    return CaptionTokenizer.from_json(text, config.model.text.max_tokens)


def _find_tokenizer(
    config: ExperimentConfig, split: Split, checkpoint: Path | None, asked: str | None
) -> CaptionTokenizer:
    text = config.model.text
    if asked is not None:
        return open_tokenizer(asked, text.max_tokens)
    if checkpoint is not None and (checkpoint / TOKENIZER_FILE).is_file():
        return CaptionTokenizer.from_file(checkpoint / TOKENIZER_FILE, text.max_tokens)
    if text.tokenizer != "captions":
        return open_tokenizer(text.tokenizer, text.max_tokens)
    if checkpoint is not None:
        raise UsageError(
            f"{checkpoint} has word embeddings but no {TOKENIZER_FILE}, and a vocabulary built from the "
            "captions would not fit them; give its tokenizer with --tokenizer FOLDER_OR_VOCAB"
        )
    captions = [caption for record in split.records for caption in record.captions]
    return build_tokenizer(captions, text.vocab_size, text.max_tokens)


def initial_model(config: ExperimentConfig, checkpoint: Path | None) -> tuple[CFACK, list[str]]:
    """A model with its starting weights, and the names that the checkpoint did not hold."""
    if checkpoint is None:
        if config.model.text.tokenizer != "captions":
            logger.warning("no checkpoint is given: the model starts from random weights")
        return build_model(config.model, pretrained_cnn=True), []
    model = build_model(config.model)
    report = start_from(model, checkpoint, config)
    cnn = config.model.cnn
    if cnn is not None and cnn.pretrained and any(name.startswith(CNN_TRUNK) for name in report.missing):
        model = build_model(config.model, pretrained_cnn=True)
        report = start_from(model, checkpoint, config)
    for account, groups in (("not used", report.unused_by_reason()), ("filled", report.filled_by_reason())):
        for reason, names in groups.items():
            logger.info("%s: %d keys %s: %s", checkpoint, len(names), account, reason)
    return model, sorted(report.missing)
