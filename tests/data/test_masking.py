from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cfack.config import AugmentConfig
from cfack.data.masking import MaskedCaption, NounMasker, SpanMasker
from cfack_runtime.tokenizer import CaptionTokenizer

PAD, UNK, CLS, SEP, MASK = range(5)
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "##x", "##y"]
A, X, Y = 5, 13, 14
AUGMENT = AugmentConfig(max_masks=12, mask_probability=0.5)


@pytest.fixture
def pieces() -> CaptionTokenizer:
    return CaptionTokenizer.from_tokens(PIECES, 40)


def caption(*ids: int, padded: int = 40) -> tuple[NDArray[np.int64], int]:
    row = np.full(padded, PAD, dtype=np.int64)
    row[: len(ids) + 2] = [CLS, *ids, SEP]
    return row, len(ids) + 2


def draws(masker: SpanMasker, ids: NDArray[np.int64], length: int, count: int = 300) -> list[MaskedCaption]:
    return [masker(ids, length, "", np.random.default_rng(seed)) for seed in range(count)]


def positions(masked: MaskedCaption) -> list[int]:
    return [int(position) for position in masked.positions[masked.labels != -100]]


def test_half_of_the_word_pieces_are_masked_and_nothing_else(pieces: CaptionTokenizer) -> None:
    ids, length = caption(*range(5, 13))
    for masked in draws(SpanMasker(pieces, AUGMENT), ids, length):
        chosen = positions(masked)
        assert len(chosen) == len(set(chosen)) == 4
        assert all(1 <= position <= 8 for position in chosen)
        assert masked.labels[:4].tolist() == ids[chosen].tolist()
        assert masked.labels[4:].tolist() == [-100] * 8
        assert masked.positions[4:].tolist() == [0] * 8
        untouched = np.setdiff1d(np.arange(40), chosen)
        assert (masked.ids[untouched] == ids[untouched]).all()


def test_every_piece_is_masked_equally_often(pieces: CaptionTokenizer) -> None:
    ids, length = caption(*range(5, 13))
    chosen = [p for m in draws(SpanMasker(pieces, AUGMENT), ids, length, 1500) for p in positions(m)]
    shares = np.bincount(chosen, minlength=10)[1:9] / 1500
    assert np.abs(shares - 0.5).max() < 0.09


def test_no_more_than_max_masks(pieces: CaptionTokenizer) -> None:
    ids, length = caption(*([5, 6, 7, 8, 9] * 7))
    assert {len(positions(m)) for m in draws(SpanMasker(pieces, AUGMENT), ids, length)} == {12}


def test_a_single_piece_is_masked(pieces: CaptionTokenizer) -> None:
    ids, length = caption(A)
    assert {tuple(positions(m)) for m in draws(SpanMasker(pieces, AUGMENT), ids, length, 20)} == {(1,)}


def test_a_caption_without_a_piece_has_nothing_to_mask(pieces: CaptionTokenizer) -> None:
    ids, length = caption()
    masked = SpanMasker(pieces, AUGMENT)(ids, length, "", np.random.default_rng(0))
    assert positions(masked) == []
    assert (masked.ids == ids).all()


def test_words_are_masked_whole(pieces: CaptionTokenizer) -> None:
    ids, length = caption(A, X, Y, A + 1, A + 2, X)  # axy b cx
    augment = replace(AUGMENT, mask_probability=1.0, max_masks=6, skip_gram_probability=0.0)
    augment = replace(augment, mask_probability=1 / 6)  # one piece is wanted
    found = set()
    for masked in draws(SpanMasker(pieces, augment), ids, length):
        found.add(tuple(sorted(positions(masked))))
    # A word of three pieces is too much for one: a random one of them stays.
    assert found == {(1,), (2,), (3,), (4,), (5,), (6,)}
    augment = replace(augment, mask_probability=1 / 3)  # two pieces: c and x always go together
    for masked in draws(SpanMasker(pieces, augment), ids, length):
        chosen = set(positions(masked))
        assert chosen in ({1, 2}, {1, 3}, {2, 3}) or chosen == {5, 6} or 4 in chosen


