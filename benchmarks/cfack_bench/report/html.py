"""One page that needs nothing else: tables, plots, conditions, and the raw samples."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape

from cfack_bench.report.cells import LEGEND
from cfack_bench.report.facts import candidates, conditions, doubts, sentence_of_stop
from cfack_bench.report.table import Table
from cfack_bench.report.view import tables
from cfack_bench.results import Results

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: GrayText; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .2rem .45rem; border-bottom: 1px solid var(--line); text-align: right; }
th { vertical-align: bottom; } td { white-space: nowrap; }
th.word, td.word { text-align: left; }
tbody tr:hover { background: #8881; }
td.word:first-child, th.word:first-child { position: sticky; left: 0; background: Canvas; }
p.note { color: var(--soft); font-size: .85rem; }
img { max-width: 100%; background: white; border-radius: 4px; }
code { background: #8882; padding: 0 .25rem; border-radius: 3px; }
.stop { border-left: 4px solid #d55e00; padding-left: .8rem; }
"""


_ALT = {
    "latency-candidates.png": "Median latency of a query and R@1, against the number of candidates re-ranked",
    "throughput-accuracy.png": "Queries a second against R@1, a line for each candidate",
    "latency-batch.png": "Median latency of image encoding against the batch, a line for each candidate",
    "stages.png": "Share of each stage in the time of a query, a bar for each candidate",
}
"""What a picture says to those who do not see it; the figures are in the tables."""


def html_page(results: Results, plots: Mapping[str, bytes]) -> str:
    """Write the page; it loads nothing, and holds `results.json` as a script element.

    Args:
        results: what was measured.
        plots: file name -> PNG.
    """
    stop = sentence_of_stop(results)
    parts = [f"<h1>{escape(results.name)}: what a query costs</h1>"]
    if stop:
        parts.append(f'<p class="stop">{escape(stop)}</p>')
    found = tables(results)
    parts += [*map(_table, found[:1]), *_pictures(plots), *map(_table, found[1:])]
    parts.append(_list("How to read it", LEGEND))
    parts += [_list("Candidates", candidates(results)), _list("Conditions", conditions(results))]
    if doubted := doubts(results):
        parts.append(_list("Doubts", doubted))
    if results.not_run:
        parts.append(_not_run(results))
    raw = json.dumps(results.to_json(), separators=(",", ":")).replace("<", "\\u003c")
    parts.append(
        "<h2>Raw samples</h2><p>In this page's element <code>#results</code>, as in results.json.</p>"
    )
    parts.append(f'<script type="application/json" id="results">{raw}</script>')
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(results.name)}: cfack bench</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _table(table: Table) -> str:
    def cells(tag: str, row: tuple[str, ...]) -> str:
        return "".join(
            f"<{tag}{' class=word' if index < table.words else ''}>{escape(cell)}</{tag}>"
            for index, cell in enumerate(row)
        )

    rows = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    head = f"<thead><tr>{cells('th', table.headings)}</tr></thead>"
    body = f"{head}<tbody>\n{rows}\n</tbody>"
    return f'<h2>{escape(table.title)}</h2>\n<div class="scroll"><table>{body}</table></div>{note}'


def _pictures(plots: Mapping[str, bytes]) -> list[str]:
    return [
        f'<p><img alt="{escape(_ALT.get(name, name))}" '
        f'src="data:image/png;base64,{base64.b64encode(data).decode()}"></p>'
        for name, data in plots.items()
    ]


def _list(title: str, items: tuple[str, ...] | list[str]) -> str:
    return f"<h2>{title}</h2>\n<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _not_run(results: Results) -> str:
    items = "".join(
        f"<li>{escape(entry['what'])}: {escape(entry['reason'])}"
        + (f"<br><code>{escape(entry['command'])}</code>" if entry["command"] else "")
        + "</li>"
        for entry in results.not_run
    )
    return f"<h2>Not run</h2>\n<ul>{items}</ul>"
