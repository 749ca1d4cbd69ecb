"""What is measured on a GPU, against a driver whose memory and clock are pretended.

The ONNX graphs and the bytes are real: ONNX Runtime runs on the CPU in the memory that was bound.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cfack_bench.candidates import Candidate
from cfack_bench.cases import Case
from cfack_bench.device.call import PARTS, timed_call
from cfack_bench.device.driver import CudaStream
from cfack_bench.device.engine_call import EngineCall
from cfack_bench.device.onnxruntime_call import OnnxRuntimeCall
from cfack_bench.device.open import open_device_call
from cfack_bench.graph_tasks import GraphTasks
from cfack_bench.visits import Limits
from cfack_bench.workload import Workload, save_workload
from cfack_runtime.backends import open_backend
from cfack_runtime.errors import BackendError
from cfack_runtime.manifest import TensorSpec
from cfack_runtime.retriever import Retriever


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 12, 8, 3), dtype=np.uint8)


class FakeEngine:
    """Adds one to a vector, in device memory, as an engine of TensorRT would be asked to."""

    outputs = (TensorSpec("y", "float32", ("batch",)),)

    def __init__(self, cuda: Any) -> None:
        self.cuda, self.closed, self.launches = cuda, False, 0
        self.addresses: dict[str, int] = {}
        self.works = True

    def context(self, shapes: Mapping[str, Sequence[int]], stream: int) -> Any:
        self.count = shapes["x"][0]
        return SimpleNamespace(
            get_tensor_shape=lambda name: (self.count,),
            set_tensor_address=self.addresses.__setitem__,
            execute_async_v3=self._enqueue,
        )

    def close(self) -> None:
        self.closed = True

    def _enqueue(self, stream: int) -> bool:
        self.launches += 1
        self.cuda.put("kernel", self.cuda.graph, self._run)
        return self.works

    def _run(self) -> None:
        kind = ctypes.c_float * self.count
        x, y = (kind.from_address(self.addresses[name]) for name in "xy")
        y[:] = [value + 1 for value in x]


def test_the_parts_of_a_call_are_those_of_the_devices_clock(cuda: Any) -> None:
    engine = FakeEngine(cuda)
    call = EngineCall(engine, {"x": np.array([1, 2, 3], np.float32)}, CudaStream(0, cuda))

    wall, parts = timed_call(call)

    assert parts == dict(zip(PARTS, (cuda.copy_in, cuda.graph, cuda.copy_out), strict=True))
    assert 0 < wall < 1000
    assert call.results["y"].tolist() == [2.0, 3.0, 4.0]


@pytest.mark.parametrize("captured", [False, True])
def test_a_cuda_graph_replays_what_was_captured_with_new_inputs(cuda: Any, captured: bool) -> None:
    engine = FakeEngine(cuda)
    call = EngineCall(
        engine, {"x": np.array([1, 2, 3], np.float32)}, CudaStream(0, cuda), cuda_graph=captured
    )
    before = engine.launches
    cuda.log.clear()
    call._inputs.host["x"][:] = 7

    timed_call(call)

    assert call.results["y"].tolist() == [8.0] * 3
    assert cuda.log == ["in", *(["graph"] if captured else []), "kernel", "out"]
    assert engine.launches - before == (0 if captured else 1)


def test_closing_a_call_frees_everything(cuda: Any) -> None:
    engine = FakeEngine(cuda)
    call = EngineCall(engine, {"x": np.zeros(3, np.float32)}, CudaStream(0, cuda), cuda_graph=True)

    call.close()

    assert (cuda.memory, cuda.alive, engine.closed) == ({}, 0, True)


def test_an_engine_that_refuses_to_run_leaves_nothing_behind(cuda: Any) -> None:
    engine = FakeEngine(cuda)
    engine.works = False

    with pytest.raises(BackendError, match="refuses to run at these shapes"):
        EngineCall(engine, {"x": np.zeros(3, np.float32)}, CudaStream(0, cuda))

    assert (cuda.memory, cuda.alive, engine.closed) == ({}, 0, True)


def test_a_gpu_that_is_not_there_is_refused_by_the_drivers_number(cuda: Any) -> None:
    with pytest.raises(BackendError, match="refuses cuDeviceGet: error 101"):
        CudaStream(3, cuda)


def test_bound_onnxruntime_gives_what_a_plain_run_gives(
    cuda: Any, toy_graphs: Path, pixels: np.ndarray
) -> None:
    path, feed = toy_graphs / "image_encoder.onnx", {"pixels": pixels}
    backend = open_backend(path)
    shapes = {name: (array.shape, array.dtype.name) for name, array in backend.run(feed).items()}
    call = OnnxRuntimeCall(path, feed, shapes, CudaStream(0, cuda), device="cpu")

    timed_call(call)

    expected = backend.run(feed)
    assert set(call.results) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(call.results[name], array)
    call.close()
    backend.close()
    assert (cuda.memory, cuda.alive) == ({}, 0)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_an_onnxruntime_without_cuda_says_so_and_frees_what_it_took(
    cuda: Any, toy_graphs: Path, pixels: np.ndarray
) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA, so that nothing is missing")
    path, shapes = toy_graphs / "image_encoder.onnx", {"image_embedding": ((2, 3), "float32")}

    with pytest.raises(BackendError, match="ONNX Runtime on cuda with CUDA graphs"):
        OnnxRuntimeCall(path, {"pixels": pixels}, shapes, CudaStream(0, cuda), cuda_graph=True)

    assert (cuda.memory, cuda.alive) == ({}, 0)


def test_a_graph_of_a_bundle_is_bound_in_the_form_that_the_runtime_uses(
    cuda: Any, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, Any] = {}

    def call(path: Path, feed: Any, shapes: Any, stream: Any, **options: Any) -> Any:
        dtypes = {name: array.dtype.name for name, array in feed.items()}
        made.update(options, graph=path.stem, dtypes=dtypes, shapes=shapes)

    monkeypatch.setattr("cfack_bench.device.open.OnnxRuntimeCall", call)
    monkeypatch.setattr("cfack_bench.device.open.CudaStream", lambda index: CudaStream(index, cuda))
    feed = {
        "text_tokens": np.zeros((1, 4, 4), np.float16),
        "attention_mask": np.ones((1, 4), np.int64),
        "image_tokens": np.zeros((5, 4, 4), np.float16),
    }

    with Retriever.open(toy_bundle) as retriever:
        open_device_call(
            retriever.bundle,
            Candidate("onnxruntime", "fp32", "cuda", 1),
            "reranker",
            feed,
            retriever.graphs,
            cuda_graph=True,
        )

    assert made["shapes"] == {"match_logits": ((5, 2), "float32")}
    assert (made["graph"], made["cuda_graph"], made["index"]) == ("reranker", True, 0)
    assert made["dtypes"] == {
        "text_tokens": "float32",
        "attention_mask": "int64",
        "image_tokens": "float32",
    }


def test_a_visit_keeps_the_parts_beside_the_samples(
    cuda: Any, toy_bundle: Path, tmp_path: Path, pixels: np.ndarray
) -> None:
    asked: list[tuple[str, bool]] = []

    def device_call(graph: str, feed: Mapping[str, np.ndarray], *, cuda_graph: bool) -> EngineCall:
        asked.append((graph, cuda_graph))
        values = {"x": feed["pixels"].reshape(-1).astype(np.float32)}
        return EngineCall(FakeEngine(cuda), values, CudaStream(0, cuda), cuda_graph=cuda_graph)

    workload = Workload(toy_bundle, None, None, (), 1, 0)
    save_workload(tmp_path, workload, pixels)
    tasks = GraphTasks(SimpleNamespace(device_call=device_call), workload, tmp_path)  # type: ignore[arg-type]
    limits = Limits(seconds=5.0, samples=4, warmup=2, round=0)

    for captured in (0, 1):
        visit = tasks.visit_device(
            Case("gpu_image_encoding", {"batch": 2, "cuda_graph": captured}, 2), limits
        )

        assert (len(visit.warmup), len(visit.samples)) == (2, 4)
        assert visit.stages == {
            part: [value] * 4
            for part, value in zip(PARTS, (cuda.copy_in, cuda.graph, cuda.copy_out), strict=True)
        }
    tasks.close()
    assert asked == [("image_encoder", False), ("image_encoder", True)]
    assert (cuda.memory, cuda.alive) == ({}, 0)
