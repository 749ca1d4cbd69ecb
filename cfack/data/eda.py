"""Easy data augmentation of a caption (arXiv 1901.11196), without downloads."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from cfack.data.synonyms import SynonymSource, builtin_synonyms

_DROPPED = str.maketrans(dict.fromkeys("\u2019'"))
_NO_LETTER = re.compile("[^a-z]+")
_ALPHA = 0.1
"""Share of the words that one operation changes, and the probability with which a word is deleted."""
_INSERTION_TRIES = 10
_SWAP_TRIES = 4

_STOP_WORDS = frozenset(
    """a about above after again against all also am an and any are as at be because been before being below
    between both but by can could did do does doing down during each either few for from further had has have
    having he her here hers herself him himself his how i if in into is it its itself just me more most my
    myself no nor not now of off on once one only or other our ours ourselves out over own same she should so
    some such than that the their theirs them themselves then there these they this those through to too
    under until up very was we were what when where which while who whom why will with would you your yours
    yourself""".split()  # noqa: SIM905  a list would fill 130 lines
)


class EasyDataAugmentation:
    """Changes a caption by one of four operations, or leaves it as it is.

    The published procedure makes sentences by synonym replacement, random insertion, random swap and random
    deletion (as many by each), keeps `num_sentences` of them at random, adds the caption itself and draws one
    of all. Each of the four is drawn equally often, and its sentences do not depend on each other: so it
    is enough to draw an operation and make the one sentence that is used.

    Args:
        num_sentences: the caption itself is kept with probability 1 / (num_sentences + 1).
        never_original: never keep it (O26).
        synonyms: gives the synonyms of a word.
    """

    def __init__(
        self,
        num_sentences: int,
        *,
        never_original: bool = False,
        synonyms: SynonymSource = builtin_synonyms,
    ) -> None:
        self._keep = 0.0 if never_original else 1 / (num_sentences + 1)
        self._synonyms = synonyms
        self._operations = (self._replace, self._insert, self._swap, self._delete)

    def __call__(self, caption: str, rng: np.random.Generator) -> str:
        """Augment one caption.

        Returns:
            Lower-case words of a to z; the caption as it came if it has no such word.
        """
        words = letters_only(caption).split()
        if not words:
            return caption
        if rng.random() >= self._keep:
            words = self._operations[rng.integers(len(self._operations))](words, rng)
        return " ".join(words)

    def _replace(self, words: list[str], rng: np.random.Generator) -> list[str]:
        """Replace each occurrence of some words by a synonym."""
        changes: dict[str, str] = {}
        candidates = [word for word in dict.fromkeys(words) if word not in _STOP_WORDS]
        for index in rng.permutation(len(candidates)):
            word = candidates[index]
            if found := self._synonyms(word):
                changes[word] = _draw(found, rng)
            if len(changes) >= _count(words):
                break
        return [changes.get(word, word) for word in words]

    def _insert(self, words: list[str], rng: np.random.Generator) -> list[str]:
        """Put synonyms of some words anywhere."""
        words = list(words)
        for _ in range(_count(words)):
            for _ in range(_INSERTION_TRIES):
                if found := self._synonyms(_draw(words, rng)):
                    words.insert(int(rng.integers(len(words))), _draw(found, rng))
                    break
        return words

    def _swap(self, words: list[str], rng: np.random.Generator) -> list[str]:
        """Let pairs of words change places."""
        words = list(words)
        for _ in range(_count(words)):
            for _ in range(_SWAP_TRIES):
                first, second = (int(index) for index in rng.integers(len(words), size=2))
                if first != second:
                    words[first], words[second] = words[second], words[first]
                    break
        return words

    def _delete(self, words: list[str], rng: np.random.Generator) -> list[str]:
        """Leave out words; at least one stays."""
        kept = [word for word, draw in zip(words, rng.random(len(words)), strict=True) if draw >= _ALPHA]
        return kept or [_draw(words, rng)]


def letters_only(caption: str) -> str:
    """Lower-case letters a to z with one space between words; apostrophes vanish, all else is a space."""
    return _NO_LETTER.sub(" ", caption.lower().translate(_DROPPED)).strip()


def _draw(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _count(words: list[str]) -> int:
    return max(1, int(_ALPHA * len(words)))
