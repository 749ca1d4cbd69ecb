"""The training set: one sample per pair of an image and one of its captions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfack.config import ExperimentConfig
from cfack.data.annotations import Split
from cfack.data.image_store import ImageStore
from cfack.data.nouns import Tagger
from cfack.data.synonyms import SynonymSource, builtin_synonyms
from cfack.data.text_views import CaptionSample, TextViews
from cfack.data.views import Pixels, StrongView, strong_view, weak_view
from cfack_runtime.errors import DataError
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.tokenizer import CaptionTokenizer

# First word of the entropy of each sample; the order of an epoch (loader.py) has another.
_SAMPLE_STREAM = 0


@dataclass(frozen=True)
class TrainingSample:
    """One pair, not yet normalised."""

    weak: Pixels
    """(H, W, 3)."""
    strong: StrongView
    cnn: Pixels | None
    """(h, w, 3)."""
    caption: CaptionSample
    identity: int
    """From 0, in the order of first appearance."""


class TrainingSet:
    """All pairs of a split.

    Everything random about a sample follows from the seed, the epoch and its index: any process draws the
    same views, and a resumed run goes on with those that it would have drawn.

    Args:
        split: the pairs.
        config: the whole experiment.
        tokenizer: makes the ids; its `max_tokens` is the model's.
        synonyms: for EDA.
        tagger: finds nouns for noun masking; None loads spaCy when the configuration asks for it.
        progress: told the images decoded and all, if they are kept in memory.

    Raises:
        ConfigError: the tokenizer does not fit, or what the configuration asks for is not here.
        DataError: a caption or, if they are kept in memory, an image cannot be used.
    """

    def __init__(
        self,
        split: Split,
        config: ExperimentConfig,
        tokenizer: CaptionTokenizer,
        *,
        synonyms: SynonymSource = builtin_synonyms,
        tagger: Tagger | None = None,
        progress: ProgressCallback = no_progress,
    ) -> None:
        self._split = split
        self._config = config
        self._epoch = 0
        records = split.records
        self._pairs = [
            (i, number) for i, record in enumerate(records) for number in range(len(record.captions))
        ]
        if not self._pairs:
            raise DataError(f"the {split.name} split of {split.dataset} has no caption to train on")
        classes: dict[int, int] = {}
        self._identities = [classes.setdefault(record.identity, len(classes)) for record in records]
        self.num_identities = len(classes)
        self._texts = TextViews(split, config, tokenizer, synonyms, tagger)
        self._images = ImageStore(split, config, progress)

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self._pairs)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose views are drawn from now on."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> TrainingSample:
        """Draw one sample.

        Raises:
            ImageError: the image cannot be read; the file is named.
        """
        rng = np.random.default_rng((_SAMPLE_STREAM, self._config.train.seed, self._epoch, index))
        record_index, number = self._pairs[index]
        image = self._images[record_index]
        augment = self._config.augment
        return TrainingSample(
            weak_view(image.pixels, augment, rng),
            strong_view(image.pixels, image.original, augment, rng),
            image.cnn,
            self._texts.sample(index, self._split.records[record_index], number, rng),
            self._identities[record_index],
        )
