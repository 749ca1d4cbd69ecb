"""The tiny model's graphs in FP16 and INT8, made by ONNX Runtime's own converters.

Not by ours, on purpose: what is tested here is that the builder takes such graphs, whoever made them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from cfack_runtime.bundle import Bundle, write_bundle
from cfack_runtime.graph_contract import graph_signatures, rewrite_signatures

FLOAT32_OUTPUTS = ("image_embedding", "text_embedding", "match_logits")
KEPT = ["LayerNormalization", "Softmax", "LpNormalization", "ReduceL2", "Range"]


@pytest.fixture(scope="session")
def precisions(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of the tiny model in fp32, fp16 and int8."""
    folder = tmp_path_factory.mktemp("precisions")
    fp32 = bundle.graph_path("fp32", "reranker").parent
    for precision in ("fp16", "int8"):
        (folder / precision).mkdir()
    for name in bundle.graphs("fp32"):
        to_fp16(fp32 / f"{name}.onnx", folder / "fp16" / f"{name}.onnx")
        to_int8(fp32 / f"{name}.onnx", folder / "int8" / f"{name}.onnx")
    geometry = bundle.manifest.geometry
    graphs = {"fp32": fp32, "fp16": folder / "fp16", "int8": folder / "int8"}
    half = {**graph_signatures(geometry, "float16"), **rewrite_signatures(geometry, "float16")}
    return write_bundle(
        folder / "tiny.cfack",
        graphs=graphs,
        geometry=geometry,
        tokenizer_json=(bundle.path / "tokenizer.json").read_text(),
        checkpoint_sha256=bundle.manifest.checkpoint_sha256,
        parity={name: {"passed": True} for name in graphs},
        readme="# Tiny\n",
        signatures={"fp16": half},
    )


def to_fp16(source: Path, out: Path) -> None:
    model = onnx.load(source)
    kept = [output.name for output in model.graph.output if output.name in FLOAT32_OUTPUTS]
    onnx.save(convert_float_to_float16(model, keep_io_types=kept, op_block_list=KEPT), out)


def to_int8(source: Path, out: Path) -> None:
    options = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    quantize_static(
        str(source),
        str(out),
        Samples(onnx.load(source)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
        extra_options=options,
    )


class Samples(CalibrationDataReader):  # type: ignore[misc]
    """Two batches of noise: ranges need not be good to be built."""

    def __init__(self, model: onnx.ModelProto) -> None:
        rng = np.random.default_rng(0)
        self._feeds = [{i.name: array(i, rng) for i in model.graph.input} for _ in range(2)]

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return self._feeds.pop() if self._feeds else None


def array(info: onnx.ValueInfoProto, rng: np.random.Generator) -> NDArray[Any]:
    free = (2, 6)  # batch, length
    shape = [axis.dim_value or free[i] for i, axis in enumerate(info.type.tensor_type.shape.dim)]
    kind = info.type.tensor_type.elem_type
    if info.name == "attention_mask":
        return np.ones(shape, np.int64)
    if kind == TensorProto.INT64:
        return rng.integers(5, 20, shape)
    if kind == TensorProto.UINT8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.normal(size=shape).astype(np.float32)
