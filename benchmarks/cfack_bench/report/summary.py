"""The table that stands first, and in documents: one line for each candidate."""

from __future__ import annotations

from collections.abc import Callable

from cfack_bench.cases import COLD_START, IMAGES, QUERY, TEXTS
from cfack_bench.report.cells import DASH, UNSTABLE, megabytes, number
from cfack_bench.report.names import accuracy, label, title
from cfack_bench.report.table import Table
from cfack_bench.results import Results
from cfack_bench.row import Row

Find = Callable[[Results, str], "Row | None"]


def summary(results: Results, *, document: bool = False) -> Table:
    """What decides: a query, its parts, a start, memory, accuracy.

    Args:
        results: of a run.
        document: for a page, with longer names than a terminal has room for.
    """
    deepest = max(
        (row.case.sizes["candidates"] for row in results.rows if row.case.measure == QUERY), default=0
    )

    def query(found: Results, candidate: str) -> Row | None:
        return _row(found, candidate, QUERY, candidates=deepest, clients=1)

    picks: list[tuple[str, Find, Callable[[Row], str]]] = [
        (f"@{deepest}", query, _median),
        ("p95", query, lambda row: _short(row.figures.p95)),
        ("@0", lambda r, c: _row(r, c, QUERY, candidates=0, clients=1), _median),
        ("image", lambda r, c: _row(r, c, IMAGES, batch=1), _median),
        ("text", lambda r, c: _row(r, c, TEXTS, batch=1), _median),
        ("cold", lambda r, c: _row(r, c, COLD_START), lambda row: _short(row.figures.p50 / 1e3)),
        ("peak", query, lambda row: megabytes(row.peak_host_bytes)),
        ("GPU", query, lambda row: megabytes(row.peak_device_bytes)),
    ]
    if not deepest:
        del picks[2]
    if not any(row.peak_device_bytes for row in results.rows):
        picks.pop()
    rows = []
    for account in results.candidates:
        cells = [_shown(find(results, account["id"]), show) for _, find, show in picks]
        model = megabytes(account["model_bytes"])
        name = title(account) if document else label(account)
        rows.append((name, *cells, model, accuracy(results, account)))
    headings = ("", *(heading for heading, _, _ in picks), "model", "accuracy")
    if document:
        headings = tuple(_in_a_document(heading, deepest) for heading in headings)
        return Table("Summary", headings, tuple(rows), _DOCUMENT_NOTE, words=1)
    return Table("Summary", headings, tuple(rows), _note(deepest, gpu="GPU" in headings), words=1)


_DOCUMENT_NOTE = (
    "Milliseconds, medians; of the query with re-ranking also the 95th percentile. Query: from the sentence "
    "to the ranked images, by one client. Cold start: from starting the process to the first answer."
)


def _in_a_document(heading: str, deepest: int) -> str:
    return {
        f"@{deepest}": f"query, {deepest} re-ranked" if deepest else "query",
        "@0": "query, none re-ranked",
        "image": "one image",
        "text": "one text",
        "cold": "cold start, s",
        "peak": "memory, MB",
        "GPU": "GPU memory, MB",
        "model": "model, MB",
    }.get(heading, heading)


def _note(deepest: int, *, gpu: bool) -> str:
    reranked = f"with the best {deepest} candidates re-ranked" if deepest else "without re-ranking"
    return (
        f"Milliseconds, medians. @{deepest}: one query, from the sentence to the ranked images, {reranked}; "
        "p95: 19 of 20 are faster. "
        + ("@0: the same without re-ranking. " if deepest else "")
        + "image, text: encoding one. cold: seconds from starting the process to the first answer. "
        f"peak: MB of memory in that query{', GPU: MB of device memory' if gpu else ''}; "
        "model: MB of files that are loaded."
    )


def _median(row: Row) -> str:
    """The median with one sign if anything makes it doubtful; other tables say what."""
    return _short(row.figures.p50) + (UNSTABLE if row.marks else "")


def _short(value: float | None) -> str:
    """A digit less than elsewhere below 1, so that ten columns fit a terminal."""
    return f"{value:.2f}" if value is not None and 0.1 <= value < 1 else number(value)


def _shown(row: Row | None, show: Callable[[Row], str]) -> str:
    return DASH if row is None else show(row)


def _row(results: Results, candidate: str, measure: str, **parameters: float) -> Row | None:
    return next(
        (
            row
            for row in results.rows
            if row.candidate == candidate
            and row.case.measure == measure
            and all(row.case.parameters[name] == value for name, value in parameters.items())
        ),
        None,
    )
