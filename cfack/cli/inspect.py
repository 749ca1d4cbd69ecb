"""`cfack inspect`: a bundle on one screen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cfack_runtime.bundle import Bundle
    from cfack_runtime.engine import EngineEntry

_WIDTH = 80
_COLUMN = 12


@click.command("inspect")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Read every file and compare its hash; sizes always are.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a screen.")
def command(bundle: Path, check: bool, as_json: bool) -> None:
    """Show what the bundle BUNDLE holds: graphs, operators, precisions, sizes, engines and parity.

    Nothing is run, and neither PyTorch nor onnx is needed.
    """
    from cfack_runtime.bundle import Bundle
    from cfack_runtime.bundle_files import check_hash

    opened = Bundle.open(bundle, check_graphs=check)
    if check:
        for engine in opened.manifest.engines:
            check_hash(opened.path, engine.file)
    operators = _operators(opened)
    if as_json:
        click.echo(json.dumps(_summary(opened, operators), indent=2))
    else:
        for line in _screen(opened, operators):
            click.echo(line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}...")


Operators = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Precision -> graph -> operator -> nodes."""


def _operators(bundle: Bundle) -> Operators:
    from cfack_runtime.onnx_scan import count_operators

    return {
        precision: {name: count_operators(bundle.graph_path(precision, name)) for name in graphs}
        for precision, graphs in bundle.manifest.graphs.items()
    }


def _summary(bundle: Bundle, operators: Operators) -> dict[str, Any]:
    from dataclasses import asdict

    from cfack_runtime.engine_json import engines_json

    manifest = bundle.manifest
    return {
        "bundle": str(bundle.path),
        "created_by": manifest.created_by,
        "embedding_space": manifest.embedding_space,
        "checkpoint_sha256": manifest.checkpoint_sha256,
        "model": asdict(manifest.geometry),
        "graphs": {
            precision: {
                name: {**asdict(graph.file), "operators": dict(operators[precision][name])}
                for name, graph in graphs.items()
            }
            for precision, graphs in manifest.graphs.items()
        },
        "engines": engines_json(manifest.engines),
        "parity": {precision: dict(report) for precision, report in manifest.parity.items()},
    }


def _screen(bundle: Bundle, operators: Operators) -> Iterator[str]:
    manifest, sizes = bundle.manifest, bundle.manifest.geometry
    yield f"{bundle.path.name}: {manifest.created_by or 'unknown writer'}"
    yield f"  weights {manifest.checkpoint_sha256[:16]}  embedding space {bundle.embedding_space[:16]}"
    yield (
        f"  {sizes.image_height} x {sizes.image_width} pixels to {sizes.image_token_count} tokens of "
        f"{sizes.image_token_width}; up to {sizes.max_tokens} word pieces of {sizes.text_token_width}; "
        f"D {sizes.embed_dim}"
    )
    yield ""
    yield from _graph_table(bundle)
    yield ""
    yield "operators"
    for precision, graphs in operators.items():
        yield _operator_line(precision, graphs)
    yield ""
    yield from _engine_lines(manifest.engines)
    yield ""
    yield from _parity_table(manifest.parity)


def _graph_table(bundle: Bundle) -> Iterator[str]:
    graphs = bundle.manifest.graphs
    names = list(dict.fromkeys(name for entries in graphs.values() for name in entries))
    yield _row("graphs", list(graphs))
    for name in names:
        yield _row(f"  {name}", [_size(e[name].file.size) if name in e else "-" for e in graphs.values()])
    yield _row("  all", [_size(sum(g.file.size for g in e.values())) for e in graphs.values()])


def _operator_line(precision: str, graphs: Mapping[str, Mapping[str, int]]) -> str:
    counts: dict[str, int] = {}
    for graph in graphs.values():
        for operator, count in graph.items():
            counts[operator] = counts.get(operator, 0) + count
    line = f"  {precision:9}{sum(counts.values()):6}  "
    listed = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for index, (operator, count) in enumerate(listed):
        part = f"{', ' if index else ''}{operator} {count}"
        if len(line) + len(part) > _WIDTH - 12:
            return f"{line}, {len(listed) - index} more"
        line += part
    return line


def _engine_lines(engines: Sequence[EngineEntry]) -> Iterator[str]:
    if not engines:
        yield "engines: none"
        return
    groups: dict[tuple[str, ...], list[EngineEntry]] = {}
    for engine in engines:
        state = "verified" if engine.verified else "unverified"
        key = (f"{engine.builder} {engine.builder_version}", _target(engine), engine.precision, state)
        groups.setdefault(key, []).append(engine)
    yield "engines"
    for (builder, target, precision, state), members in groups.items():
        size = _size(sum(engine.file.size for engine in members))
        extras = "".join(f", {name}" for name in ("stripped",) if members[0].stripped)
        yield f"  {builder:23}{target:12}{precision:6}{len(members):2} graphs {size:>9}  {state}{extras}"


def _target(engine: EngineEntry) -> str:
    suffix = {"none": "", "ampere+": "+", "same-compute-capability": " any"}[engine.compatibility]
    return f"GPU {'8.0' if suffix == '+' else engine.compute_capability}{suffix}"


_PARITY = (
    ("largest error", "_error", "{:.1e}"),
    ("R@1 %", "dual_r1", "{:.2f}"),
    ("  change", "dual_r1_change", "{:+.2f}"),
    ("R@1 % re-ranked", "reranked_r1", "{:.2f}"),
    ("  change", "reranked_r1_change", "{:+.2f}"),
)


def _parity_table(parity: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield _row("parity with PyTorch", list(parity))
    yield _row("  passed", ["yes" if report["passed"] else "NO" for report in parity.values()])
    for title, key, form in _PARITY:
        cells = [_cell(report, key, form) for report in parity.values()]
        if any(cell != "-" for cell in cells):
            yield _row(f"  {title}", cells)


def _cell(report: Mapping[str, Any], key: str, form: str) -> str:
    if key == "_error":
        values = [v for name, v in report.items() if name.endswith(key) and isinstance(v, int | float)]
    else:
        values = [report[key]] if isinstance(report.get(key), int | float) else []
    return form.format(max(values)) if values else "-"


def _row(title: str, cells: Sequence[str]) -> str:
    return f"{title:24}" + "".join(f"{cell:>{_COLUMN}}" for cell in cells)


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"
