"""`cfack export`: write a checkpoint as a bundle of ONNX graphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfack.cli.progress import progress_bar

if TYPE_CHECKING:
    from cfack_runtime.bundle import Bundle


@click.command("export")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Bundle to write, for example person.cfack."
)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
def command(checkpoint: Path, out: Path, overwrite: bool, as_json: bool) -> None:
    """Write the checkpoint folder CHECKPOINT as a bundle of ONNX graphs.

    Every graph is run in ONNX Runtime and compared with PyTorch. One that differs is refused: nothing is
    written and the exit code is 3.
    """
    from cfack_export.export import export_bundle
    from cfack_runtime.bundle import Bundle

    with progress_bar("Exporting", "steps") as progress:
        path = export_bundle(checkpoint, out, progress=progress, overwrite=overwrite)
    bundle = Bundle.open(path, check_graphs=False)
    if as_json:
        click.echo(json.dumps(_summary(bundle), indent=2))
    else:
        _print_table(bundle)


def _summary(bundle: Bundle) -> dict[str, object]:
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
        "parity": {precision: dict(report) for precision, report in bundle.manifest.parity.items()},
    }


def _print_table(bundle: Bundle) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("graph", "precision")
    table.add_column("size", justify="right")
    table.add_column("largest error", justify="right")
    for precision, graphs in bundle.manifest.graphs.items():
        for name, graph in graphs.items():
            error = bundle.manifest.parity[precision][f"{name}_error"]
            table.add_row(name, precision, f"{graph.file.size / 1e6:.1f} MB", f"{error:.1e}")
    console = Console()
    console.print(table)
    console.print(f"{bundle.path}: equal to PyTorch within tolerance, see its README.md", soft_wrap=True)
