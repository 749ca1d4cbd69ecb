"""Every form of report in one folder."""

from __future__ import annotations

from pathlib import Path

from cfack_bench.report.csv_file import csv_text
from cfack_bench.report.html import html_page
from cfack_bench.report.markdown import markdown
from cfack_bench.results import Results
from cfack_runtime.files import atomic_write

RESULTS, MARKDOWN, CSV, HTML = "results.json", "results.md", "results.csv", "report.html"


def write_results(results: Results, folder: Path) -> Path:
    """Write `results.json`, before anything else can fail."""
    folder.mkdir(parents=True, exist_ok=True)
    results.save(folder / RESULTS)
    return folder / RESULTS


def write_reports(results: Results, folder: Path, *, plots: bool = True) -> list[Path]:
    """Write Markdown, CSV, the page and the plots.

    Raises:
        ModuleNotFoundError: plots are wanted and matplotlib is missing; all but them and the page is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in ((MARKDOWN, markdown(results)), (CSV, csv_text(results))):
        atomic_write(folder / name, text.encode())
        written.append(folder / name)
    pictures = _draw(results) if plots else {}
    for name, data in pictures.items():
        atomic_write(folder / name, data)
        written.append(folder / name)
    atomic_write(folder / HTML, html_page(results, pictures).encode())
    return [*written, folder / HTML]


def _draw(results: Results) -> dict[str, bytes]:
    from cfack_bench.report.plots import draw_plots

    return draw_plots(results)
