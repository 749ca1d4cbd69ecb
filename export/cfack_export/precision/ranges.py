"""The largest values that the tensors of a graph take on real input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from cfack_export.precision.editing import read_graph, write_graph
from cfack_export.scratch import scratch_folder
from cfack_runtime.backends import Feed, open_backend
from cfack_runtime.progress import ProgressCallback, no_progress

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16)


def largest_values(
    source: Path, feeds: Sequence[Feed], *, progress: ProgressCallback = no_progress
) -> dict[str, float]:
    """Run a graph on samples and find the largest absolute value of each of its floating-point tensors.

    Weights are not among them. The reductions are part of the graph that runs, so that no activation has to
    be kept: at base size those of one image are 1.5 GB.

    Args:
        source: an ONNX file in FP32.
        feeds: the calls.
        progress: told the calls done and in all.

    Returns:
        Tensor name -> largest absolute value; not a number where one of its values is none.

    Raises:
        BundleError: the source cannot be read.
        BackendError: ONNX Runtime is not here or cannot run it.
    """
    model = read_graph(source)
    names = _add_reductions(model)
    with scratch_folder(
        source.parent, ".ranges-", "copy the graphs to where files can be written"
    ) as scratch:
        path = scratch / source.name
        write_graph(model, path)
        del model
        backend = open_backend(path)
        largest = dict.fromkeys(names, 0.0)
        try:
            for done, feed in enumerate(feeds, start=1):
                outputs = backend.run(feed)
                for name in names:
                    bounds = [abs(float(outputs[output])) for output in _outputs_of(name)]
                    largest[name] = float(np.maximum(largest[name], np.max(bounds)))  # keeps NaN
                progress(done, len(feeds))
        finally:
            backend.close()
    return largest


def float_tensors(model: ir.Model) -> Iterable[ir.Value]:
    """Inputs and results of nodes that hold FP32 or FP16 numbers."""
    for value in model.graph.inputs:
        if value.dtype in _FLOATS:
            yield value
    for node in model.graph:
        for value in node.outputs:
            if value.dtype in _FLOATS:
                yield value


def _outputs_of(name: str) -> tuple[str, str]:
    return f"{name}/highest", f"{name}/lowest"


def _add_reductions(model: ir.Model) -> list[str]:
    names: list[str] = []
    values = list(float_tensors(model))
    model.graph.outputs.clear()
    for value in values:
        assert value.name is not None
        names.append(value.name)
        for op_type, output in zip(("ReduceMax", "ReduceMin"), _outputs_of(value.name), strict=True):
            node = ir.node(op_type, [value], attributes={"keepdims": 0}, name=output)
            result = node.outputs[0]
            result.name, result.shape, result.type = output, ir.Shape([]), ir.TensorType(ir.DataType.FLOAT)
            model.graph.append(node)
            model.graph.outputs.append(result)
    return names
