"""ONNX files that point to other files, or that are bombs; their hashes fit, their content does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cfack_runtime.errors import BundleError
from cfack_runtime.onnx_scan import MOST_FIELDS, count_operators, require_self_contained

Refused = Callable[[Path], str]


def external(name: str, location: str, **more: str) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def in_initializer(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.graph.initializer.append(tensor)


def in_constant(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["extra"], value=tensor))


def in_list_of_tensors(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    node = helper.make_node("Identity", ["pixels"], ["extra"])
    node.attribute.append(helper.make_attribute("values", [tensor]))
    model.graph.node.append(node)


def in_branch(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    branch = helper.make_graph([helper.make_node("Identity", ["w"], ["b"])], "branch", [], [], [tensor])
    node = helper.make_node("If", ["condition"], ["extra"], then_branch=branch, else_branch=branch)
    model.graph.node.append(node)


def in_branch_of_a_branch(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "inner", [], [])
    middle = helper.make_graph([helper.make_node("If", ["k"], ["m"], then_branch=inner)], "middle", [], [])
    model.graph.node.append(helper.make_node("Loop", ["n"], ["extra"], body=middle))


def in_sparse_values(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    indices = numpy_helper.from_array(np.arange(4), "indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, indices, [16]))


def in_sparse_indices(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    sparse = helper.make_sparse_tensor(numpy_helper.from_array(np.ones(4, np.float32), "v"), tensor, [16])
    node = helper.make_node("Constant", [], ["extra"])
    node.attribute.append(helper.make_attribute("sparse_value", sparse))
    model.graph.node.append(node)


def in_function(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    body = [helper.make_node("Constant", [], ["y"], value=tensor)]
    model.functions.append(helper.make_function("d", "f", [], ["y"], body, [helper.make_opsetid("", 20)]))


def in_function_default(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    function = helper.make_function("d", "f", [], [], [], [helper.make_opsetid("", 20)])
    function.attribute_proto.append(helper.make_attribute("default", tensor))
    model.functions.append(function)


def in_training(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.training_info.add().algorithm.initializer.append(tensor)


PLACES = [value for name, value in list(globals().items()) if name.startswith("in_")]


@pytest.mark.parametrize("place", PLACES)
def test_weights_in_another_file(
    refused: Refused, forger: Any, place: Callable[[onnx.ModelProto, onnx.TensorProto], None]
) -> None:
    entry = forger.graph("image_encoder")
    honest = (forger.path / entry["path"]).read_bytes()
    for tensor in (
        external("w", "/dev/zero", offset="0", length=str(1 << 60)),
        external("w", "../../tokenizer.json"),
        external("w", "weights.bin", offset="-1", length="99999999999999999999"),
        external("w", ""),
    ):
        model = onnx.ModelProto.FromString(honest)
        place(model, tensor)
        forger.put(entry, model.SerializeToString())
        assert "image_encoder.onnx: a tensor's values are said to lie in another file" in refused(forger.path)


@pytest.mark.parametrize("field", ["location only", "data only"])
def test_half_a_reference_is_one(refused: Refused, forger: Any, field: str) -> None:
    """ONNX Runtime looks at the location alone; others at the data alone."""
    entry = forger.graph("reranker")
    model = onnx.ModelProto.FromString((forger.path / entry["path"]).read_bytes())
    tensor = model.graph.initializer[0]
    if field == "location only":
        tensor.data_location = TensorProto.EXTERNAL
    else:
        tensor.external_data.add(key="location", value="/dev/zero")
    forger.put(entry, model.SerializeToString())
    assert "(external data)" in refused(forger.path)


def test_weights_that_are_really_there_are_refused_too(refused: Refused, forger: Any) -> None:
    entry = forger.graph("image_encoder")
    path = forger.path / entry["path"]
    onnx.save(onnx.load(path), path, save_as_external_data=True, size_threshold=0, location="w.bin")
    assert (path.parent / "w.bin").stat().st_size > 0
    forger.put(entry, path.read_bytes())
    assert "(external data)" in refused(forger.path)


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def matryoshka(depth: int) -> bytes:
    """A graph in an attribute of a node of a graph in an attribute ..."""
    content = b""
    for _ in range(depth):
        content = message(1, message(5, message(6, content)))
    return message(7, content)


MALFORMED = {
    "nothing at all": (b"\0" * 1000, "a field that reaches beyond its message at byte 0"),
    "text": (b"not protobuf at all", "wire type 6 at byte 0"),
    "a group": (b"\x0b\x0c", "wire type 3 at byte 0"),
    "beyond the end": (message(7, b"abc")[:-1], "a field that reaches beyond its message at byte 0"),
    "beyond its message": (message(7, b"\x0a\x7fabc"), "a field that reaches beyond its message at byte 2"),
    "eighteen quintillion bytes": (b"\x3a" + b"\xff" * 9 + b"\x01", "reaches beyond its message"),
    "a number without end": (b"\x08" + b"\xff" * 2000, "a number that does not end"),
    "cut in a number": (b"\x08\xff", "a number that does not end"),
    "graphs in graphs": (matryoshka(60), "more than 32 messages inside one another"),
    "a million nodes": (message(7, message(1, b"") * 1_000_000), f"more than {MOST_FIELDS} fields"),
    "a million names": (
        message(7, message(1, message(1, b"a") * 1_000_000)),
        f"more than {MOST_FIELDS} fields",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_onnx_file(refused: Refused, forger: Any, name: str) -> None:
    data, said = MALFORMED[name]
    forger.put(forger.graph("text_encoder"), data)
    answer = refused(forger.path)
    assert "text_encoder.onnx: no valid ONNX file: " in answer
    assert said in answer


def test_an_honest_model_of_gigabytes_is_scanned_in_little_time_and_memory(tmp_path: Path) -> None:
    """One gigabyte of weights, sparse on the disk: the scan jumps over them."""
    size = 1 << 28
    header = b""
    for index in range(4):
        head = message(8, b"w%d" % index) + varint(9 << 3 | 2) + varint(size)
        header = varint(5 << 3 | 2) + varint(len(head) + size) + head
        if index == 0:
            total = 4 * (len(header) + size)
            path = tmp_path / "large.onnx"
            stream = path.open("wb")
            stream.write(varint(7 << 3 | 2) + varint(total))
        stream.write(header)
        stream.seek(size, os.SEEK_CUR)
    stream.truncate()
    stream.close()
    assert path.stat().st_size > 1 << 30
    tracemalloc.start()
    began = time.process_time()
    try:
        require_self_contained(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 1


def test_a_graph_with_other_tensors_than_the_manifest_says(refused: Refused, forger: Any) -> None:
    entry = forger.graph("image_encoder")
    model = onnx.ModelProto.FromString((forger.path / entry["path"]).read_bytes())
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 40
    forger.put(entry, model.SerializeToString())
    assert "image_encoder" in refused(forger.path)


def test_a_graph_that_onnx_runtime_does_not_take(refused: Refused, forger: Any) -> None:
    entry = forger.graph("image_encoder")
    for model in (b"", message(7, b""), message(7, message(1, message(4, b"Evil")))):
        forger.put(entry, model + message(2, b"x"))
        assert "ONNX Runtime cannot load it" in refused(forger.path)


def test_operators_are_counted_without_the_onnx_package(toy_graphs: Path) -> None:
    path = toy_graphs / "reranker.onnx"
    expected: dict[str, int] = {}
    for node in onnx.load(path).graph.node:
        expected[node.op_type] = expected.get(node.op_type, 0) + 1
    assert count_operators(path) == expected
    assert list(count_operators(path).values()) == sorted(expected.values(), reverse=True)
    code = "import sys; sys.modules['onnx'] = None; from pathlib import Path; import json\n"
    code += "from cfack_runtime.onnx_scan import count_operators\n"
    code += f"print(json.dumps(count_operators(Path({str(path)!r}))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == expected


def test_a_file_that_goes_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"gone\.onnx: cannot be read: No such file"):
        require_self_contained(tmp_path / "gone.onnx")
