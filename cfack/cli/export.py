"""`cfack export`: write a checkpoint as a bundle of ONNX graphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfack.cli.progress import progress_bar, stage_bar
from cfack_runtime.errors import UsageError

if TYPE_CHECKING:
    from cfack_export.options import ExportOptions
    from cfack_runtime.bundle import Bundle


@click.command("export")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Bundle to write, for example person.cfack.")
@click.option("--fp16", is_flag=True, help="Add FP16 graphs, for GPUs.")
@click.option("--int8", is_flag=True, help="Add static 8-bit graphs on top of FP16, for GPUs; needs --data.")
@click.option("--int8-cpu", is_flag=True, help="Add 8-bit graphs for ONNX Runtime on a CPU; needs --data.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder that `cfack data prepare` wrote: measure ranks and retrieval too, not the outputs alone.",
)
@click.option(
    "--calibration",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images of its training split that ranges are measured on, for --fp16 and --int8.  [default: 64]",
)
@click.option(
    "--method",
    type=click.Choice(["minmax", "entropy"]),
    help="How --int8 takes scales from what was measured.  [default: minmax]",
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
    fp16: bool,
    int8: bool,
    int8_cpu: bool,
    data: Path | None,
    calibration: int | None,
    method: str | None,
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
    if calibration and not (fp16 or int8):
        raise UsageError("--calibration says how --fp16 and --int8 measure ranges; ask for one of them")
    if method and not int8:
        raise UsageError("--method says how --int8 takes its scales; ask for it")
    builders = [name for name, asked in (("tensorrt", tensorrt), ("tensorrt-rtx", tensorrt_rtx)) if asked]
    if rebuild_engines:
        bundle = _rebuild(checkpoint, builders, targets, out)
    else:
        from cfack_export.options import DEFAULT_CALIBRATION, DEFAULT_METHOD, EngineRequest, ExportOptions
        from cfack_export.stages import default_cache

        if out is None:
            raise click.UsageError("Missing option '--out': the bundle to write, for example person.cfack.")
        precisions = {"fp16": fp16, "int8": int8, "int8-cpu": int8_cpu}
        options = ExportOptions(
            precisions=["fp32", *(name for name, asked in precisions.items() if asked)],
            data=data,
            calibration=calibration or DEFAULT_CALIBRATION,
            method=method or DEFAULT_METHOD,
            split=split,
            max_drop=max_drop,
            rewrites=not no_rewrites,
            engines=[EngineRequest(name, targets if name == "tensorrt-rtx" else ()) for name in builders],
            keep_going=keep_going,
            cache=None if no_cache else cache or default_cache(),
        )
        bundle = _export(checkpoint, out, options, overwrite)
    from cfack.cli.export_display import show, summary

    if as_json:
        click.echo(json.dumps(summary(bundle), indent=2))
    else:
        show(bundle)


def _export(checkpoint: Path, out: Path, options: ExportOptions, overwrite: bool) -> Bundle:
    from cfack_export.export import export_bundle
    from cfack_runtime.bundle import Bundle

    with stage_bar("Exporting") as (progress, on_stage):
        path = export_bundle(
            checkpoint, out, options, progress=progress, on_stage=on_stage, overwrite=overwrite
        )
    return Bundle.open(path, check_graphs=False)


def _rebuild(path: Path, builders: list[str], targets: tuple[str, ...], out: Path | None) -> Bundle:
    if len(builders) != 1:
        raise UsageError("--rebuild-engines needs one of --tensorrt and --tensorrt-rtx")
    if out is not None:
        raise UsageError("--rebuild-engines puts engines into the bundle itself; leave --out out")
    from cfack_export.engines import rebuild_engines

    with progress_bar("Building engines") as progress:
        return rebuild_engines(path, builders[0], targets, progress=progress)
