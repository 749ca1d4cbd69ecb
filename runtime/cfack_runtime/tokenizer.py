"""Captions to word-piece ids: the one tokenizer of training, evaluation and search."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from cfack_runtime.captions import normalize_caption
from cfack_runtime.errors import DataError, UsageError

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class EncodedCaptions:
    """Captions as the text encoder takes them."""

    input_ids: NDArray[np.int64]
    """(B, T): [CLS], word pieces, [SEP], then padding."""
    attention_mask: NDArray[np.int64]
    """(B, T): 1 on tokens, 0 on padding."""


class CaptionTokenizer:
    """BERT word pieces, uncased, behind the caption rules.

    Made by `from_file`, `from_json`, `from_vocab` or `from_tokens`. Truncation and padding are done here,
    not by the wrapped tokenizer, so that its JSON holds neither and is the same for every use.

    Args:
        tokenizer: a tokenizer that knows the five special tokens of BERT.
        max_tokens: longest sequence, [CLS] and [SEP] included.
        source: what messages call it.

    Raises:
        DataError: a special token is missing.
        UsageError: `max_tokens` leaves no room for a word piece.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, source: str = "tokenizer") -> None:
        if max_tokens < 3:
            raise UsageError(f"max_tokens must be at least 3 ([CLS], a piece, [SEP]), got {max_tokens}")
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        _require_special_tokens(vocabulary, source)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            vocabulary[token] for token in SPECIAL_TOKENS
        )

    @classmethod
    def from_json(cls, text: str, max_tokens: int, source: str = "tokenizer") -> CaptionTokenizer:
        """Read the text of a `tokenizer.json`.

        Raises:
            DataError: it is none, or a special token is missing.
        """
        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the library raises bare Exception
            raise DataError(f"{source}: not a tokenizer.json of the tokenizers library: {error}") from error
        return cls(tokenizer, max_tokens, source)

    @classmethod
    def from_file(cls, path: str | Path, max_tokens: int) -> CaptionTokenizer:
        """Read a `tokenizer.json`.

        Raises:
            DataError: the file is missing, no tokenizer, or lacks a special token.
        """
        return cls.from_json(_read_text(Path(path)), max_tokens, str(path))

    @classmethod
    def from_vocab(cls, path: str | Path, max_tokens: int) -> CaptionTokenizer:
        """Build BERT's uncased tokenizer from its `vocab.txt`: one token a line, the line is the id.

        Raises:
            DataError: the file is missing, repeats a token, or lacks a special token.
        """
        lines = _read_text(Path(path)).split("\n")
        if lines[-1] == "":
            lines.pop()
        return cls.from_tokens([line.rstrip("\r") for line in lines], max_tokens, str(path))

    @classmethod
    def from_tokens(
        cls, tokens: Iterable[str], max_tokens: int, source: str = "vocabulary"
    ) -> CaptionTokenizer:
        """Build BERT's uncased tokenizer from tokens in the order of their ids.

        Raises:
            DataError: a token is repeated, or a special token is missing.
        """
        vocabulary: dict[str, int] = {}
        for index, token in enumerate(tokens):
            if token in vocabulary:
                raise DataError(f"{source}: token {token!r} has two ids, {vocabulary[token]} and {index}")
            vocabulary[token] = index
        _require_special_tokens(vocabulary, source)
        model = WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100)
        tokenizer = Tokenizer(model)
        # strip_accents=None: as BERT, accents go with the capitals.
        tokenizer.normalizer = BertNormalizer(
            clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True
        )
        tokenizer.pre_tokenizer = BertPreTokenizer()
        tokenizer.post_processor = TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
        )
        tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
        return cls(tokenizer, max_tokens, source)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def to_json(self) -> str:
        """The content of a `tokenizer.json`; the same text for the same tokenizer."""
        return str(self._tokenizer.to_str(pretty=True)) + "\n"

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Name the tokens behind ids.

        Raises:
            DataError: an id is not in the vocabulary.
        """
        names = []
        for index in ids:
            name = self._tokenizer.id_to_token(int(index)) if index >= 0 else None
            if name is None:
                raise DataError(f"token id {index} is not in a vocabulary of {self.vocab_size} tokens")
            names.append(str(name))
        return names

    def encode(
        self, captions: Sequence[str], *, normalize: bool = True, pad_to: int | None = None
    ) -> EncodedCaptions:
        """Turn captions into ids.

        Args:
            captions: B sentences.
            normalize: apply `normalize_caption` first, with `max_tokens` as its number of words.
            pad_to: pad every caption to this length T; None pads to the longest of this call.

        Returns:
            Ids and mask (B, T); T <= `max_tokens` unless `pad_to` says more. What is too long is cut and
            keeps its [SEP].

        Raises:
            DataError: a caption is empty or no valid unicode; the message names its index.
            UsageError: `captions` is a single string, or one of them is longer than `pad_to`.
        """
        if isinstance(captions, str):
            raise UsageError("captions is one string; give a list of strings")
        rows = [self._ids(caption, normalize, index) for index, caption in enumerate(captions)]
        longest = max(map(len, rows), default=0)
        length = longest if pad_to is None else pad_to
        if longest > length:
            raise UsageError(f"a caption has {longest} tokens, more than pad_to = {length}")
        input_ids = np.full((len(rows), length), self.pad_id, dtype=np.int64)
        attention_mask = np.zeros((len(rows), length), dtype=np.int64)
        for index, row in enumerate(rows):
            input_ids[index, : len(row)] = row
            attention_mask[index, : len(row)] = 1
        return EncodedCaptions(input_ids, attention_mask)

    def _ids(self, caption: str, normalize: bool, index: int) -> list[int]:
        try:
            text = normalize_caption(caption, self.max_tokens) if normalize else caption
            text.encode()
        except (DataError, UnicodeEncodeError) as error:
            raise DataError(f"caption {index}: {error}") from error
        # One call per caption: the library's batch call starts threads, and a process that forks
        # data-loading workers afterwards is warned about them.
        pieces = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [self.cls_id, *pieces[: self.max_tokens - 2], self.sep_id]


def _require_special_tokens(vocabulary: dict[str, int], source: str) -> None:
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing:
        raise DataError(f"{source}: {', '.join(missing)} not in the vocabulary; a BERT one is expected")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text: {error}") from error
