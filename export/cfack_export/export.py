"""A checkpoint folder in, a checked bundle out."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cfack import __version__
from cfack.modeling import CFACK
from cfack.modeling.checkpoint import checkpoint_hash, load_checkpoint, load_tokenizer
from cfack_export.check import check_graph
from cfack_export.graphs import GraphSpec, geometry, graph_specs
from cfack_export.onnx_export import export_graph, ready_for_export
from cfack_export.parity import GraphParity
from cfack_export.readme import bundle_readme
from cfack_runtime.backends import open_backend
from cfack_runtime.bundle import write_bundle
from cfack_runtime.errors import UsageError
from cfack_runtime.graph_contract import GRAPHS
from cfack_runtime.manifest import Preprocessing, embedding_space
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.tokenizer import CaptionTokenizer

FP32 = "fp32"

# Held by training only, and more than half of a published checkpoint.
_TRAINING_PARTS = ("momentum", "cnn_branch", "mlm_head", "identity_classifier")

_logger = logging.getLogger(__name__)


def export_bundle(
    checkpoint: str | Path,
    out: str | Path,
    *,
    progress: ProgressCallback = no_progress,
    overwrite: bool = False,
) -> Path:
    """Export a checkpoint, compare its graphs with PyTorch, and write the bundle if they agree.

    Args:
        checkpoint: a checkpoint folder with a tokenizer.
        out: the bundle's folder, conventionally NAME.cfack; it appears whole or not at all.
        progress: told the steps done and in all.
        overwrite: replace a bundle at `out`.

    Returns:
        `out` as an absolute path.

    Raises:
        UsageError: there is something at `out` and `overwrite` is off, or the model is too large.
        CheckpointError: the checkpoint is wrong, or has no tokenizer.
        ParityError: a graph does not give PyTorch's outputs.
        BackendError: ONNX Runtime is missing.
    """
    checkpoint, out = Path(checkpoint), Path(out).resolve()
    _refuse_to_replace(out, overwrite)
    step = _steps(progress, total=2 * len(GRAPHS) + 2)
    tokenizer = load_tokenizer(checkpoint)
    weights_sha256 = checkpoint_hash(checkpoint)
    model = _load_for_inference(checkpoint)
    sizes = geometry(model.config)
    step()
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside the bundle and not in the system's temporary folder, which may be small or in memory.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.export-") as scratch:
        report = _report(
            [_export_and_check(spec, Path(scratch), model, tokenizer, step) for spec in graph_specs(model)]
        )
        tokenizer_json = tokenizer.to_json()
        tokenizer_sha256 = hashlib.sha256(tokenizer_json.encode()).hexdigest()
        space = embedding_space(weights_sha256, tokenizer_sha256, sizes, Preprocessing())
        write_bundle(
            out,
            graphs={FP32: scratch},
            geometry=sizes,
            tokenizer_json=tokenizer_json,
            checkpoint_sha256=weights_sha256,
            parity={FP32: report},
            readme=bundle_readme(out.name, sizes, space, weights_sha256, report),
            created_by=f"cfack {__version__}",
            overwrite=overwrite,
        )
    step()
    return out


def _export_and_check(
    spec: GraphSpec, folder: Path, model: CFACK, tokenizer: CaptionTokenizer, step: Callable[[], None]
) -> GraphParity:
    """Write one graph into `folder` and run it; PyTorch's side runs as it does for everybody else."""
    path = folder / f"{spec.name}.onnx"
    with ready_for_export(model):
        export_graph(spec, path)
    step()
    backend = open_backend(path)
    try:
        parity = check_graph(spec.name, backend.run, model, tokenizer)
    finally:
        backend.close()
    _logger.info("%s: %d bytes, largest error %.3g", spec.name, path.stat().st_size, parity.error)
    step()
    return parity


def _report(parity: list[GraphParity]) -> dict[str, Any]:
    """What `parity.json` holds of one precision; its plain numbers and words also go into the manifest."""
    import onnxruntime  # has run by now; a missing one is the backend's to report

    return {
        "passed": True,
        "reference": f"PyTorch {torch.__version__} (CPU, float32)",
        "backend": f"ONNX Runtime {onnxruntime.__version__} (CPU)",
        **{f"{graph.graph}_error": graph.error for graph in parity},
        "graphs": {graph.graph: graph.to_json() for graph in parity},
    }


def _load_for_inference(checkpoint: Path) -> CFACK:
    model = load_checkpoint(checkpoint)
    for part in _TRAINING_PARTS:
        setattr(model, part, None)
    return model


def _refuse_to_replace(out: Path, overwrite: bool) -> None:
    """Ask now what the writer asks again minutes later."""
    if out.is_dir() and (overwrite or not any(out.iterdir())):
        return
    if out.exists():
        raise UsageError(f"{out} exists; choose another name, or replace a bundle there with --overwrite")


def _steps(progress: ProgressCallback, total: int) -> Callable[[], None]:
    done = 0
    progress(0, total)

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    return step
