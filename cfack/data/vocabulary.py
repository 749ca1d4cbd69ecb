"""A WordPiece vocabulary from the captions of a data set, for models that start from nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, WhitespaceSplit
from tokenizers.trainers import WordPieceTrainer

from cfack_runtime.captions import normalize_caption
from cfack_runtime.errors import ConfigError, DataError
from cfack_runtime.tokenizer import SPECIAL_TOKENS, CaptionTokenizer

_ALWAYS = "abcdefghijklmnopqrstuvwxyz0123456789"
# At least this many word pieces beside the special ones: a smaller vocabulary spells words out.
_MIN_PIECES = 4 * len(_ALWAYS)
# Each character costs two pieces (at a word's start and inside), so rare ones are left to [UNK].
_ALPHABET_SHARE = 8


def build_tokenizer(captions: Iterable[str], vocab_size: int, max_tokens: int) -> CaptionTokenizer:
    """Learn word pieces from captions; the same captions always give the same tokenizer.

    Letters and digits are always in it, so that any word of a later query can be spelled.

    Args:
        captions: sentences; they are normalised here.
        vocab_size: most tokens, the special ones included; few captions may give fewer.
        max_tokens: longest sequence of the tokenizer.

    Raises:
        ConfigError: `vocab_size` is too small.
        DataError: there is no caption, or an empty one.
    """
    smallest = len(SPECIAL_TOKENS) + _MIN_PIECES
    if vocab_size < smallest:
        raise ConfigError(f"model.text.vocab_size is {vocab_size}; expected at least {smallest}")
    words = _count_words(captions)
    if not words:
        raise DataError("there is no caption to build a vocabulary from")
    alphabet = _alphabet(words, vocab_size // _ALPHABET_SHARE)
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        # Single characters are given as special tokens because the trainer numbers all others in the order
        # of a randomised hash table, and breaks ties between merges by those numbers.
        special_tokens=[*SPECIAL_TOKENS, *alphabet, *(f"##{letter}" for letter in alphabet)],
        show_progress=False,
    )
    learner = Tokenizer(WordPiece(unk_token="[UNK]"))
    learner.pre_tokenizer = WhitespaceSplit()
    known = set(alphabet)
    spelled = (word for word in sorted(words) if known.issuperset(word))
    learner.train_from_iterator((" ".join([word] * words[word]) for word in spelled), trainer)
    vocabulary = learner.get_vocab()
    return CaptionTokenizer.from_tokens(
        sorted(vocabulary, key=vocabulary.__getitem__), max_tokens, "captions"
    )


def _count_words(captions: Iterable[str]) -> Counter[str]:
    """Words as the finished tokenizer will cut them."""
    clean, cut = BertNormalizer(lowercase=True), BertPreTokenizer()
    counts: Counter[str] = Counter()
    for caption in captions:
        text = clean.normalize_str(normalize_caption(caption, max_words=len(caption)))
        counts.update(word for word, _ in cut.pre_tokenize_str(text))
    return counts


def _alphabet(words: Counter[str], size: int) -> list[str]:
    """Letters and digits, then the most frequent other characters, at most `size` in all."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for letter in word:
            counts[letter] += count
    others = sorted(counts.keys() - set(_ALWAYS), key=lambda letter: (-counts[letter], letter))
    return [*_ALWAYS, *others[: max(0, size - len(_ALWAYS))]]
