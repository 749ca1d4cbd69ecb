"""The C library's captions and tokens against Python's: the same ids for every string."""

import json
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from cfack_runtime.captions import normalize_caption
from cfack_runtime.errors import DataError
from cfack_runtime.tokenizer import SPECIAL_TOKENS, CaptionTokenizer

TABLES = Path(__file__).parents[2] / "runtime" / "c" / "tools" / "make_unicode_tables.py"
DATA_ERROR, BUNDLE_ERROR = -2, -4
MAX_TOKENS = 64
CODE_POINTS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
# Where letters, marks and punctuation lie; the rest is unassigned, ideographs and private use.
ASSIGNED = [text for text in CODE_POINTS if text < "\U00020000" or "\U000e0000" <= text < "\U000e0200"]


@pytest.fixture(scope="module")
def program(text_image_build):
    return text_image_build / "tokenizer_stdio"


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """A tokenizer that knows single characters, so that any change of a character changes the ids."""
    known = [
        text
        for text in ASSIGNED
        if text > " " and unicodedata.category(text) != "Co" and not "가" <= text <= "힣"
    ]
    tokenizer = CaptionTokenizer.from_tokens(
        [*SPECIAL_TOKENS, *known, *(f"##{text}" for text in known)], MAX_TOKENS
    )
    path = tmp_path_factory.mktemp("letters") / "tokenizer.json"
    path.write_text(tokenizer.to_json(), encoding="utf-8")
    return tokenizer, path


def python_ids(tokenizer, text, normalize):
    try:
        encoded = tokenizer.encode([text], normalize=normalize)
    except DataError as error:
        return DATA_ERROR, str(error).removeprefix("caption 0: ").encode()
    assert encoded.attention_mask.all()
    return 0, encoded.input_ids.tobytes()


@pytest.fixture(scope="module")
def differing(program, answers):
    """The strings whose ids (or message) differ."""

    def find(letters, texts, *, normalize):
        tokenizer, path = letters
        mode = "ids" if normalize else "raw-ids"
        found = answers(program, [mode, path, MAX_TOKENS], [text.encode() for text in texts])
        return [
            text
            for text, answer in zip(texts, found, strict=True)
            if answer != python_ids(tokenizer, text, normalize)
        ]

    return find


def python_caption(text, words):
    try:
        return 0, normalize_caption(text, words).encode()
    except DataError as error:
        return DATA_ERROR, str(error).encode()


@pytest.mark.parametrize("frame", ["{}", "AΣ{}", "{}ΣA", "a {}\n{} <Person>"])
def test_every_code_point_is_cleaned_as_in_python(program, answers, frame):
    # What a newer Python lowers here, the tokenizer lowers later.
    texts = [frame.replace("{}", text) for text in CODE_POINTS if text < "\U00020000" or text >= "\U000e0000"]
    if unicodedata.unidata_version >= "16":
        texts = [text for text in texts if unicodedata.category(text[0]) not in ("Lu", "Ll")]
    found = answers(program, ["caption", 3], [text.encode() for text in texts])
    assert [
        text for text, answer in zip(texts, found, strict=True) if answer != python_caption(text, 3)
    ] == []


@pytest.mark.parametrize("frame", ["{}", "a{}B"])
def test_every_code_point_becomes_pythons_ids(differing, letters, frame):
    texts = [frame.replace("{}", text) for text in ASSIGNED]
    assert differing(letters, texts, normalize=False) == []


def test_every_code_point_of_the_other_planes_becomes_pythons_ids(differing, letters):
    others = sorted(set(CODE_POINTS) - set(ASSIGNED))
    texts = [" ".join(f"x{text}" for text in others[at : at + 24]) for at in range(0, len(others), 24)]
    assert differing(letters, texts, normalize=False) == []


def random_text(generator, pools):
    return "".join(generator.choice(generator.choice(pools)) for _ in range(generator.randint(0, 30)))


@pytest.mark.parametrize("normalize", [True, False])
def test_random_strings_become_pythons_ids(differing, letters, normalize):
    generator = random.Random(7)
    marks = [text for text in ASSIGNED if unicodedata.combining(text)]
    pools = [
        ASSIGNED,
        marks,
        list("abcXYZ .,!?'\t\n[]#<>"),
        ["Σ", "İ", "ß", "é", "Ǻ", "각", "人", "<person>", " ", "\u200b", "\u3000", "\ufffd", "\0"],
        [*SPECIAL_TOKENS, "[SEP", "[[CLS]]", "[sep]", "##"],
    ]
    texts = [random_text(generator, pools) for _ in range(60_000)]
    assert differing(letters, texts, normalize=normalize) == []


def test_words_are_cut_into_the_longest_pieces(program, answers, tmp_path):
    words = ["a", "man", "red", "##s", "##d", "##ed", "coat", "##coat", "re", "##", "s" * 40, "##" + "s" * 60]
    tokenizer = CaptionTokenizer.from_tokens([*SPECIAL_TOKENS, *words], 8)
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_json(), encoding="utf-8")
    generator = random.Random(3)
    texts = ["s" * 99, "s" * 100, "s" * 101, "a" + "s" * 99, "a" + "s" * 100, "a " * 20, "[MASK]" * 9]
    texts += [
        "".join(generator.choice([*words, " ", " ", "[UNK]", "."]) for _ in range(generator.randint(1, 12)))
        for _ in range(5000)
    ]
    for mode, normalize in (("ids", True), ("raw-ids", False)):
        found = answers(program, [mode, path, 8], [text.encode() for text in texts])
        assert found == [python_ids(tokenizer, text, normalize) for text in texts]


