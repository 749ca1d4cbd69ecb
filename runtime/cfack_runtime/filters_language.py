"""Filters as sentences: `camera=east and (time>=2024-05-01 or not night=true) and id in (3, 7)`.

    sentence   = both {"or" both}
    both       = part {"and" part}
    part       = "not" part | "(" sentence ")" | comparison
    comparison = field operator value | field "in" "(" value {"," value} ")"
    operator   = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~"

Field and value are words without spaces, or stand in quotation marks, single or double. A value without
them is compared with numbers as a number, with text as text; one with them is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cfack_runtime.errors import UsageError
from cfack_runtime.filters import OPERATORS, All, AnyOf, Compare, Condition, Not, Word

_LONGEST = 10_000
_DEEPEST = 50
_TOKEN = re.compile(
    r"""\s*(?:(?P<symbol><=|>=|!=|==|[=<>~(),])|"(?P<double>[^"]*)"|'(?P<single>[^']*)'"""
    r"""|(?P<word>[^\s=<>!~(),"']+))"""
)
_END = "the end"


@dataclass(frozen=True)
class _Token:
    text: str
    quoted: bool
    at: int
    symbol: bool = False

    def is_word(self, *words: str) -> bool:
        return not self.quoted and not self.symbol and self.text.lower() in words

    def is_symbol(self, text: str) -> bool:
        return self.symbol and self.text == text


def parse_sentence(sentence: str) -> Condition:
    """Understand a filter.

    Raises:
        UsageError: it is malformed; the message shows the place.
    """
    if len(sentence) > _LONGEST:
        raise UsageError(f"a filter of {len(sentence)} characters; at most {_LONGEST} are read")
    parser = _Parser(sentence)
    condition = parser.sentence(0)
    if not parser.at_end:
        raise parser.error("expected 'and', 'or' or the end")
    return condition


class _Parser:
    """A sentence, and how far it has been read."""

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence
        self._tokens = _split(sentence)
        self._place = 0

    @property
    def at_end(self) -> bool:
        return self._place == len(self._tokens) - 1

    def sentence(self, depth: int) -> Condition:
        parts = [self._both(depth)]
        while self._next().is_word("or"):
            self._take()
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _both(self, depth: int) -> Condition:
        parts = [self._part(depth)]
        while self._next().is_word("and"):
            self._take()
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _part(self, depth: int) -> Condition:
        if depth > _DEEPEST:
            raise self.error("nested too deeply")
        if self._next().is_word("not"):
            self._take()
            return Not(self._part(depth + 1))
        if self._next().is_symbol("("):
            self._take()
            inside = self.sentence(depth + 1)
            self._expect(")")
            return inside
        return self._comparison()

    def _comparison(self) -> Condition:
        if self._next().symbol or self._next().is_word("and", "or", "in"):
            raise self.error("expected the name of a field")
        field = self._take().text
        if self._next().is_word("in"):
            self._take()
            self._expect("(")
            values = [self._value()]
            while self._next().is_symbol(","):
                self._take()
                values.append(self._value())
            self._expect(")")
            return AnyOf(tuple(Compare(field, "=", value) for value in values))
        if not self._next().symbol or self._next().text not in (*OPERATORS, "=="):
            raise self.error(f"expected =, !=, <, <=, >, >=, ~ or 'in' after {field!r}")
        op = self._take().text
        return Compare(field, "=" if op == "==" else op, self._value())

    def _value(self) -> Word | str:
        if self._next().symbol:
            raise self.error("expected a value")
        token = self._take()
        return token.text if token.quoted else Word(token.text)

    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        token = self._next()
        self._place += 1
        return token

    def _expect(self, symbol: str) -> None:
        if not self._next().is_symbol(symbol):
            raise self.error(f"expected {symbol!r}")
        self._take()

    def error(self, expected: str) -> UsageError:
        return _error(self._sentence, self._next().at, self._next().text, expected)


def _split(sentence: str) -> list[_Token]:
    tokens, at, end = [], 0, len(sentence.rstrip())
    while at < end:
        found = _TOKEN.match(sentence, at)
        if found is None:
            at += len(sentence[at:]) - len(sentence[at:].lstrip())
            raise _error(sentence, at, sentence[at], "expected a word, a comparison or a closed quotation")
        kind = str(found.lastgroup)
        tokens.append(_Token(found[kind], kind in ("double", "single"), found.start(kind), kind == "symbol"))
        at = found.end()
    return [*tokens, _Token(_END, quoted=False, at=end, symbol=True)]


def _error(sentence: str, at: int, got: str, expected: str) -> UsageError:
    return UsageError(f"filter {sentence!r}: {expected} at character {at + 1}, got {got}")
