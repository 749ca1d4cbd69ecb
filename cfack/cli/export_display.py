"""What an export has written, as a table for a terminal of 80 columns and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from cfack_runtime.bundle import Bundle

_NAMED = 6
"""Layers and nodes that are named; parity.json has all."""


def summary(bundle: Bundle) -> dict[str, object]:
    """For `--json`."""
    return {
        "bundle": str(bundle.path),
        "embedding_space": bundle.embedding_space,
        "graphs": {
            precision: {
                name: {"path": graph.file.path, "size": graph.file.size, "sha256": graph.file.sha256}
                for name, graph in graphs.items()
            }
            for precision, graphs in bundle.manifest.graphs.items()
        },
        "engines": [
            {"path": engine.file.path, "size": engine.file.size, "builder": engine.builder}
            for engine in bundle.manifest.engines
        ],
        "parity": {precision: dict(report) for precision, report in bundle.manifest.parity.items()},
        "conversions": {
            precision: {"restored_layers": _restored(report), "nodes_in_fp32": _kept(report)}
            for precision, report in _conversions(bundle).items()
        },
    }


def show(bundle: Bundle) -> None:
    """Print a table of graphs, what was left out of each conversion, and the verdict."""
    table = Table("graph", "precision")
    for title in ("size", "largest error"):
        table.add_column(title, justify="right")
    for precision, graphs in bundle.manifest.graphs.items():
        parity = bundle.manifest.parity[precision]
        for name, graph in graphs.items():
            error = parity.get(f"{name}_error")
            shown = f"{error:.1e}" if isinstance(error, float) else "-"
            verdict = shown if parity["passed"] else f"{shown}, refused"
            table.add_row(name, precision, f"{graph.file.size / 1e6:.1f} MB", verdict)
    console = Console()
    console.print(table)
    for line in _left_out(bundle):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    if bundle.manifest.engines:
        console.print(f"{len(bundle.manifest.engines)} engines; `cfack inspect` lists them")
    passed = ", ".join(bundle.manifest.passed)
    console.print(f"{bundle.path}: {passed} passed the parity gate, see its README.md", soft_wrap=True)


def _left_out(bundle: Bundle) -> list[str]:
    lines = []
    for precision, report in _conversions(bundle).items():
        if restored := _restored(report):
            lines.append(
                f"{precision}: {_count(restored, 'layer is', 'layers are')} not quantised: {_names(restored)}"
            )
        if kept := _kept(report):
            lines.append(f"{precision}: {_count(kept, 'node stays', 'nodes stay')} in FP32: {_names(kept)}")
    return lines


def _conversions(bundle: Bundle) -> dict[str, Mapping[str, Any]]:
    return {
        precision: entry["conversion"]
        # A bundle that was written by hand may have any parity.json.
        for precision, entry in read_document(bundle).get("precisions", {}).items()
        if entry.get("conversion")
    }


def read_document(bundle: Bundle) -> Any:
    """Give the content of `parity.json`, which was hashed when the bundle was opened."""
    return json.loads((bundle.path / "parity.json").read_text())


def _restored(report: Mapping[str, Any]) -> list[str]:
    return list(report.get("restored", {}).get("exclude", ()))


def _kept(report: Mapping[str, Any]) -> list[str]:
    """Of the rewrites too, whose nodes have the same names."""
    nodes = (node["name"] for graph in report["graphs"].values() for node in graph.get("kept_fp32", ()))
    return list(dict.fromkeys(nodes))


def _count(names: list[str], one: str, more: str) -> str:
    return f"{len(names)} {one if len(names) == 1 else more}"


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more, see parity.json" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
