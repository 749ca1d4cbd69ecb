"""Write src/unicode_tables.inc: where `tokenizers` and Python disagree with utf8proc about a code point.

The tokenizers library carries Unicode tables of several ages, Python those of its own release. utf8proc
knows one version. This asks both libraries about every code point and writes down only the differences:

    python runtime/c/tools/make_unicode_tables.py            # write the table
    python runtime/c/tools/make_unicode_tables.py --check    # exit 1 if it would change

Run it again when the tokenizers library, the Python release or utf8proc is changed. The version of
utf8proc is written into the table, and a build against another one is refused.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import tokenizers
from tokenizers.normalizers import NFD, BertNormalizer, Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer

OUT = Path(__file__).parents[1] / "src" / "unicode_tables.inc"
CODE_POINTS = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
CATEGORIES = tuple(
    "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co".split()  # noqa: SIM905 - in utf8proc's order, shorter so
)
UTF8PROC_DECOMPOSE = 1 << 4

# Kept in the C++ code as they are, because they are rules and not data.
ALWAYS_SPACE = (0x09, 0x0A, 0x0D)
ALWAYS_DROPPED = (0xFFFD,)
TWO_LETTERS_IN_LOWER_CASE = {0x130: "i\u0307"}


class Utf8proc:
    """The installed utf8proc, through ctypes."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(ctypes.util.find_library("utf8proc") or "libutf8proc.so.2")
        self._library.utf8proc_version.restype = ctypes.c_char_p
        self._library.utf8proc_unicode_version.restype = ctypes.c_char_p
        self._library.utf8proc_tolower.restype = ctypes.c_int32
        self._library.utf8proc_get_property.restype = ctypes.POINTER(ctypes.c_int16)
        self.version: str = self._library.utf8proc_version().decode()
        self.unicode: str = self._library.utf8proc_unicode_version().decode()

    def category(self, code: int) -> str:
        """General category, as two letters."""
        return CATEGORIES[int(self._library.utf8proc_category(code))]

    def lower(self, code: int) -> str:
        """Simple lower case."""
        return chr(self._library.utf8proc_tolower(code))

    def combining_class(self, code: int) -> int:
        """Canonical combining class."""
        return int(self._library.utf8proc_get_property(code)[1])  # category, then combining class

    def decompose(self, code: int) -> str:
        """Full canonical decomposition, or the code point itself."""
        room = (ctypes.c_int32 * 32)()
        boundary = ctypes.c_int(0)
        count = self._library.utf8proc_decompose_char(
            code, room, 32, UTF8PROC_DECOMPOSE, ctypes.byref(boundary)
        )
        return "".join(map(chr, room[:count]))


def bert(**steps: bool) -> Callable[[str], str]:
    """Only the named steps of BERT's normalizer."""
    every = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return BertNormalizer(**{**every, **steps}).normalize_str


def dropped_by_clean_text() -> set[int]:
    """Code points that vanish in BERT's `clean_text`."""
    clean = bert(clean_text=True)
    return {code for code in CODE_POINTS if clean(f"a{chr(code)}b") == "ab"}


def dropped_with_accents() -> set[int]:
    """Code points that vanish in BERT's `strip_accents`."""
    strip = bert(strip_accents=True)
    return {code for code in CODE_POINTS if strip(f"a{chr(code)}b") == "ab"}


def punctuation() -> set[int]:
    """Code points that BERT makes a word of their own."""
    split = BertPreTokenizer().pre_tokenize_str
    return {
        code for code in CODE_POINTS if [part for part, _ in split(f"a{chr(code)}b")] == ["a", chr(code), "b"]
    }


