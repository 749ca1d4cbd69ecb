"""A model small enough to be calculated in one's head, as real ONNX graphs in a real bundle.

Images are 12 x 8 pixels. Their embedding is the direction of their mean colour; their tokens are the mean
colour and the colours of three bands, top to bottom. A text's embedding is the direction of the sum of its
words' colours. The re-ranker looks at the bottom band only: with s the dot product of its colour and the
text's, the logits are (2 - 4s, 4s - 2).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from cfack_runtime.bundle import write_bundle
from cfack_runtime.manifest import Geometry
from cfack_runtime.tokenizer import CaptionTokenizer

if TYPE_CHECKING:
    from cfack.quickstart import QuickstartResult

COLORS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "person", "in", "coat", *COLORS]
GEOMETRY = Geometry(
    image_height=12,
    image_width=8,
    image_token_count=4,
    image_token_width=4,
    text_token_width=4,
    embed_dim=3,
    max_tokens=10,
    vocab_size=len(WORDS),
)

Bands = Sequence[str]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep finished stages of exports out of the cache of whoever runs the tests."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def toy_geometry() -> Geometry:
    """The sizes of the toy model."""
    return GEOMETRY


@pytest.fixture(scope="session")
def toy_tokenizer_json() -> str:
    """The toy model's tokenizer, of thirteen words."""
    return CaptionTokenizer.from_tokens(WORDS, GEOMETRY.max_tokens).to_json()


@pytest.fixture(scope="session")
def toy_graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three ONNX files."""
    folder = tmp_path_factory.mktemp("toy-graphs")
    for name, graph in (
        ("image_encoder", _image_encoder()),
        ("text_encoder", _text_encoder()),
        ("reranker", _reranker()),
    ):
        (folder / f"{name}.onnx").write_bytes(graph.SerializeToString())
    return folder


@pytest.fixture(scope="session")
def toy_bundle(tmp_path_factory: pytest.TempPathFactory, toy_graphs: Path, toy_tokenizer_json: str) -> Path:
    """A bundle of the toy model; do not change it, copy it."""
    out = tmp_path_factory.mktemp("toy") / "toy.cfack"
    write_bundle(
        out,
        graphs={"fp32": toy_graphs},
        geometry=GEOMETRY,
        tokenizer_json=toy_tokenizer_json,
        checkpoint_sha256="0123456789abcdef" * 4,
        parity={"fp32": {"passed": True, "max_error": 0.0}},
        readme="# A toy\n",
        created_by="tests",
    )
    return out


@pytest.fixture(scope="session")
def quickstart_result(tmp_path_factory: pytest.TempPathFactory) -> QuickstartResult:
    """The quickstart at its real size, run once for the whole suite: minutes, most of them training."""
    from cfack.quickstart import quickstart

    return quickstart(tmp_path_factory.mktemp("quickstart") / "out")


@pytest.fixture(scope="session")
def trained_tiny(request: pytest.FixtureRequest) -> Path:
    """What the quickstart leaves: data/, run/best/, person.cfack/, gallery/, photos/. Copy what you change.

    The folder of an earlier quickstart, named by CFACK_TRAINED_TINY, spares the minutes of making one.
    """
    made = os.environ.get("CFACK_TRAINED_TINY")
    if made:
        assert (Path(made) / "results.json").is_file(), f"{made} was not made by a quickstart"
        return Path(made)
    result: QuickstartResult = request.getfixturevalue("quickstart_result")
    return result.folder


@pytest.fixture
def write_toy(toy_graphs: Path, toy_geometry: Geometry, toy_tokenizer_json: str) -> Callable[..., Path]:
    """`write_bundle` with the toy model for whatever is not given."""

    def write(out: Path, **changes: Any) -> Path:
        arguments: dict[str, Any] = {
            "graphs": {"fp32": toy_graphs},
            "geometry": toy_geometry,
            "tokenizer_json": toy_tokenizer_json,
            "checkpoint_sha256": "0123456789abcdef" * 4,
            "readme": "# A toy\n",
            **changes,
        }
        arguments.setdefault("parity", {name: {"passed": True} for name in arguments["graphs"]})
        return write_bundle(out, **arguments).path

    return write


@pytest.fixture
def bundle_copy(toy_bundle: Path, tmp_path: Path) -> Path:
    """A bundle to be damaged."""
    return Path(shutil.copytree(toy_bundle, tmp_path / "copy.cfack"))


@pytest.fixture(scope="session")
def save_bands() -> Callable[[Path, Bands], None]:
    """Save an image of equally high bands of colour, from top to bottom: `save(path, ["red", "blue"])`."""
    return _save_bands


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images whose order for "red" is known: by cosine, and after re-ranking.

    cosine: red 1.0, red-top .894 (2/3 red), red-bottom .447 (1/3 red), then blue and green with 0.
    match: red and red-bottom have a red bottom band (logit 1 = 2), the others do not (logit 1 = -2).
    """
    folder = tmp_path / "photos"
    _save_bands(folder / "red.png", ["red"])
    _save_bands(folder / "red-top.png", ["red", "red", "blue"])
    _save_bands(folder / "sub" / "red-bottom.png", ["blue", "blue", "red"])
    _save_bands(folder / "blue.png", ["blue"])
    _save_bands(folder / "green.png", ["green"])
    return folder


