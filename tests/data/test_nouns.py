import sys
from types import ModuleType, SimpleNamespace

import pytest

from cfack.data.nouns import NounFinder, spacy_tagger
from cfack_runtime.errors import ConfigError
from cfack_runtime.tokenizer import CaptionTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "man", "in", "red", "jack", "##et", "hat", ","]


def nouns_of(text: str) -> list[tuple[int, int]]:
    return [
        (text.find(word), text.find(word) + len(word)) for word in ("man", "jacket", "hat") if word in text
    ]


@pytest.fixture
def pieces() -> CaptionTokenizer:
    return CaptionTokenizer.from_tokens(PIECES, 40)


def test_only_nouns_of_a_single_piece_have_a_position(pieces: CaptionTokenizer) -> None:
    finder = NounFinder(pieces, nouns_of, normalize=True)
    # [CLS] a man in a red jack ##et a hat
    assert finder("A man, in a red jacket, a hat.") == (2, 9)


def test_positions_are_those_of_the_raw_caption_if_that_is_what_is_tokenised(
    pieces: CaptionTokenizer,
) -> None:
    finder = NounFinder(pieces, nouns_of, normalize=False)
    # [CLS] a man , in a hat
    assert finder("a man, in a hat") == (2, 6)


def test_a_caption_is_tagged_once(pieces: CaptionTokenizer) -> None:
    asked = []

    def tagger(text: str) -> list[tuple[int, int]]:
        asked.append(text)
        return nouns_of(text)

    finder = NounFinder(pieces, tagger, normalize=True)
    assert finder("a man") == finder("a man") == (2,)
    assert asked == ["a man"]


def test_without_spacy_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    spacy_tagger.cache_clear()
    with pytest.raises(ConfigError, match=r'augment\.mask = "noun" needs spaCy.*python -m spacy download'):
        spacy_tagger()


def test_spacy_is_loaded_once_and_its_nouns_become_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    class Word(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.text)

    def load(name: str, exclude: list[str]) -> object:
        loaded.append(name)
        return lambda text: [Word(text="a", idx=0, pos_="DET"), Word(text="man", idx=2, pos_="NOUN")]

    module = ModuleType("spacy")
    module.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spacy", module)
    spacy_tagger.cache_clear()
    try:
        assert spacy_tagger()("a man") == [(2, 5)]
        assert spacy_tagger() is spacy_tagger()
        assert loaded == ["en_core_web_sm"]
    finally:
        spacy_tagger.cache_clear()
