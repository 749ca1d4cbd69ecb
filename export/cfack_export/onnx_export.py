"""From a PyTorch module to an ONNX file that says nothing about the machine that wrote it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from torch.export import Dim

from cfack import __version__
from cfack.modeling import CFACK
from cfack_export import passes
from cfack_export.graphs import GraphSpec
from cfack_runtime.errors import BundleError, UsageError
from cfack_runtime.manifest import TensorSpec

OPSET = 20
"""The first with Gelu as one operator; ONNX Runtime and TensorRT know all of it, unlike 23's Attention."""

LARGEST_FILE = 1_900_000_000
"""Bytes; protobuf ends at 2 GiB."""

# At least 2, for the exporter takes a size of 1 for a constant; and different, so that it cannot mix them up.
_EXAMPLE_BATCH, _EXAMPLE_LENGTH = 2, 3


@contextmanager
def ready_for_export(model: CFACK) -> Iterator[CFACK]:
    """Put a model into inference mode with plain attention; both are set back at the end.

    timm's fused attention does not decompose with a symbolic batch, and matmul-softmax-matmul is the
    pattern that engine builders look for.
    """
    training = {module: module.training for module in model.modules()}
    model.eval()
    model.set_fused_attention(False)
    try:
        yield model
    finally:
        model.set_fused_attention(True)
        for module, mode in training.items():
            module.training = mode


def export_graph(spec: GraphSpec, path: Path) -> None:
    """Write one graph as an ONNX file; the same module gives the same bytes.

    Args:
        spec: what to export; its module under `ready_for_export`.
        path: the file to write.

    Raises:
        UsageError: the graph does not fit one file.
        BundleError: PyTorch cannot export the module, or the graph breaks ONNX's rules or has another
            signature than `spec` asks for.
    """
    size = sum(parameter.numel() * parameter.element_size() for parameter in spec.module.parameters())
    if size > LARGEST_FILE:
        raise UsageError(
            f"{spec.name} has {size / 1e9:.1f} GB of weights; an ONNX file holds {LARGEST_FILE / 1e9:.1f} GB "
            "at most. Use a smaller model"
        )
    model = _translate(spec)
    passes.name_weights(model)
    passes.simplify(model)
    passes.name_nodes(model)
    _declare(model, spec)
    passes.broadcast_batches(model)
    passes.strip_origin(model)
    proto = ir.to_proto(model)
    check_signature(proto, spec)
    _check_rules(proto, spec.name)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def check_signature(proto: onnx.ModelProto, spec: GraphSpec) -> None:
    """Compare names, types and shapes of a graph with its specification.

    Raises:
        BundleError: they differ; most likely the exporter has taken a symbolic size for a constant.
    """
    for kind, values, expected in (
        ("inputs", proto.graph.input, spec.inputs),
        ("outputs", proto.graph.output, spec.outputs),
    ):
        got = tuple(_tensor_spec(value) for value in values)
        if got != expected:
            raise BundleError(f"{spec.name}: the exported {kind} are {got}, expected {expected}")


def _translate(spec: GraphSpec) -> ir.Model:
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                spec.module.eval(),
                kwargs={tensor.name: _example(tensor) for tensor in spec.inputs},
                dynamo=True,
                dynamic_shapes=_dynamic_shapes(spec),
                input_names=[tensor.name for tensor in spec.inputs],
                output_names=[tensor.name for tensor in spec.outputs],
                opset_version=OPSET,
                optimize=False,  # `passes.simplify` does, and spares the position biases
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise BundleError(f"{spec.name}: PyTorch {torch.__version__} cannot export it: {error}") from error
    assert program is not None
    return program.model


def _example(tensor: TensorSpec) -> torch.Tensor:
    free = {"length": _EXAMPLE_LENGTH}
    shape = [axis if isinstance(axis, int) else free.get(axis, _EXAMPLE_BATCH) for axis in tensor.shape]
    return torch.ones(shape, dtype=getattr(torch, tensor.dtype))


def _dynamic_shapes(spec: GraphSpec) -> dict[str, dict[int, Dim]]:
    """The free axes. All batches are one here; `passes.broadcast_batches` tells them apart again."""
    batch, length = Dim("batch"), Dim("length", max=spec.longest)
    return {
        tensor.name: {
            index: length if axis == "length" else batch
            for index, axis in enumerate(tensor.shape)
            if isinstance(axis, str)
        }
        for tensor in spec.inputs
    }


def _declare(model: ir.Model, spec: GraphSpec) -> None:
    """Name the graph, its maker, and the axes of its inputs."""
    model.graph.name = spec.name
    model.producer_name, model.producer_version = "cfack", __version__
    for value, tensor in zip(model.graph.inputs, spec.inputs, strict=True):
        value.shape = ir.Shape(tensor.shape)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the one warning that two inputs with a common axis always cause."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"# The axis name: \w+ will not be used")
        yield


def _check_rules(proto: onnx.ModelProto, name: str) -> None:
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BundleError(f"{name}: the exported graph breaks ONNX's rules: {error}") from error


def _tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return TensorSpec(value.name, dtype, tuple(axis.dim_param or axis.dim_value for axis in tensor.shape.dim))
