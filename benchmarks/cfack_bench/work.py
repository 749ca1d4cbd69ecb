"""How much arithmetic a case asks for, counted in the graph that runs.

ONNX Runtime's profile says the shapes of every node. Optimisation is off, so that the nodes are those of
the file, and a product of (..., M, K) and (K, N) counts 2 M K N. Weights are the products' second factors
without a batch axis; word embeddings, of which a text reads a few rows, are left out by that.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_bench.cases import IMAGES, RERANKING, SEARCH, TEXTS, Case
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import BackendError
from cfack_runtime.manifest import Geometry

_PRODUCTS = ("MatMul", "Gemm", "MatMulInteger", "QLinearMatMul", "FusedMatMul")
_CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv")
_BYTES = {"float": 4, "float16": 2, "int8": 1, "uint8": 1, "int32": 4, "bfloat16": 2}
_ONE_TEXT = "reranker_one_text"


@dataclass(frozen=True)
class Work:
    """Of one call."""

    flops: float
    """Additions and multiplications of matrix products and convolutions."""
    weight_bytes: float
    """Weights, read once."""


def count_work(bundle_path: Path, precision: str, cases: Iterable[Case]) -> dict[str, Work]:
    """Count the work of every case that is one graph or one product; the others are left out.

    Returns:
        Key of the case -> work.

    Raises:
        BackendError: ONNX Runtime is missing or gives no profile.
    """
    bundle = Bundle.open(bundle_path, check_graphs=False)
    geometry = bundle.manifest.geometry
    counted: dict[str, Work] = {}
    profiles = _Profiles(bundle, precision)
    for case in cases:
        size = {name: int(value) for name, value in case.parameters.items()}
        if case.measure == IMAGES:
            counted[case.key] = _times(profiles.images(), size["batch"])
        elif case.measure == TEXTS:
            counted[case.key] = _times(profiles.texts(size["tokens"]), size["batch"])
        elif case.measure == RERANKING:
            one, two = (profiles.pairs(size["tokens"], images) for images in (1, 2))
            more = size["candidates"] - 1
            counted[case.key] = Work(one.flops + more * (two.flops - one.flops), one.weight_bytes)
        elif case.measure == SEARCH:
            values = size["gallery"] * geometry.embed_dim
            counted[case.key] = Work(2.0 * size["queries"] * values, 4.0 * values)
    return counted


def _times(work: Work, batch: int) -> Work:
    return Work(work.flops * batch, work.weight_bytes)


class _Profiles:
    """Work of single calls; sessions are opened one at a time and results kept."""

    def __init__(self, bundle: Bundle, precision: str) -> None:
        self._bundle, self._precision = bundle, precision
        self._geometry: Geometry = bundle.manifest.geometry
        self._known: dict[tuple[str, int, int], Work] = {}

    def images(self) -> Work:
        geometry = self._geometry
        pixels = np.zeros((1, geometry.image_height, geometry.image_width, 3), np.uint8)
        return self._run("image_encoder", (1, 1), {"pixels": pixels})

    def texts(self, tokens: int) -> Work:
        ids = np.ones((1, tokens), np.int64)
        return self._run("text_encoder", (1, tokens), {"input_ids": ids, "attention_mask": ids})

    def pairs(self, tokens: int, images: int) -> Work:
        geometry, names = self._geometry, self._bundle.manifest.graphs[self._precision]
        graph = _ONE_TEXT if _ONE_TEXT in names else "reranker"
        kinds = {spec.name: np.dtype(spec.dtype) for spec in names[graph].inputs}
        text = np.zeros((1, tokens, geometry.text_token_width), kinds["text_tokens"])
        shape = (images, geometry.image_token_count, geometry.image_token_width)
        feed = {
            "text_tokens": text,
            "attention_mask": np.ones((1, tokens), np.int64),
            "image_tokens": np.zeros(shape, kinds["image_tokens"]),
        }
        return self._run(graph, (images, tokens), feed)

    def _run(self, graph: str, size: tuple[int, int], feed: dict[str, NDArray[Any]]) -> Work:
        key = (graph, *size)
        if key not in self._known:
            self._known[key] = _profile(self._bundle.graph_path(self._precision, graph), feed)
        return self._known[key]


def _profile(path: Path, feed: dict[str, NDArray[Any]]) -> Work:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(f"onnxruntime is missing, which counts the work of a graph ({error})") from error
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Prepacked weights vanish from the shapes.
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes = [event["args"] for event in events if str(event.get("name", "")).endswith("_kernel_time")]
    return Work(sum(map(_flops, nodes)), sum(map(_weight_bytes, nodes)))


def _flops(node: dict[str, Any]) -> float:
    shapes, outputs = _shapes(node["input_type_shape"]), _shapes(node["output_type_shape"])
    if node["op_name"] in _PRODUCTS:
        return 2.0 * math.prod(outputs[0][1]) * shapes[0][1][-1]
    if node["op_name"] in _CONVOLUTIONS:
        return 2.0 * math.prod(outputs[0][1]) * math.prod(_factor(node, shapes)[1][1:])
    return 0.0


def _weight_bytes(node: dict[str, Any]) -> float:
    if node["op_name"] not in (*_PRODUCTS, *_CONVOLUTIONS):
        return 0.0
    kind, shape = _factor(node, _shapes(node["input_type_shape"]))
    if node["op_name"] in _PRODUCTS and len(shape) != 2:
        return 0.0  # two activations, as in attention
    return float(math.prod(shape) * _BYTES.get(kind, 4))


def _factor(node: dict[str, Any], shapes: Sequence[tuple[str, list[int]]]) -> tuple[str, list[int]]:
    """The second factor: behind its scale and zero point in the QLinear operators."""
    return shapes[3 if node["op_name"].startswith("QLinear") else 1]


def _shapes(entries: Iterable[dict[str, list[int]]]) -> list[tuple[str, list[int]]]:
    return [next(iter(entry.items())) for entry in entries]
