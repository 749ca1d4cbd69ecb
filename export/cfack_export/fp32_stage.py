"""The first stage: PyTorch's model as FP32 graphs, from which all other precisions are made."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from cfack.modeling import CFACK
from cfack.modeling.checkpoint import load_checkpoint
from cfack_export.graphs import graph_specs, rewrite_specs
from cfack_export.onnx_export import export_graph, ready_for_export
from cfack_runtime.progress import ProgressCallback

# Held by training only, and more than half of a published checkpoint.
_TRAINING_PARTS = ("momentum", "cnn_branch", "mlm_head", "identity_classifier")


class LazyModel:
    """A checkpoint's model without its training parts, loaded when the first stage needs it.

    Args:
        checkpoint: the checkpoint folder.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint

    def unload(self) -> None:
        """Give the memory back; the model is loaded again if it is asked for."""
        self.__dict__.pop("model", None)

    @cached_property
    def model(self) -> CFACK:
        """In evaluation mode, on the CPU."""
        model = load_checkpoint(self._checkpoint)
        for part in _TRAINING_PARTS:
            setattr(model, part, None)
        return model


def export_fp32(model: CFACK, folder: Path, *, rewrites: bool, progress: ProgressCallback) -> None:
    """Write the FP32 graphs.

    Args:
        model: as `LazyModel` gives it.
        folder: gets NAME.onnx for each graph.
        rewrites: whether the re-ranker's rewrites are among them.
        progress: counts graphs.

    Raises:
        UsageError: a graph does not fit one file.
        BundleError: PyTorch cannot export it.
    """
    specs = (*graph_specs(model), *(rewrite_specs(model) if rewrites else ()))
    for done, spec in enumerate(specs):
        progress(done, len(specs))
        with ready_for_export(model):
            export_graph(spec, folder / f"{spec.name}.onnx")
