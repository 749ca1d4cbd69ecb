"""ONNX Runtime behind the protocol."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from cfack_runtime.backends import Backend, open_backend
from cfack_runtime.backends.onnxruntime import OnnxRuntimeBackend
from cfack_runtime.backends.onnxruntime_cuda import load_cuda_libraries
from cfack_runtime.errors import BackendError, UsageError
from cfack_runtime.manifest import TensorSpec

FEED = {"input_ids": np.array([[2, 9, 3]]), "attention_mask": np.ones((1, 3), np.int64)}


@pytest.fixture(scope="module")
def text_encoder(toy_graphs: Path) -> Iterator[Backend]:
    backend = open_backend(toy_graphs / "text_encoder.onnx", threads=1)
    yield backend
    backend.close()


def test_a_graph_declares_its_inputs_and_outputs(text_encoder: Backend) -> None:
    assert text_encoder.inputs == (
        TensorSpec("input_ids", "int64", ("batch", "length")),
        TensorSpec("attention_mask", "int64", ("batch", "length")),
    )
    assert text_encoder.outputs[1] == TensorSpec("text_tokens", "float32", ("batch", "length", 4))


def test_outputs_come_by_name(text_encoder: Backend) -> None:
    output = text_encoder.run(FEED)
    assert set(output) == {"text_embedding", "text_tokens"}
    np.testing.assert_allclose(output["text_embedding"], [[1, 0, 0]], atol=1e-5)


def test_what_was_bound_outlives_the_next_call(toy_graphs: Path) -> None:
    """How a GPU is called, here on the CPU: results are not copied out of ONNX Runtime's memory."""
    backend = OnnxRuntimeBackend(toy_graphs / "text_encoder.onnx", threads=1)
    first, second = (
        dict(zip(("embedding", "tokens"), backend._run_bound(backend._session, feed), strict=True))
        for feed in (FEED, {**FEED, "input_ids": np.array([[2, 10, 3]])})
    )
    backend.close()
    np.testing.assert_allclose(first["embedding"], [[1, 0, 0]], atol=1e-5)
    np.testing.assert_allclose(second["embedding"], [[0, 1, 0]], atol=1e-5)


def test_a_failure_names_the_graph_and_what_was_fed(text_encoder: Backend) -> None:
    wrong = {**FEED, "attention_mask": np.ones((1, 3), np.float32)}
    with pytest.raises(
        BackendError, match=r"text_encoder\.onnx: failed on .*attention_mask float32 \(1, 3\)"
    ):
        text_encoder.run(wrong)
    with pytest.raises(BackendError, match=r"text_encoder\.onnx: failed on input_ids int64 \(1, 3\)"):
        text_encoder.run({"input_ids": FEED["input_ids"]})


def test_a_closed_graph_says_so(toy_graphs: Path) -> None:
    backend = open_backend(toy_graphs / "text_encoder.onnx", threads=1)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="was closed; open it again"):
        backend.run(FEED)


def test_several_threads_may_run_one_graph(text_encoder: Backend) -> None:
    results: list[Any] = []

    def run(word: int) -> None:
        for _ in range(50):
            output = text_encoder.run({**FEED, "input_ids": np.array([[2, word, 3]])})
            results.append((word, tuple(output["text_embedding"][0].round(3))))

    threads = [threading.Thread(target=run, args=(word,)) for word in (9, 10, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(results) == {(9, (1, 0, 0)), (10, (0, 1, 0)), (11, (0, 0, 1))}
    assert len(results) == 150


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"not protobuf")
    with pytest.raises(BackendError, match=r"graph\.onnx: no valid ONNX file"):
        open_backend(tmp_path / "graph.onnx")


def test_a_graph_that_reads_a_file_outside_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../secret.bin")
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g", tensors[:1], tensors[1:], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (tmp_path / "inside" / "graph.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BackendError, match="external data"):
        open_backend(tmp_path / "inside" / "graph.onnx")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_an_unknown_device_is_refused(toy_graphs: Path, device: str) -> None:
    with pytest.raises(UsageError, match='expected "cpu", "cuda" or "cuda:N"'):
        open_backend(toy_graphs / "text_encoder.onnx", device=device)


def test_threads_must_be_positive(toy_graphs: Path) -> None:
    with pytest.raises(UsageError, match="threads must be at least 1, got 0"):
        open_backend(toy_graphs / "text_encoder.onnx", threads=0)


def test_threads_and_memory_are_set_as_documented(toy_graphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = onnxruntime.InferenceSession

    def spy(path: str, options: Any, **arguments: Any) -> Any:
        seen.append((options.intra_op_num_threads, options.enable_mem_pattern))
        return real(path, options, **arguments)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    open_backend(toy_graphs / "text_encoder.onnx", threads=3).close()
    assert seen == [(3, False)]


def test_a_device_that_this_onnxruntime_does_not_have_is_refused(
    toy_graphs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match=r"'cuda' needs CUDAExecutionProvider.*pip install 'cfack\[gpu\]'"):
        open_backend(toy_graphs / "text_encoder.onnx", device="cuda")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Providers that a session was asked for, in an ONNX Runtime that has CUDA but cannot load it."""
    seen: list[Any] = []

    def fallen_back(*_: Any, providers: Any, **__: Any) -> Any:
        seen.extend(providers)
        return SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])

    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    load_cuda_libraries.cache_clear()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "InferenceSession", fallen_back)
    monkeypatch.setattr(
        onnxruntime, "preload_dlls", lambda: print("Failed to load libcudnn.so.9"), raising=False
    )
    yield seen
    load_cuda_libraries.cache_clear()


def test_a_silent_fallback_to_the_cpu_is_an_error_that_names_what_is_missing(
    toy_graphs: Path, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        BackendError, match=r"fell back to CPUExecutionProvider \(Failed to load libcudnn\.so\.9\); uninstall"
    ):
        open_backend(toy_graphs / "text_encoder.onnx", device="cuda:1")
    assert capsys.readouterr().out == ""


def test_fp32_on_cuda_is_not_rounded_to_tensorfloat32(toy_graphs: Path, asked: list[Any]) -> None:
    with pytest.raises(BackendError):
        open_backend(toy_graphs / "text_encoder.onnx", device="cuda:1", memory_limit=1 << 30)
    ((provider, options),) = asked
    assert provider == "CUDAExecutionProvider"
    assert options == {
        "device_id": "1",
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": "0",
        "gpu_mem_limit": str(1 << 30),
    }


def test_a_missing_onnxruntime_says_how_to_install_it(toy_graphs: Path) -> None:
    code = """
import sys
sys.modules["onnxruntime"] = None
from pathlib import Path
from cfack_runtime.backends import open_backend
from cfack_runtime.errors import BackendError
try:
    open_backend(Path(sys.argv[1]))
except BackendError as error:
    print(error)
"""
    arguments = [sys.executable, "-c", code, str(toy_graphs / "text_encoder.onnx")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert "pip install 'cfack[cpu]'" in done.stdout
