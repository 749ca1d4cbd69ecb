"""The README's table, between markers, made of results: so it cannot drift.

<!-- cfack-bench NAME -->
whatever stands here is replaced
<!-- /cfack-bench -->
"""

from __future__ import annotations

import re
from pathlib import Path

from cfack_bench.candidates import PLAIN
from cfack_bench.options import NAME
from cfack_bench.report.facts import conditions, sentence_of_accuracy
from cfack_bench.report.markdown import markdown_table
from cfack_bench.report.summary import summary
from cfack_bench.results import Results
from cfack_runtime.errors import UsageError
from cfack_runtime.files import atomic_write

_BLOCK = re.compile(rf"(<!-- cfack-bench (?P<name>{NAME}) -->\n).*?(<!-- /cfack-bench -->)", re.DOTALL)


def table_text(results: Results) -> str:
    """What stands between the markers."""
    table = summary(results, document=True)
    machine, command = conditions(results)[0], results.header["command"]
    day = results.header["created"][:10]
    accuracy = f" {sentence_of_accuracy(results)}".rstrip()
    if any(account["backend"] == PLAIN for account in results.candidates):
        accuracy += " Plain ONNX Runtime: the same graphs by default sessions and plain calls."
    notes = (
        f"{table.note} `~`: doubtful, the run was unstable or the machine busy.{accuracy}",
        f"{machine}. `{command}`, {day}.",
    )
    return "\n".join([*markdown_table(table), "", "\n\n".join(notes)]) + "\n"


def block_names(text: str) -> list[str]:
    """Names in the markers of a document."""
    return [found["name"] for found in _BLOCK.finditer(text)]


def with_table(text: str, results: Results, source: str = "the file") -> str:
    """Put the table of results between the markers that carry their name.

    Raises:
        UsageError: there are no such markers.
    """
    _require_block(text, results.name, source)

    def fill(block: re.Match[str]) -> str:
        if block["name"] != results.name:
            return block[0]
        return f"{block[1]}\n{table_text(results)}\n{block[3]}"

    return _BLOCK.sub(fill, text)


def require_markers(path: Path, name: str) -> Path:
    """Find a document that holds the markers of results; `README` stands for README.md.

    Raises:
        UsageError: there is no such file, or it holds none.
    """
    if not path.is_file() and path.with_suffix(".md").is_file():
        path = path.with_suffix(".md")
    if not path.is_file():
        raise UsageError(f"{path}: no such file; name a document with the markers of the table")
    _require_block(path.read_text(encoding="utf-8"), name, str(path))
    return path


def export_table(path: Path, results: Results) -> Path:
    """Rewrite a document's table; returns the document. See `require_markers`."""
    path = require_markers(path, results.name)
    text = path.read_text(encoding="utf-8")
    atomic_write(path, with_table(text, results, str(path)).encode())
    return path


def _require_block(text: str, name: str, source: str) -> None:
    if name not in block_names(text):
        raise UsageError(
            f"{source}: holds no markers for {name!r}; write `<!-- cfack-bench {name} -->` "
            "and `<!-- /cfack-bench -->` on two lines where the table shall stand"
        )
