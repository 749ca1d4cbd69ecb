from dataclasses import replace

import pytest

from cfack.data.annotations import ImageRecord, Split
from cfack.data.sources import Counts
from cfack.data.stats import UNLIMITED_TOKENS, Quantiles, split_statistics
from cfack_runtime.errors import ImageError
from cfack_runtime.tokenizer import CaptionTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "man", "##s"]


def test_a_split_is_measured(split: Split) -> None:
    captions = ("a man", "a mans", "a, a. man - mans")
    records = (ImageRecord("0.png", 1, captions[:1]), ImageRecord("5.png", 1, captions[1:]))
    tokenizer = CaptionTokenizer.from_tokens(PIECES, UNLIMITED_TOKENS)
    found = split_statistics(replace(split, records=records), tokenizer, max_tokens=5)
    assert found.counts == Counts(1, 2, 3)
    assert (found.words.minimum, found.words.median, found.words.maximum) == (2, 2, 4)
    assert found.pieces is not None
    assert (found.pieces.minimum, found.pieces.median, found.pieces.maximum) == (4, 5, 7)
    assert found.truncated == pytest.approx(100 / 3)
    assert (found.height.minimum, found.height.maximum) == (60, 65)
    assert (found.width.minimum, found.width.maximum) == (30, 30)
    assert found.aspect.maximum == pytest.approx(65 / 30)


def test_captions_longer_than_any_model_takes_are_measured_whole(split: Split) -> None:
    records = (ImageRecord("0.png", 1, ("man " * 900,)),)
    tokenizer = CaptionTokenizer.from_tokens(PIECES, UNLIMITED_TOKENS)
    found = split_statistics(replace(split, records=records), tokenizer)
    assert found.words.maximum == 900
    assert found.pieces is not None
    assert found.pieces.maximum == 902


def test_without_a_tokenizer_only_words_are_counted(split: Split) -> None:
    found = split_statistics(split)
    assert found.pieces is None
    assert found.truncated is None


def test_a_missing_image_is_named(split: Split) -> None:
    split.path(3).unlink()
    with pytest.raises(ImageError, match=r"3\.png: no such file"):
        split_statistics(split)


def test_quantiles_of_a_hundred_and_one_values() -> None:
    assert Quantiles.of(range(101)) == Quantiles(0, 5, 50, 95, 100)