def _save_bands(path: Path, colors: Bands) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [np.array(COLORS[color]) * 255 for color in colors for _ in range(12 // len(colors))]
    pixels = np.broadcast_to(np.array(rows, np.uint8)[:, None], (12, 8, 3))
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def _image_encoder() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["pixels"], ["raw"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["raw", "full"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "band_shape"], ["in_bands"]),
        helper.make_node("ReduceMean", ["in_bands", "within_band"], ["bands"], keepdims=0),
        helper.make_node("ReduceMean", ["bands", "over_bands"], ["mean"], keepdims=1),
        helper.make_node("Concat", ["mean", "bands"], ["colors"], axis=1),
        helper.make_node("MatMul", ["colors", "widen"], ["image_tokens"]),
        helper.make_node("Reshape", ["mean", "flat"], ["flat_mean"]),
        helper.make_node("Add", ["flat_mean", "tiny"], ["nonzero"]),
        helper.make_node("LpNormalization", ["nonzero"], ["image_embedding"], axis=-1, p=2),
    ]
    constants = {
        "full": np.array(255, np.float32),
        "band_shape": np.array([-1, 3, 4 * 8, 3], np.int64),
        "within_band": np.array([2], np.int64),
        "over_bands": np.array([1], np.int64),
        "widen": np.eye(3, 4, dtype=np.float32),
        "flat": np.array([-1, 3], np.int64),
        "tiny": np.array(1e-6, np.float32),
    }
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 12, 8, 3])]
    outputs = [
        helper.make_tensor_value_info("image_embedding", TensorProto.FLOAT, ["batch", 3]),
        helper.make_tensor_value_info("image_tokens", TensorProto.FLOAT, ["batch", 4, 4]),
    ]
    return _model(nodes, inputs, outputs, constants)


def _text_encoder() -> onnx.ModelProto:
    table = np.array([(*COLORS.get(word, (0, 0, 0)), 0) for word in WORDS], np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Cast", ["attention_mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weights", "last"], ["column"]),
        helper.make_node("Mul", ["words", "column"], ["text_tokens"]),
        helper.make_node("ReduceSum", ["text_tokens", "length_axis"], ["sum"], keepdims=0),
        helper.make_node("MatMul", ["sum", "narrow"], ["color"]),
        helper.make_node("Add", ["color", "tiny"], ["nonzero"]),
        helper.make_node("LpNormalization", ["nonzero"], ["text_embedding"], axis=-1, p=2),
    ]
    constants = {
        "table": table,
        "last": np.array([2], np.int64),
        "length_axis": np.array([1], np.int64),
        "narrow": np.eye(4, 3, dtype=np.float32),
        "tiny": np.array(1e-6, np.float32),
    }
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [
        helper.make_tensor_value_info("text_embedding", TensorProto.FLOAT, ["batch", 3]),
        helper.make_tensor_value_info("text_tokens", TensorProto.FLOAT, ["batch", "length", 4]),
    ]
    return _model(nodes, inputs, outputs, constants)


def _reranker() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weights", "last"], ["column"]),
        helper.make_node("Mul", ["text_tokens", "column"], ["words"]),
        helper.make_node("ReduceSum", ["words", "length_axis"], ["text"], keepdims=0),
        helper.make_node("Gather", ["image_tokens", "bottom"], ["image"], axis=1),
        helper.make_node("Mul", ["text", "image"], ["product"]),
        helper.make_node("ReduceSum", ["product", "length_axis"], ["s"], keepdims=1),
        helper.make_node("Mul", ["s", "four"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "two"], ["match"]),
        helper.make_node("Neg", ["match"], ["no_match"]),
        helper.make_node("Concat", ["no_match", "match"], ["match_logits"], axis=1),
    ]
    constants = {
        "last": np.array([2], np.int64),
        "length_axis": np.array([1], np.int64),
        "bottom": np.array(3, np.int64),
        "four": np.array(4, np.float32),
        "two": np.array(2, np.float32),
    }
    inputs = [
        helper.make_tensor_value_info("text_tokens", TensorProto.FLOAT, ["text_batch", "length", 4]),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["text_batch", "length"]),
        helper.make_tensor_value_info("image_tokens", TensorProto.FLOAT, ["image_batch", 4, 4]),
    ]
    outputs = [helper.make_tensor_value_info("match_logits", TensorProto.FLOAT, ["batch", 2])]
    return _model(nodes, inputs, outputs, constants)


def _model(nodes: Any, inputs: Any, outputs: Any, constants: dict[str, Any]) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model
