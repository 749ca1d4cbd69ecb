import sys
from types import ModuleType, SimpleNamespace

import pytest

from cfack.data.synonyms import builtin_synonyms, wordnet_synonyms
from cfack_runtime.errors import ConfigError

DISTINCT = (
    {"man", "woman", "boy", "girl"},
    {"black", "white", "gray", "red", "pink", "orange", "yellow", "green", "blue", "purple", "brown"},
    {"short", "long"},
    {"left", "right"},
    {"front", "back"},
    {"trousers", "shorts", "skirt", "dress", "leggings"},
    {"hat", "cap", "helmet"},
    {"backpack", "handbag", "suitcase"},
)


def test_synonyms_go_both_ways_and_never_return_the_word_itself() -> None:
    assert "trousers" in builtin_synonyms("pants")
    assert "pants" in builtin_synonyms("trousers")
    assert "pants" not in builtin_synonyms("pants")
    assert len(builtin_synonyms("grey")) == 1


def test_several_words_may_replace_one_but_are_not_looked_up() -> None:
    assert "running shoes" in builtin_synonyms("sneakers")
    assert builtin_synonyms("running shoes") == ()


@pytest.mark.parametrize("words", DISTINCT, ids=min)
def test_words_that_tell_persons_apart_are_never_exchanged(words: set[str]) -> None:
    for word in words:
        assert not words & set(builtin_synonyms(word)), word


def test_an_unknown_word_has_no_synonyms() -> None:
    assert builtin_synonyms("xylophone") == ()


def test_wordnet_needs_nltk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(ConfigError, match="pip install nltk"):
        wordnet_synonyms()


def test_wordnet_needs_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def synsets(word: str) -> list[object]:
        raise LookupError("Resource wordnet not found")

    fake_nltk(monkeypatch, synsets)
    with pytest.raises(ConfigError, match=r"nltk\.downloader wordnet"):
        wordnet_synonyms()


def test_wordnet_lemmas_are_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    def synsets(word: str) -> list[object]:
        names = ["Jersey", "T-shirt", "tee_shirt", "shirt"] if word == "shirt" else []
        return [SimpleNamespace(lemmas=lambda: [SimpleNamespace(name=lambda n=n: n) for n in names])]

    fake_nltk(monkeypatch, synsets)
    synonyms = wordnet_synonyms()
    assert synonyms("shirt") == ["jersey", "t shirt", "tee shirt"]
    assert synonyms("zzz") == []


def fake_nltk(monkeypatch: pytest.MonkeyPatch, synsets: object) -> None:
    corpus = ModuleType("nltk.corpus")
    corpus.wordnet = SimpleNamespace(synsets=synsets)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nltk", ModuleType("nltk"))
    monkeypatch.setitem(sys.modules, "nltk.corpus", corpus)
