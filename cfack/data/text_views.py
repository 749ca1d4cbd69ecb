"""The views of a caption: original, augmented and masked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfack.config import ExperimentConfig
from cfack.data.annotations import ImageRecord, Split
from cfack.data.eda import EasyDataAugmentation
from cfack.data.masking import MaskedCaption, Masker, NounMasker, SpanMasker
from cfack.data.nouns import NounFinder, Tagger, spacy_tagger
from cfack.data.synonyms import SynonymSource, builtin_synonyms
from cfack_runtime.captions import normalize_caption
from cfack_runtime.errors import ConfigError, DataError
from cfack_runtime.tokenizer import CaptionTokenizer

Augment = Callable[[ImageRecord, int, np.random.Generator], str]
"""From a record and the number of a caption to the caption that takes its place."""


@dataclass(frozen=True)
class CaptionSample:
    """One caption as training takes it."""

    original: NDArray[np.int64]
    """Ids (T,), padded to max_tokens."""
    original_length: int
    """Tokens that are no padding."""
    augmented: NDArray[np.int64]
    augmented_length: int
    masked: MaskedCaption | None
    """The original caption with hidden pieces, where the model has an MLM head."""


class TextViews:
    """Makes the views of every caption of a split.

    The original captions are tokenised once, here, so that a caption that cannot be used is known before
    training begins.

    Args:
        split: holds the captions.
        config: says how to augment and to mask.
        tokenizer: makes the ids.
        synonyms: for EDA.
        tagger: finds nouns for noun masking; None loads spaCy when it is asked for.

    Raises:
        ConfigError: the tokenizer does not fit the model; back-translations are asked for where there are
            none; noun masking without spaCy.
        DataError: a caption is empty; the record is named.
    """

    def __init__(
        self,
        split: Split,
        config: ExperimentConfig,
        tokenizer: CaptionTokenizer,
        synonyms: SynonymSource = builtin_synonyms,
        tagger: Tagger | None = None,
    ) -> None:
        _check_tokenizer(tokenizer, config)
        self._tokenizer = tokenizer
        self._augment = _augmenter(split, config, synonyms)
        normalize = not config.switches.raw_original_caption
        self._masker = _masker(config, tokenizer, tagger, normalize)
        encoded = [_encode(tokenizer, split, i, normalize) for i in range(len(split.records))]
        self._ids = np.concatenate([ids for ids, _ in encoded]).astype(np.int32)  # (pairs, T)
        self._lengths = np.concatenate([lengths for _, lengths in encoded])

    def sample(self, pair: int, record: ImageRecord, number: int, rng: np.random.Generator) -> CaptionSample:
        """The views of one caption.

        Args:
            pair: its index among all captions of the split.
            record: what it belongs to.
            number: its index among the record's captions.
            rng: decides.
        """
        original, length = self._ids[pair].astype(np.int64), int(self._lengths[pair])
        text = self._augment(record, number, rng)
        augmented = self._tokenizer.encode([text], pad_to=self._tokenizer.max_tokens)
        masked = None
        if self._masker is not None:
            masked = self._masker(original, length, record.captions[number], rng)
        return CaptionSample(
            original, length, augmented.input_ids[0], int(augmented.attention_mask[0].sum()), masked
        )


def _check_tokenizer(tokenizer: CaptionTokenizer, config: ExperimentConfig) -> None:
    text = config.model.text
    if tokenizer.max_tokens != text.max_tokens:
        raise ConfigError(
            f"the tokenizer cuts captions at {tokenizer.max_tokens} tokens, but model.text.max_tokens is "
            f"{text.max_tokens}; make both equal"
        )
    if tokenizer.vocab_size > text.vocab_size:
        raise ConfigError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, but model.text.vocab_size is only "
            f"{text.vocab_size}; give the tokenizer that belongs to the model"
        )


def _augmenter(split: Split, config: ExperimentConfig, synonyms: SynonymSource) -> Augment:
    augment = config.augment
    if augment.text == "back-translation":
        _check_back_translations(split)
        return _back_translation
    if augment.text == "eda":
        eda = EasyDataAugmentation(
            augment.eda_sentences,
            never_original=config.switches.eda_never_original,
            synonyms=synonyms,
        )
        return _Eda(eda)
    return _unchanged


def _unchanged(record: ImageRecord, number: int, rng: np.random.Generator) -> str:
    return record.captions[number]


def _back_translation(record: ImageRecord, number: int, rng: np.random.Generator) -> str:
    """One of a caption's translations; itself where it alone has none."""
    texts = record.back_translations[number] if record.back_translations else ()
    return texts[rng.integers(len(texts))] if texts else record.captions[number]


@dataclass(frozen=True)
class _Eda:
    eda: EasyDataAugmentation

    def __call__(self, record: ImageRecord, number: int, rng: np.random.Generator) -> str:
        return self.eda(record.captions[number], rng)


def _masker(
    config: ExperimentConfig, tokenizer: CaptionTokenizer, tagger: Tagger | None, normalize: bool
) -> Masker | None:
    if not config.model.mlm:
        return None
    switches = config.switches
    if config.augment.mask == "noun":
        finder = NounFinder(tokenizer, tagger or spacy_tagger(), normalize=normalize)
        return NounMasker(
            tokenizer, config.augment, finder, zero_labels=switches.noun_labels_padded_with_zero
        )
    return SpanMasker(tokenizer, config.augment, mask_padding=switches.mask_padding_tokens)


def _check_back_translations(split: Split) -> None:
    if not any(any(record.back_translations) for record in split.records):
        raise ConfigError(
            f'augment.text = "back-translation" needs precomputed translations, but the {split.name} split '
            "has none; add a `captions_bt` list beside `captions` in the data set's annotation and run "
            '`cfack data prepare` again, or use augment.text = "eda"'
        )
    for index, record in enumerate(split.records):
        for text in (text for texts in record.back_translations for text in texts):
            try:
                normalize_caption(text, 1)
            except DataError as error:
                raise DataError(f"{_where(split, index)}: back-translation: {error}") from error


def _encode(
    tokenizer: CaptionTokenizer, split: Split, index: int, normalize: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids (captions, T) and lengths of one record's captions."""
    captions = split.records[index].captions
    try:
        for caption in captions:  # whatever the switches: the augmented view is normalised
            normalize_caption(caption, 1)
        encoded = tokenizer.encode(captions, normalize=normalize, pad_to=tokenizer.max_tokens)
    except DataError as error:
        raise DataError(f"{_where(split, index)}: {error}") from error
    return encoded.input_ids, encoded.attention_mask.sum(axis=1)


def _where(split: Split, index: int) -> str:
    return f"{split.name} split, record {index} ({split.path(index)})"
