"""Finding nouns with spaCy, for noun masking."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence

from tokenizers import Tokenizer

from cfack_runtime.captions import normalize_caption
from cfack_runtime.errors import ConfigError
from cfack_runtime.tokenizer import CaptionTokenizer

SPACY_MODEL = "en_core_web_sm"

Tagger = Callable[[str], Sequence[tuple[int, int]]]
"""From a text to the (begin, end) of its nouns, in characters."""


@functools.cache
def spacy_tagger() -> Tagger:
    """Load spaCy's small English model, once.

    Raises:
        ConfigError: spaCy or the model is not installed.
    """
    try:
        # Not an import statement: type checkers should not ask for a package that few have.
        tag = importlib.import_module("spacy").load(SPACY_MODEL, exclude=["parser", "ner", "lemmatizer"])
    except (ImportError, OSError) as error:
        raise ConfigError(
            f'augment.mask = "noun" needs spaCy and its model: `pip install spacy`, then '
            f'`python -m spacy download {SPACY_MODEL}`; or use augment.mask = "whole-word"'
        ) from error

    def nouns(text: str) -> list[tuple[int, int]]:
        return [(word.idx, word.idx + len(word)) for word in tag(text) if word.pos_ == "NOUN"]

    return nouns


class NounFinder:
    """Positions of nouns among a caption's ids; each caption is tagged once and remembered.

    Args:
        tokenizer: the one that makes the ids.
        tagger: finds nouns in a text.
        normalize: whether the ids are those of the normalised caption.
    """

    def __init__(self, tokenizer: CaptionTokenizer, tagger: Tagger, *, normalize: bool) -> None:
        self._pieces = Tokenizer.from_str(tokenizer.to_json())
        self._max_words = tokenizer.max_tokens
        self._tagger = tagger
        self._normalize = normalize
        self._known: dict[str, tuple[int, ...]] = {}

    def __call__(self, caption: str) -> Sequence[int]:
        """Positions of the nouns that are a single piece, [CLS] being 0; some may lie beyond truncation."""
        if caption not in self._known:
            text = normalize_caption(caption, self._max_words) if self._normalize else caption
            spans = self._pieces.encode(text, add_special_tokens=False).offsets
            nouns = set(self._tagger(text))
            self._known[caption] = tuple(i + 1 for i, span in enumerate(spans) if tuple(span) in nouns)
        return self._known[caption]
