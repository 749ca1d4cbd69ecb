"""Write docs/c-api.md from the comments of cfack.h; with --check, say whether it is up to date.

A comment that begins with two stars and stands before a declaration describes it; `@section NAME` begins a
chapter. Comments behind a member (`/**<`) stay in the code.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HEADER = ROOT / "runtime" / "c" / "include" / "cfack.h"
PAGE = ROOT / "docs" / "c-api.md"

_INTRODUCTION = """# libcfack, the C API

<!-- Made by runtime/c/tools/make_c_api_docs.py from cfack.h: change the comments there, then run that script. -->

The runtime behind a C ABI, for programs without Python: it reads and writes the same bundles and galleries as
`cfack_runtime` and gives the same answers. `runtime/c/examples/search.c` is a whole program; `cfack.hpp` wraps the
handles for C++11.

    cc search.c $(pkg-config --cflags --libs cfack)

[Building it](c-build.md) says what it needs and how it is tested. ONNX Runtime is loaded when a bundle is opened: any
1.17 or later, from the wheel `onnxruntime` or `onnxruntime-gpu`, or a release archive.
"""
_COMMENT = re.compile(r"^/\*\*(?!<)(.*?)\*/\n", re.DOTALL | re.MULTILINE)


def page(header: str) -> str:
    """The whole page, from the text of the header."""
    parts = [_INTRODUCTION]
    for comment in _COMMENT.finditer(header):
        text = _plain(comment.group(1))
        section = re.match(r"@section (.+)", text)
        if section:
            parts.append(f"## {section.group(1)}\n")
            text = text[section.end() :].strip()
        if text:
            parts.append(f"{text}\n")
        code = "" if section else _declaration(header[comment.end() :])
        if code:
            parts.append(f"```c\n{code}\n```\n")
    return "\n".join(parts)


def _plain(comment: str) -> str:
    return "\n".join(re.sub(r"^ \*  ?|^ \* ?", "", line).rstrip() for line in comment.splitlines()).strip()


def _declaration(rest: str) -> str:
    """What follows a comment, up to the end of its declaration or a blank line."""
    depth, lines = 0, []
    for line in rest.splitlines():
        if not line.strip() and depth == 0:
            break
        lines.append(line)
        depth += line.count("{") - line.count("}")
        if depth == 0 and line.rstrip().endswith(";"):
            break
    return "\n".join(lines).replace("CFACK_API ", "").strip()


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    text = page(HEADER.read_text(encoding="utf-8"))
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write(f"{PAGE} is not what cfack.h says; run {Path(__file__).name}\n")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