def test_a_skip_gram_masks_neighbours(pieces: CaptionTokenizer) -> None:
    ids, length = caption(*range(5, 13))
    augment = replace(AUGMENT, mask_probability=0.25, skip_gram_probability=1.0, skip_gram_size=2)
    found = {tuple(sorted(positions(m))) for m in draws(SpanMasker(pieces, augment), ids, length)}
    neighbours = {(i, i + 1) for i in range(1, 8)}
    # A run that begins at the last piece has one; the second run may then be cut at random.
    assert neighbours <= found
    assert all(8 in pair for pair in found - neighbours)


def test_eighty_percent_become_mask_ten_random_ten_stay(pieces: CaptionTokenizer) -> None:
    ids, length = caption(*([A] * 24))
    masked = draws(SpanMasker(pieces, AUGMENT), ids, length, 500)
    values = np.concatenate([m.ids[positions(m)] for m in masked])
    assert abs((values == MASK).mean() - 0.8 - 0.1 / 15) < 0.02
    assert abs((values == A).mean() - 0.1 - 0.1 / 15) < 0.02
    assert set(values.tolist()) == set(range(15))


def test_as_released_padding_and_sep_are_masked_and_the_number_is_always_the_most(
    pieces: CaptionTokenizer,
) -> None:
    ids, length = caption(*range(5, 13))
    masked = draws(SpanMasker(pieces, AUGMENT, mask_padding=True), ids, length)
    assert {len(positions(m)) for m in masked} == {12}
    chosen = {p for m in masked for p in positions(m)}
    assert chosen == set(range(1, 40))
    assert {int(label) for m in masked for label in m.labels} >= {SEP, PAD}


def test_the_same_generator_masks_the_same(pieces: CaptionTokenizer) -> None:
    ids, length = caption(*range(5, 13))
    masker = SpanMasker(pieces, AUGMENT)
    first, second = (masker(ids, length, "", np.random.default_rng(3)) for _ in range(2))
    assert (first.ids == second.ids).all()
    assert (first.positions == second.positions).all()


def test_nouns_are_always_replaced_by_mask_and_the_rest_is_ignored(pieces: CaptionTokenizer) -> None:
    ids, length = caption(5, 6, 7, 8)
    masker = NounMasker(pieces, AUGMENT, lambda text: {"a b c d": (2, 4)}[text])
    masked = masker(ids, length, "a b c d", np.random.default_rng(0))
    assert masked.ids[:6].tolist() == [CLS, 5, MASK, 7, MASK, SEP]
    assert sorted(positions(masked)) == [2, 4]
    assert masked.labels[2:].tolist() == [-100] * 10


def test_nouns_beyond_the_cut_end_of_a_caption_are_left_out(pieces: CaptionTokenizer) -> None:
    ids, length = caption(5, 6, 7)
    masked = NounMasker(pieces, AUGMENT, lambda text: (3, 4, 41))(ids, length, "", np.random.default_rng(0))
    assert positions(masked) == [3]


def test_more_nouns_than_max_masks_are_sampled(pieces: CaptionTokenizer) -> None:
    ids, length = caption(*range(5, 13))
    masker = NounMasker(pieces, replace(AUGMENT, max_masks=2), lambda text: range(1, 9))
    found = {tuple(masker(ids, length, "", np.random.default_rng(s)).positions.tolist()) for s in range(99)}
    assert all(len(set(pair)) == 2 for pair in found)
    assert {position for pair in found for position in pair} == set(range(1, 9))


def test_as_released_the_labels_of_noun_masking_are_padded_with_zero(pieces: CaptionTokenizer) -> None:
    ids, length = caption(5, 6)
    masker = NounMasker(pieces, AUGMENT, lambda text: (1,), zero_labels=True)
    assert masker(ids, length, "", np.random.default_rng(0)).labels.tolist() == [5] + [0] * 11
