"""The README's table, between markers, made of results: so it cannot drift.

<!-- cfack-bench NAME -->
whatever stands here is replaced
<!-- /cfack-bench -->
"""

from __future__ import annotations

import re
from pathlib import Path

from cfack_bench.report.facts import conditions
from cfack_bench.report.markdown import markdown_table
from cfack_bench.report.view import summary
from cfack_bench.results import Results
from cfack_runtime.errors import UsageError
from cfack_runtime.files import atomic_write

_BLOCK = re.compile(r"(<!-- cfack-bench (?P<name>[\w.-]+) -->\n).*?(<!-- /cfack-bench -->)", re.DOTALL)


def table_text(results: Results) -> str:
    """What stands between the markers."""
    table = summary(results)
    machine, command = conditions(results)[0], results.header["command"]
    day = results.header["created"][:10]
    note = f"{table.note} {machine}. `{command}`, {day}; `~` unstable, `*` busy machine."
    return "\n".join([*markdown_table(table), "", note]) + "\n"


def block_names(text: str) -> list[str]:
    """Names in the markers of a document."""
    return [found["name"] for found in _BLOCK.finditer(text)]


def with_table(text: str, results: Results, source: str = "the file") -> str:
    """Put the table of results between the markers that carry their name.

    Raises:
        UsageError: there are no such markers.
    """
    if results.name not in block_names(text):
        raise UsageError(
            f"{source}: holds no markers for {results.name!r}; write `<!-- cfack-bench {results.name} -->` "
            "and `<!-- /cfack-bench -->` on two lines where the table shall stand"
        )

    def fill(block: re.Match[str]) -> str:
        if block["name"] != results.name:
            return block[0]
        return f"{block[1]}\n{table_text(results)}\n{block[3]}"

    return _BLOCK.sub(fill, text)


def export_table(path: Path, results: Results) -> Path:
    """Rewrite a document's table; `README` stands for README.md.

    Raises:
        UsageError: there is no such file, or it holds no markers for these results.
    """
    if not path.is_file() and path.with_suffix(".md").is_file():
        path = path.with_suffix(".md")
    if not path.is_file():
        raise UsageError(f"{path}: no such file; name a document with the markers of the table")
    text = path.read_text(encoding="utf-8")
    atomic_write(path, with_table(text, results, str(path)).encode())
    return path
