import subprocess
import sys

import pytest

from cfack.data.vocabulary import build_tokenizer
from cfack_runtime.errors import ConfigError, DataError

CAPTIONS = [
    "A man in a red jacket.",
    "A man in a red t-shirt and jeans!",
    "The woman, in a red jacket, walks.",
    "Reddish jackets and café-coloured trousers",
]


def test_frequent_words_are_single_pieces() -> None:
    tokenizer = build_tokenizer(CAPTIONS, 400, 40)
    ids = tokenizer.encode(["a man in a red jacket"]).input_ids[0]
    assert tokenizer.tokens(ids) == ["[CLS]", "a", "man", "in", "a", "red", "jacket", "[SEP]"]


def test_unseen_words_are_spelled_out() -> None:
    tokenizer = build_tokenizer(["a man"], 400, 40)
    tokens = tokenizer.tokens(tokenizer.encode(["zx9 mann"]).input_ids[0])
    assert tokens == ["[CLS]", "z", "##x", "##9", "man", "##n", "[SEP]"]


def test_it_has_at_most_the_tokens_asked_for() -> None:
    words = [f"{a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in "klmnp"]
    assert build_tokenizer(words, 200, 40).vocab_size == 200
    assert build_tokenizer(["a man"], 1024, 40).vocab_size < 200


def test_special_tokens_come_first_as_in_bert() -> None:
    tokenizer = build_tokenizer(CAPTIONS, 400, 40)
    assert tokenizer.tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.max_tokens == 40


def test_rare_characters_beyond_the_alphabet_are_unknown() -> None:
    many = "".join(chr(0x3B1 + i) for i in range(24))
    tokenizer = build_tokenizer([f"a man ß {many}", "ß man"], 300, 40)
    tokens = tokenizer.tokens(tokenizer.encode([f"ß {many}"]).input_ids[0])
    assert tokens == ["[CLS]", "ß", "[UNK]", "[SEP]"]


def test_every_process_learns_the_same_vocabulary_in_the_same_order() -> None:
    script = f"""
import hashlib
from cfack.data.vocabulary import build_tokenizer
words = [f"{{a}}{{b}}{{c}}" for a in "bcdfg" for b in "aeiou" for c in "klmnp"]
print(hashlib.sha256(build_tokenizer(words + {CAPTIONS!r}, 230, 40).to_json().encode()).hexdigest())
"""
    found = {
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(found) == 1


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.text\.vocab_size is 100; expected at least 149"):
        build_tokenizer(CAPTIONS, 100, 40)


def test_no_or_empty_captions_are_refused() -> None:
    with pytest.raises(DataError, match="no caption to build a vocabulary from"):
        build_tokenizer([], 400, 40)
    with pytest.raises(DataError, match="empty"):
        build_tokenizer(["a man", "..."], 400, 40)
