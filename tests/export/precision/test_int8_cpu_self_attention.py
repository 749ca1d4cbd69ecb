from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from cfack_export.precision.editing import read_graph, write_graph
from cfack_export.precision.int8_cpu_self_attention import fuse_self_attention

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]
TABLE = "relative_position_bias_table"


@pytest.fixture
def image_encoder(fp32: Path) -> ir.Model:
    """The FP32 graph with biases that tell heads and pairs of patches apart."""
    model, rng = read_graph(fp32 / "image_encoder.onnx"), np.random.default_rng(1)
    tables = [name for name in model.graph.initializers if name.endswith(TABLE)]
    assert len(tables) == 2
    for name in tables:
        value = model.graph.initializers[name]
        assert value.const_value is not None
        noise = rng.normal(size=value.const_value.shape.numpy()).astype(np.float32)
        value.const_value = ir.tensor(noise, name=name)
    return model


@pytest.mark.parametrize("images", [1, 3])
def test_fused_attention_gives_what_its_operators_gave(
    images: int, image_encoder: ir.Model, tmp_path: Path, run_file: Callable[[Path], Run]
) -> None:
    write_graph(image_encoder, tmp_path / "plain.onnx")
    assert fuse_self_attention(image_encoder) == 2
    write_graph(image_encoder, tmp_path / "fused.onnx")
    feed = {"pixels": np.random.default_rng(2).integers(0, 256, (images, 32, 16, 3), dtype=np.uint8)}

    plain, fused = (run_file(tmp_path / name)(feed) for name in ("plain.onnx", "fused.onnx"))

    for name, expected in plain.items():
        assert np.abs(fused[name] - expected).max() < 2e-6 * max(1, np.abs(expected).max())
    operators = {node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node}
    assert "MultiHeadAttention" in operators
    assert "Softmax" not in operators


@pytest.mark.parametrize("graph", ["text_encoder", "reranker", "reranker_one_text", "reranker_one_image"])
def test_attention_whose_mask_is_an_input_stays_as_it_is(graph: str, fp32: Path) -> None:
    model = read_graph(fp32 / f"{graph}.onnx")
    before = [node.op_type for node in model.graph]

    assert fuse_self_attention(model) == 0
    assert [node.op_type for node in model.graph] == before
    assert list(model.opset_imports) == [""]
