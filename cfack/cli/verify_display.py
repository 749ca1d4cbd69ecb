"""What the parity gate measured, as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from cfack_export.parity.report import PrecisionReport
from cfack_export.parity.verify import Verification
from cfack_runtime.graph_contract import IMAGE_ENCODER, TEXT_ENCODER

_WIDTH = 80


def show(verification: Verification) -> None:
    """Print a verification."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    reports = verification.reports
    console.print(f"compared with {reports[0].reference}", markup=False, soft_wrap=True)
    for backend in dict.fromkeys(report.backend for report in reports):
        here = [report.precision for report in reports if report.backend == backend]
        console.print(f"{', '.join(here)} in {backend}", markup=False, soft_wrap=True)
    if (sample := reports[0].sample) is not None:
        part = "" if len(sample.paths) == sample.images_in_split else f" of {sample.images_in_split:,}"
        console.print(
            f"{sample.dataset}, {sample.split} split: {len(sample.paths):,}{part} images, "
            f"{len(sample.captions):,} captions, {sample.reranked_queries:,} of them re-ranked in "
            f"{sample.candidates} candidates",
            markup=False,
            soft_wrap=True,
        )
    console.print()
    console.print(outputs_table(reports))
    if any(report.stages for report in reports):
        console.print(retrieval_table(reports))
    if any(report.int8_tokens for report in reports):
        console.print(int8_tokens_line(reports), markup=False, soft_wrap=True)
    if verification.cross_precision is not None:
        console.print(cross_table(verification.cross_precision))


def int8_tokens_line(reports: Sequence[PrecisionReport]) -> str:
    """Whether galleries of each precision may keep image tokens in 8 bits, and the change of R@1."""
    found = [
        f"{report.precision} {'passed' if report.int8_tokens.passed else 'REFUSED'} "
        f"({report.int8_tokens.report.changes['r1'].points:+.2f})"
        for report in reports
        if report.int8_tokens is not None
    ]
    return f"Re-ranking from 8-bit gallery tokens: {', '.join(found)}\n"


def outputs_table(reports: Sequence[PrecisionReport]) -> Table:
    """One row per output; of match logits the graph is named, which may be a rewrite of the re-ranker."""
    table = _table("Outputs: largest error", ["precision", "output"])
    _numbers(table, "allowed", "error", "in a batch", "padding")
    for report in reports:
        for graph in report.graphs:
            for result in graph.outputs:
                encoder = graph.graph in (IMAGE_ENCODER, TEXT_ENCODER)
                table.add_row(
                    report.precision,
                    result.output if encoder else graph.graph,
                    f"{result.tolerance:.1e}",
                    f"{result.error:.1e}",
                    f"{result.alone.error:.1e}",
                    f"{result.padding.error:.1e}",
                )
    return table


def retrieval_table(reports: Sequence[PrecisionReport]) -> Table:
    """Both stages of every precision, against the reference's."""
    table = _table("Retrieval: percent, and points of change", ["precision", "stage"])
    _numbers(table, "R@1", "change", "95 %", "mAP", "change", "flips", "top 10")
    for report in reports:
        for name, stage in report.stages.items():
            r1, mean_ap = stage.changes["r1"], stage.changes["mean_ap"]
            table.add_row(
                report.precision,
                name,
                f"{stage.metrics.r1:.2f}",
                f"{r1.points:+.2f}",
                f"{r1.by_identity.low:+.2f}..{r1.by_identity.high:+.2f}",
                f"{stage.metrics.mean_ap:.2f}",
                f"{mean_ap.points:+.2f}",
                str(len(stage.flips.queries)),
                f"{stage.overlaps[10].mean():.3f}",
            )
    return table


def cross_table(matrix: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """Every gallery with the queries of every other precision."""
    table = _table("Galleries and queries of two precisions", ["gallery", "queries", "compatible"])
    _numbers(table, "R@1 change", "re-ranked")
    for gallery, cells in matrix.items():
        for queries, cell in cells.items():
            changes = [
                f"{cell[stage]['r1_change']:+.2f}" if stage in cell else "-" for stage in ("dual", "reranked")
            ]
            table.add_row(gallery, queries, "yes" if cell["compatible"] else "no", *changes)
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _numbers(table: Table, *columns: str) -> None:
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