def combining_classes(utf8proc: Utf8proc) -> dict[int, int]:
    """The canonical combining class that the tokenizers library orders a mark by.

    It can only be seen in the order of two marks: NFD sorts a pair whose first class is the higher one.
    Compared with one old mark of every class, the classes that stay and those that swap meet at its own.
    """
    nfd = NFD().normalize_str

    def moves(code: int) -> bool:
        above, below = f"a\u0345{chr(code)}", f"a{chr(code)}\u0334"  # classes 240 and 1, the extremes
        return nfd(above) != above or nfd(below) != below

    marks = [code for code in CODE_POINTS if nfd(chr(code)) == chr(code) and moves(code)]
    known: dict[int, str] = {}
    for code in sorted(marks, key=lambda code: unicodedata.ucd_3_2_0.category(chr(code)) == "Cn"):
        known.setdefault(utf8proc.combining_class(code), chr(code))
    # The first known mark that a mark does not swap with is of its own class.
    return {
        code: next(
            of for of in sorted(known) if nfd(f"a{chr(code)}{known[of]}") == f"a{chr(code)}{known[of]}"
        )
        for code in marks
    }


def ranges(codes: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of the runs in `codes`."""
    found: list[tuple[int, int]] = []
    for code in sorted(codes):
        if found and found[-1][1] == code - 1:
            found[-1] = (found[-1][0], code)
        else:
            found.append((code, code))
    return found


def mapped_ranges(values: Mapping[int, int]) -> list[tuple[int, int, int]]:
    """First, last and value of runs that share a value."""
    return [
        (first, last, value)
        for value in sorted(set(values.values()))
        for first, last in ranges(code for code in values if values[code] == value)
    ]


def rows(name: str, kind: str, entries: Iterable[tuple[int, ...]], comment: str) -> str:
    """One C++ array."""
    lines = [f"// {comment}", f"constexpr {kind} {name}[] = {{"]
    line = "   "
    for entry in entries:
        item = " {" + ", ".join(f"0x{part:04X}" for part in entry) + "},"
        if len(line) + len(item) > 110:
            lines.append(line)
            line = "   "
        line += item
    return "\n".join([*lines, line, "};", ""])


def case_classes() -> tuple[set[int], set[int]]:
    """Case-ignorable and cased code points, as Python's final sigma sees them."""
    skipped, cased = set(), set()
    for code in CODE_POINTS:
        if f"{chr(code)}\u03a3".lower().endswith("\u03c2"):
            cased.add(code)
        elif f"A{chr(code)}\u03a3".lower().endswith("\u03c2"):
            skipped.add(code)
    return skipped, cased


def check_rules(utf8proc: Utf8proc) -> None:
    """Stop where the C++ code itself would have to change."""
    clean, chinese, lower = bert(clean_text=True), bert(handle_chinese_chars=True), Lowercase().normalize_str
    nfd = NFD().normalize_str
    blocks = ranges(code for code in CODE_POINTS if chinese(chr(code)) != chr(code))
    assert blocks == [
        (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B81F),
        (0x2B920, 0x2CEAF), (0x2F800, 0x2FA1F),
    ], blocks  # fmt: skip
    for code in CODE_POINTS:
        text = chr(code)
        assert clean(text) in ("", text, " "), hex(code)
        assert nfd(text) in (text, utf8proc.decompose(code)), hex(code)
        assert lower(text) == TWO_LETTERS_IN_LOWER_CASE.get(code, lower(text)[0]), hex(code)
        if unicodedata.category(text) != "Cn":  # of a newer Unicode; `tokenizers` lowers it afterwards
            of = utf8proc.lower(code) if unicodedata.unidata_version <= utf8proc.unicode else text.lower()
            assert text.lower() == TWO_LETTERS_IN_LOWER_CASE.get(code, of), hex(code)


def table() -> str:
    """The whole file."""
    utf8proc = Utf8proc()
    check_rules(utf8proc)
    category = {code: utf8proc.category(code) for code in CODE_POINTS}
    others = {code for code in CODE_POINTS if category[code] in ("Cc", "Cf", "Co")} - {*ALWAYS_SPACE}
    dropped = dropped_by_clean_text() - {*ALWAYS_DROPPED}
    marks, their_marks = {code for code in CODE_POINTS if category[code] == "Mn"}, dropped_with_accents()
    ascii_punctuation = {code for code in range(128) if chr(code) in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"}
    points = {code for code in CODE_POINTS if category[code][0] == "P"} | ascii_punctuation
    their_points = punctuation()
    nfd, lower = NFD().normalize_str, Lowercase().normalize_str
    lowered = [
        (code, ord(lower(chr(code))))
        for code in CODE_POINTS
        if code not in TWO_LETTERS_IN_LOWER_CASE and lower(chr(code)) != utf8proc.lower(code)
    ]
    ours = {code: utf8proc.combining_class(code) for code in CODE_POINTS}
    theirs = combining_classes(utf8proc)
    classes = {
        code: theirs.get(code, 0)
        for code in CODE_POINTS
        if ours[code] != theirs.get(code, 0) and nfd(chr(code)) == chr(code)
    }
    ignorable = {code for code in CODE_POINTS if category[code] in ("Mn", "Me", "Cf", "Lm", "Sk")}
    letters = {code for code in CODE_POINTS if category[code] in ("Lu", "Ll", "Lt")} - ignorable
    skipped, cased = case_classes()
    assert not dropped - others
    parts = [
        "// Generated by tools/make_unicode_tables.py; do not edit.",
        f"// utf8proc {utf8proc.version} (Unicode {utf8proc.unicode}) against",
        f"// tokenizers {tokenizers.__version__} and the Unicode {unicodedata.unidata_version} of Python.",
        "// Every table is sorted, for binary search.",
        "",
        f'constexpr const char kUnicodeVersion[] = "{utf8proc.unicode}";',
        "",
        rows(
            "kNotOther",
            "Range",
            ranges(others - dropped),
            "Cc, Cf or Co, but kept by tokenizers' clean_text.",
        ),
        rows(
            "kMark", "Range", ranges(their_marks - marks), "Not Mn, but stripped as an accent by tokenizers."
        ),
        rows("kNotMark", "Range", ranges(marks - their_marks), "Mn, but no accent to tokenizers."),
        rows("kPunctuation", "Range", ranges(their_points - points), "Punctuation to tokenizers only."),
        rows("kNotPunctuation", "Range", ranges(points - their_points), "Punctuation to utf8proc only."),
        rows(
            "kNotDecomposed",
            "Range",
            ranges(code for code in CODE_POINTS if nfd(chr(code)) != utf8proc.decompose(code)),
            "Has a canonical decomposition, which tokenizers does not know.",
        ),
        rows(
            "kCombiningClass",
            "ClassRange",
            sorted(mapped_ranges(classes)),
            "First, last, class in tokenizers.",
        ),
        rows("kLower", "Mapping", lowered, "Capital and small letter that only tokenizers pairs."),
        rows(
            "kCaseIgnorable",
            "Range",
            ranges(skipped - ignorable),
            "Case-ignorable to Python, whatever category.",
        ),
        rows(
            "kNotCaseIgnorable", "Range", ranges(ignorable - skipped), "Not so, though Mn, Me, Cf, Lm or Sk."
        ),
        rows("kCased", "Range", ranges(cased - letters), "Cased to Python, though not Lu, Ll or Lt."),
        rows("kNotCased", "Range", ranges(letters - cased), "Not cased to Python, though Lu, Ll or Lt."),
    ]
    return "\n".join(parts)


def main() -> int:
    """Write or check the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if the table would change"
    )
    arguments = parser.parse_args()
    text = table()
    if arguments.check:
        same = OUT.exists() and OUT.read_text(encoding="utf-8") == text
        print(f"{OUT}: {'up to date' if same else 'would change; run this without --check'}")
        return 0 if same else 1
    OUT.write_text(text, encoding="utf-8")
    print(f"{OUT}: {len(text.splitlines())} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
