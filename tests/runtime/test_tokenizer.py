import json
import pickle

import numpy as np
import pytest

from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.tokenizer import CaptionTokenizer

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "man",
    "red",
    "##s",
    "coat",
    "cafe",
    "&",
    "人",
    "b",
]
PAD, UNK, CLS, SEP, MASK, A, MAN, RED, S, COAT, CAFE, AND, PERSON, B = range(14)


@pytest.fixture
def tokenizer():
    return CaptionTokenizer.from_tokens(WORDS, max_tokens=6)


def ids(tokenizer, caption, **options):
    return tokenizer.encode([caption], **options).input_ids[0].tolist()


def test_special_tokens_are_found_by_name(tokenizer):
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id) == (PAD, UNK, CLS)
    assert (tokenizer.sep_id, tokenizer.mask_id, tokenizer.vocab_size) == (SEP, MASK, 14)


def test_captions_are_padded_to_the_longest_and_masked(tokenizer):
    encoded = tokenizer.encode(["A mans coat!", "red"])
    assert encoded.input_ids.dtype == encoded.attention_mask.dtype == np.int64
    assert encoded.input_ids.tolist() == [[CLS, A, MAN, S, COAT, SEP], [CLS, RED, SEP, PAD, PAD, PAD]]
    assert encoded.attention_mask.tolist() == [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]]


def test_pad_to_fixes_the_length(tokenizer):
    encoded = tokenizer.encode(["red"], pad_to=8)
    assert encoded.input_ids.tolist() == [[CLS, RED, SEP, PAD, PAD, PAD, PAD, PAD]]
    assert encoded.attention_mask.sum() == 3


def test_a_caption_longer_than_pad_to_is_refused(tokenizer):
    with pytest.raises(UsageError, match="5 tokens, more than pad_to = 4"):
        tokenizer.encode(["a red coat"], pad_to=4)


def test_too_long_a_caption_is_cut_and_keeps_its_sep(tokenizer):
    assert ids(tokenizer, "a red a red a red a red") == [CLS, A, RED, A, RED, SEP]


def test_capitals_and_accents_go_and_unknown_words_become_unk(tokenizer):
    assert ids(tokenizer, "A Café Zebra") == [CLS, A, CAFE, UNK, SEP]


def test_chinese_letters_are_words_of_their_own(tokenizer):
    assert ids(tokenizer, "a人b") == [CLS, A, PERSON, B, SEP]


def test_a_word_over_100_letters_is_unknown(tokenizer):
    assert ids(tokenizer, "a" + "s" * 101) == [CLS, UNK, SEP]
    many = CaptionTokenizer.from_tokens([*WORDS[:6], "##a"], max_tokens=200)
    assert len(ids(many, "a" * 100)) == 102
    assert ids(many, "a" * 101) == [CLS, UNK, SEP]


def test_punctuation_is_split_off_where_the_caption_rules_are_left_out(tokenizer):
    assert ids(tokenizer, "red&coat", normalize=False) == [CLS, RED, AND, COAT, SEP]
    assert ids(tokenizer, "red.", normalize=False) == [CLS, RED, UNK, SEP]
    assert ids(tokenizer, "red.") == [CLS, RED, SEP]


def test_no_captions_give_no_rows(tokenizer):
    assert tokenizer.encode([]).input_ids.shape == (0, 0)
    assert tokenizer.encode([], pad_to=5).input_ids.shape == (0, 5)


def test_an_empty_caption_is_named_by_its_index(tokenizer):
    with pytest.raises(DataError, match=r"caption 1: caption '\.\.\.' is empty"):
        tokenizer.encode(["red", "..."])


def test_text_that_is_no_unicode_is_named_by_its_index(tokenizer):
    with pytest.raises(DataError, match="caption 0: .*surrogates"):
        tokenizer.encode(["red \ud800"])


def test_a_single_string_is_refused(tokenizer):
    with pytest.raises(UsageError, match="list of strings"):
        tokenizer.encode("a red coat")


def test_tokens_names_ids_and_refuses_others(tokenizer):
    assert tokenizer.tokens([CLS, MAN, S, SEP]) == ["[CLS]", "man", "##s", "[SEP]"]
    with pytest.raises(DataError, match="token id 14 is not in a vocabulary of 14"):
        tokenizer.tokens([14])
    with pytest.raises(DataError, match="token id -1"):
        tokenizer.tokens([-1])


def test_json_is_the_same_after_any_number_of_round_trips(tokenizer, tmp_path):
    text = tokenizer.to_json()
    path = tmp_path / "tokenizer.json"
    path.write_text(text, encoding="utf-8")
    again = CaptionTokenizer.from_file(path, 6)
    assert again.to_json() == CaptionTokenizer.from_json(text, 6).to_json() == text
    assert ids(again, "A mans Café") == ids(tokenizer, "A mans Café")
    assert "人" in text


def test_json_holds_no_state_of_padding_or_truncation(tokenizer):
    document = json.loads(tokenizer.to_json())
    document["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    document["padding"] = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    other = CaptionTokenizer.from_json(json.dumps(document), 6)
    assert other.to_json() == tokenizer.to_json()
    assert ids(other, "a red a") == [CLS, A, RED, A, SEP]


def test_vocab_txt_gives_the_same_tokenizer(tokenizer, tmp_path):
    path = tmp_path / "vocab.txt"
    for ending in ("\n", "\r\n"):
        path.write_bytes((ending.join(WORDS) + ending).encode())
        assert CaptionTokenizer.from_vocab(path, 6).to_json() == tokenizer.to_json()


def test_a_pickled_tokenizer_still_works(tokenizer):
    assert ids(pickle.loads(pickle.dumps(tokenizer)), "a red") == [CLS, A, RED, SEP]


def test_the_ids_are_those_of_the_bert_tokenizer_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the train extra is not installed")
    reference = transformers.BertTokenizer(vocab={word: place for place, word in enumerate(WORDS)})
    ours = CaptionTokenizer.from_tokens(WORDS, 40)
    for text in (
        "A mans café, coat; RED&red 人b",
        "a\u00a0man\u200b red\tcoat",
        "élan [MASK] a",
        "mans[SEP]",
    ):
        assert ids(ours, text, normalize=False) == reference(text)["input_ids"]


def test_a_vocabulary_that_repeats_a_token_is_refused():
    with pytest.raises(DataError, match="token 'man' has two ids, 6 and 14"):
        CaptionTokenizer.from_tokens([*WORDS, "man"], 6)


def test_a_vocabulary_without_special_tokens_names_those_that_lack(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\na\n")
    with pytest.raises(DataError, match=r"vocab.txt: \[SEP\], \[MASK\] not in the vocabulary"):
        CaptionTokenizer.from_vocab(path, 6)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": {}}', "\x00"])
def test_a_file_that_is_no_tokenizer_is_an_error_that_names_it(tmp_path, text):
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(DataError, match="tokenizer.json: not a tokenizer.json"):
        CaptionTokenizer.from_file(path, 6)


def test_a_missing_or_binary_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DataError, match="gone.json: cannot be read"):
        CaptionTokenizer.from_file(tmp_path / "gone.json", 6)
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="vocab.txt: cannot be read as UTF-8"):
        CaptionTokenizer.from_vocab(tmp_path / "vocab.txt", 6)


def test_max_tokens_must_leave_room_for_a_word():
    with pytest.raises(UsageError, match="at least 3"):
        CaptionTokenizer.from_tokens(WORDS, 2)