@pytest.mark.parametrize("steps", range(16))
def test_every_setting_of_the_normalizer_is_followed(differing, letters, tmp_path, steps):
    document = json.loads(letters[0].to_json())
    names = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    document["normalizer"].update({name: bool(steps >> place & 1) for place, name in enumerate(names)})
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    tokenizer = CaptionTokenizer.from_file(path, MAX_TOKENS)
    texts = ["A\u00c9b\u4ebac\u0301\u0130 \x07d\u2003e\u1fef", "\ufffdX\0Y\u0344", "\u1e9b\u0323 \u03a3"]
    assert differing((tokenizer, path), texts, normalize=False) == []


def test_a_tokenizer_file_of_the_published_bert_is_read(program, answers, tmp_path):
    document = json.loads(CaptionTokenizer.from_tokens([*SPECIAL_TOKENS, "man"], 8).to_json())
    document["truncation"] = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    document["padding"] = {"strategy": {"Fixed": 9}}
    document["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    document["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    del document["model"]["type"]  # old files have none
    assert answers(program, ["json"], [json.dumps(document).encode()]) == [(0, b"6")]


def changed(path, value):
    document = json.loads(CaptionTokenizer.from_tokens([*SPECIAL_TOKENS, "man"], 8).to_json())
    *parents, last = path
    place = document
    for step in parents:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a tokenizer.json of the tokenizers library: "),
        (b"[]", "not a tokenizer.json of the tokenizers library: no object"),
        (b'{"version": "\xff"}', "not a tokenizer.json of the tokenizers library: "),
        (b"[" * 100_000, "not a tokenizer.json of the tokenizers library: "),
        (changed(["version"], "2.0"), "version is 2.0; only 1.0 is supported"),
        (changed(["extra"], 1), "the file has a member that is not supported: extra"),
        (changed(["model", "type"], "BPE"), "model is of type BPE; only WordPiece is supported"),
        (
            changed(["model", "vocab", "man"], -1),
            "the id of token man is out of range; a whole number from 0",
        ),
        (changed(["model", "vocab", "man"], "5"), "the id of token man is string; a whole number from 0"),
        (changed(["model", "unk_token"], "?"), "the unknown token ? is not in the vocabulary"),
        (changed(["model", "vocab"], {}), "added token [PAD] has id 0, which is not its id in model.vocab"),
        (changed(["model"], None), "the file has no model"),
        (
            changed(["normalizer", "type"], "NFC"),
            "normalizer is of type NFC; only BertNormalizer is supported",
        ),
        (
            changed(["normalizer", "lowercase"], 1),
            "normalizer.lowercase is number; true or false is expected",
        ),
        (changed(["pre_tokenizer", "type"], "Whitespace"), "pre_tokenizer is of type Whitespace; only"),
        (
            changed(["added_tokens", 4, "lstrip"], True),
            "added token [MASK] is lstrip, which is not supported",
        ),
        (changed(["added_tokens", 4, "id"], 5), "added token [MASK] has id 5, which is not its id"),
    ],
)
def test_what_is_not_supported_is_named(program, answers, data, message):
    ((status, answer),) = answers(program, ["json"], [data])
    assert status == BUNDLE_ERROR
    assert answer.decode().startswith("tokenizer.json: " + message)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"red \xff", "0xff at position 4"),
        (b"\xc0\x80", "0xc0 at position 0"),
        (b"a\xed\xa0\x80", "0xed at position 1"),
        (b"\xf4\x90\x80\x80", "0xf4 at position 0"),
        (b"caf\xc3", "0xc3 at position 3"),
        (b"\xe2\x82", "0xe2 at position 0"),
    ],
)
def test_text_that_is_not_utf8_is_an_error_that_names_the_byte(program, answers, letters, data, place):
    ((status, answer),) = answers(program, ["ids", letters[1], MAX_TOKENS], [data])
    assert status == DATA_ERROR
    assert answer.decode() == f"not valid UTF-8: byte {place}; give the text in UTF-8"


def test_a_long_text_takes_no_quadratic_time(differing, letters):
    texts = ["\u0301\u0323" * 200_000, "a" * 400_000, "a " * 200_000, "\u03a3" * 20_000]
    assert differing(letters, texts, normalize=True) == []


def test_ids_are_64_bits_and_end_with_sep(program, answers, letters):
    tokenizer, path = letters
    ((status, answer),) = answers(program, ["ids", path, MAX_TOKENS], [b"A man"])
    ids = np.frombuffer(answer, np.int64)
    assert status == 0
    assert tokenizer.tokens(ids) == ["[CLS]", "a", "m", "##a", "##n", "[SEP]"]


@pytest.mark.slow
def test_the_committed_unicode_tables_are_what_the_generator_makes():
    subprocess.run([sys.executable, TABLES, "--check"], check=True)
