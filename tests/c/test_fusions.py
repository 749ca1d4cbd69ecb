"""The fusions of ONNX Runtime that are off on a CPU are those of Python, and the setting takes effect."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cfack_runtime.backends import onnxruntime as backend

sys.path.insert(0, str(Path(__file__).parent))
import capi

SOURCE = capi.ROOT / "runtime" / "c" / "src" / "onnxruntime_backend.cpp"
KEY = "optimization.disable_specified_optimizers"


def _gelu_of_a_sum() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Add", ["x", "bias"], ["sum"]),
        helper.make_node("Div", ["sum", "root"], ["small"]),
        helper.make_node("Erf", ["small"], ["erf"]),
        helper.make_node("Add", ["erf", "one"], ["raised"]),
        helper.make_node("Mul", ["sum", "raised"], ["product"]),
        helper.make_node("Mul", ["product", "half"], ["y"]),
    ]
    constants = {"bias": [1.0, 2, 3, 4], "root": 2**0.5, "one": 1.0, "half": 0.5}
    graph = helper.make_graph(
        nodes,
        "gelu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_the_same_fusions_are_off_as_in_python(tmp_path: Path) -> None:
    found = re.search(r'kSlowOnCpu = "(.*)"', SOURCE.read_text())
    assert found is not None
    assert found[1].split(";") == backend._SLOW_ON_CPU

    def operators(disabled: str) -> set[str]:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 4
        options.add_session_config_entry(KEY, disabled)
        model = _gelu_of_a_sum().SerializeToString()
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}

    assert "BiasGelu" in operators("")
    assert "BiasGelu" not in operators(found[1])
