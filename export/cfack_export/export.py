"""A checkpoint folder in, a measured bundle out.

    checkpoint -- fp32 --+-- int8-cpu --+
                         +-- fp16 ------+-- parity -- verdict -- engines -- bundle
                              +- int8 --+

Each precision is a stage whose result is kept (`StageCache`), so that an export that is repeated or was
killed begins where something has changed.
"""

from __future__ import annotations

from pathlib import Path

from cfack_export.engine_stage import check_requested
from cfack_export.export_run import ExportRun
from cfack_export.options import ExportOptions
from cfack_export.parity.backends import onnx_runtime_name
from cfack_export.scratch import scratch_folder
from cfack_export.stage_clock import StageTitle, no_title
from cfack_runtime.errors import UsageError
from cfack_runtime.progress import ProgressCallback, no_progress


def export_bundle(
    checkpoint: str | Path,
    out: str | Path,
    options: ExportOptions | None = None,
    *,
    progress: ProgressCallback = no_progress,
    on_stage: StageTitle = no_title,
    overwrite: bool = False,
) -> Path:
    """Export a checkpoint in every precision asked for, measure each, and write the bundle if all passed.

    Args:
        checkpoint: a checkpoint folder with a tokenizer.
        out: the bundle's folder, conventionally NAME.cfack; it appears whole or not at all.
        options: what to make; None: the FP32 graphs, compared with PyTorch output by output.
        progress: told the parts done and in all.
        on_stage: told the title of each stage.
        overwrite: replace a bundle at `out`.

    Returns:
        `out` as an absolute path.

    Raises:
        UsageError: there is something at `out` and `overwrite` is off, nothing can be written there, or an
            option cannot be had.
        CheckpointError: the checkpoint is wrong, or has no tokenizer.
        DataError: the data set lacks a split, or an image of it cannot be read.
        ParityError: a precision was refused; nothing was written, unless `options.keep_going`.
        BackendError: ONNX Runtime, or a library or GPU for engines, is missing.
    """
    options = options or ExportOptions()
    checkpoint, out = Path(checkpoint), Path(out).resolve()
    _refuse_to_replace(out, overwrite)
    engines = check_requested(options.engines)
    onnx_runtime_name("cpu", emulated=False)  # asked before minutes of work: every graph is run by it
    export = ExportRun(checkpoint, options, engines, progress, on_stage)
    # Beside the bundle: the system's temporary folder may be small or in memory.
    with scratch_folder(out.parent, f".{out.name}.export-", "name another place with --out") as scratch:
        export.run(out, scratch, overwrite)
    return out


def _refuse_to_replace(out: Path, overwrite: bool) -> None:
    """Ask now what the writer asks again minutes later."""
    if out.is_dir() and (overwrite or not any(out.iterdir())):
        return
    if out.exists():
        raise UsageError(f"{out} exists; choose another name, or replace a bundle there with --overwrite")
