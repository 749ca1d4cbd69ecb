"""`cfack export`: write a checkpoint as a bundle of ONNX graphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfack.cli.progress import progress_bar
from cfack_runtime.errors import UsageError

if TYPE_CHECKING:
    from cfack_export.options import ExportOptions
    from cfack_runtime.bundle import Bundle


@click.command("export")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Bundle to write, for example person.cfack.")
@click.option("--int8-cpu", is_flag=True, help="Add 8-bit graphs for ONNX Runtime on a CPU; needs --data.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder that `cfack data prepare` wrote: measure ranks and retrieval too, not the outputs alone.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="Split to measure on.  [default: val where there is one, else test]",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(min=0),
    help="Points of R@1 that a quantised precision may lose.  [default: 0.5]",
)
@click.option("--keep-going", is_flag=True, help="Write what passed; what did not is marked, and never run.")
@click.option("--no-rewrites", is_flag=True, help="Leave out the re-ranker's faster forms; saves space.")
@click.option("--tensorrt", is_flag=True, help="Add TensorRT engines for the GPU that is here.")
@click.option("--tensorrt-rtx", is_flag=True, help="Add TensorRT-RTX engines; needs no GPU.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="CC",
    help="GPUs for --tensorrt-rtx: compute capability such as 8.9, or ampere+.  [default: ampere+]",
)
@click.option(
    "--rebuild-engines",
    is_flag=True,
    help="CHECKPOINT is a bundle: build its engines again, without PyTorch.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Folder of finished stages.  [default: cfack/export in the user's cache]",
)
@click.option("--no-cache", is_flag=True, help="Keep no finished stages.")
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
def command(
    checkpoint: Path,
    out: Path | None,
    int8_cpu: bool,
    data: Path | None,
    split: str | None,
    max_drop: float | None,
    keep_going: bool,
    no_rewrites: bool,
    tensorrt: bool,
    tensorrt_rtx: bool,
    targets: tuple[str, ...],
    rebuild_engines: bool,
    cache: Path | None,
    no_cache: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the checkpoint folder CHECKPOINT as a bundle of ONNX graphs.

    Every precision is run in ONNX Runtime and compared with PyTorch. One that differs is refused: nothing is
    written and the exit code is 3.
    """
    if targets and not tensorrt_rtx:
        raise UsageError("--target names GPUs for --tensorrt-rtx; TensorRT builds for the GPU that is here")
    builders = [name for name, asked in (("tensorrt", tensorrt), ("tensorrt-rtx", tensorrt_rtx)) if asked]
    if rebuild_engines:
        bundle = _rebuild(checkpoint, builders, targets, out)
    else:
        from cfack_export.options import EngineRequest, ExportOptions
        from cfack_export.stages import default_cache

        if out is None:
            raise click.UsageError("Missing option '--out': the bundle to write, for example person.cfack.")
        options = ExportOptions(
            precisions=("fp32", "int8-cpu") if int8_cpu else ("fp32",),
            data=data,
            split=split,
            max_drop=max_drop,
            rewrites=not no_rewrites,
            engines=[EngineRequest(name, targets if name == "tensorrt-rtx" else ()) for name in builders],
            keep_going=keep_going,
            cache=None if no_cache else cache or default_cache(),
        )
        bundle = _export(checkpoint, out, options, overwrite)
    if as_json:
        click.echo(json.dumps(_summary(bundle), indent=2))
    else:
        _print_table(bundle)


def _export(checkpoint: Path, out: Path, options: ExportOptions, overwrite: bool) -> Bundle:
    from cfack_export.export import export_bundle
    from cfack_runtime.bundle import Bundle

    with progress_bar("Exporting") as progress:
        path = export_bundle(checkpoint, out, options, progress=progress, overwrite=overwrite)
    return Bundle.open(path, check_graphs=False)


def _rebuild(path: Path, builders: list[str], targets: tuple[str, ...], out: Path | None) -> Bundle:
    if len(builders) != 1:
        raise UsageError("--rebuild-engines needs one of --tensorrt and --tensorrt-rtx")
    if out is not None:
        raise UsageError("--rebuild-engines puts engines into the bundle itself; leave --out out")
    from cfack_export.engines import rebuild_engines

    with progress_bar("Building engines") as progress:
        return rebuild_engines(path, builders[0], targets, progress=progress)


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
        "engines": [
            {"path": engine.file.path, "size": engine.file.size, "builder": engine.builder}
            for engine in bundle.manifest.engines
        ],
        "parity": {precision: dict(report) for precision, report in bundle.manifest.parity.items()},
    }


def _print_table(bundle: Bundle) -> None:
    from rich.console import Console
    from rich.table import Table

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
    if bundle.manifest.engines:
        console.print(f"{len(bundle.manifest.engines)} engines; `cfack inspect` lists them")
    passed = ", ".join(bundle.manifest.passed)
    console.print(f"{bundle.path}: {passed} passed the parity gate, see its README.md", soft_wrap=True)
