"""Engines of a bundle, from the lineup to the samples, against the runtime's stand-in for TensorRT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cfack_bench.candidates import Candidate
from cfack_bench.cases import expand
from cfack_bench.device.call import PARTS, timed_call
from cfack_bench.device.open import open_device_call
from cfack_bench.engines import BundleEngine
from cfack_bench.gallery import write_random_gallery
from cfack_bench.lineup import Wanted, choose_lineup
from cfack_bench.suite_file import suite_from
from cfack_bench.tasks import Tasks
from cfack_bench.visits import Limits
from cfack_bench.workload import Workload, save_workload
from cfack_runtime.backends import open_backend
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import BackendError

TENSORRT = Candidate("tensorrt", "fp32", "cuda", 1)


class StandInStream:
    """Copies between the host and the stand-in's memory; results hold after `synchronize` only."""

    def __init__(self, memory: Any) -> None:
        self.memory, self.handle, self.closed = memory, id(self), False
        self.pending: list[Callable[[], None]] = []

    def mark(self, place: int) -> None:
        pass

    def milliseconds(self, first: int, last: int) -> float:
        return 1.0

    def synchronize(self) -> None:
        while self.pending:
            self.pending.pop(0)()

    def reserve(self, size: int) -> int:
        address = next(self.memory.addresses)
        self.memory.blocks[address] = bytearray(size)
        return int(address)

    def host_array(self, shape: Sequence[int], dtype: str) -> NDArray[Any]:
        return np.zeros(shape, dtype)

    def copy_in(self, address: int, array: NDArray[Any]) -> None:
        self.memory.blocks[address][:] = array.tobytes()

    def copy_out(self, array: NDArray[Any], address: int) -> None:
        def copy() -> None:
            array[...] = np.frombuffer(bytes(self.memory.blocks[address]), array.dtype).reshape(array.shape)

        self.pending.append(copy)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        work()
        return work

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def stream(memory: Any) -> StandInStream:
    return StandInStream(memory)


@pytest.fixture
def bundle(
    add_engines: Callable[..., Bundle], tensorrt: Any, stream: StandInStream, monkeypatch: pytest.MonkeyPatch
) -> Bundle:
    """The toy bundle with verified engines, which the stand-in can load."""
    monkeypatch.setattr("cfack_bench.device.open.CudaStream", lambda index: stream)
    library = SimpleNamespace(version=tensorrt.__version__)
    monkeypatch.setattr("cfack_runtime.backends.engine_library.load_library", lambda name: library)
    gpu = SimpleNamespace(index=0, name="NVIDIA Pretend", compute_capability="8.9")
    monkeypatch.setattr("cfack_runtime.backends.engine_gpu.find_gpu", lambda index: gpu)
    return add_engines(verified=True)


@pytest.mark.parametrize("captured", [False, True])
def test_a_bound_engine_gives_what_its_graph_gives(
    bundle: Bundle, memory: Any, stream: StandInStream, captured: bool
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 12, 8, 3), dtype=np.uint8)
    call = open_device_call(
        bundle,
        TENSORRT,
        "image_encoder",
        {"pixels": pixels},
        {},
        cuda_graph=captured,
    )

    _, parts = timed_call(call)

    backend = open_backend(bundle.graph_path("fp32", "image_encoder"))
    for name, expected in backend.run({"pixels": pixels}).items():
        np.testing.assert_array_equal(call.results[name], expected)  # type: ignore[attr-defined]
    assert tuple(parts) == PARTS
    call.close()
    backend.close()
    assert (stream.closed, memory.open_devices) == (True, 0)


def test_a_batch_beyond_the_profile_is_refused_with_its_range(bundle: Bundle, memory: Any) -> None:
    pixels = np.zeros((9, 12, 8, 3), np.uint8)

    with pytest.raises(BackendError, match=r"got pixels \[9, 12, 8, 3\], outside of what"):
        open_device_call(
            bundle,
            TENSORRT,
            "image_encoder",
            {"pixels": pixels},
            {},
            cuda_graph=False,
        )

    assert memory.open_devices == 0


def test_an_engine_that_no_gpu_has_run_is_not_timed(
    bundle: Bundle, add_engines: Callable[..., Bundle]
) -> None:
    unverified = add_engines(verified=False, gpu="", compatibility="ampere+")
    engines = tuple(entry for entry in unverified.manifest.engines if not entry.verified)
    unverified = replace(unverified, manifest=replace(unverified.manifest, engines=engines))

    with pytest.raises(BackendError, match="was built without running it"):
        open_device_call(
            unverified,
            TENSORRT,
            "image_encoder",
            {"pixels": np.zeros((1, 12, 8, 3), np.uint8)},
            {},
            cuda_graph=False,
        )


def test_every_case_of_a_suite_is_measured_on_engines(bundle: Bundle, memory: Any, tmp_path: Path) -> None:
    (account,) = choose_lineup(bundle, Wanted(backends=("tensorrt",))).accounts
    suite = suite_from(
        {
            "image_encoding": {"batch": [1, 4]},
            "text_encoding": {"tokens": [4, 8]},
            "reranking": {"candidates": [5], "tokens": [6]},
            "query": {"candidates": [0, 4], "clients": [1, 2], "gallery": 8},
        }
    )
    gallery = write_random_gallery(bundle, tmp_path / "gallery", 8, 0)
    workload = Workload(bundle.path, None, gallery, ("a person in red",), 3, 0)
    save_workload(tmp_path, workload, np.zeros((4, 12, 8, 3), np.uint8))
    engine = BundleEngine(account.candidate, workload)
    tasks = Tasks(engine, workload, tmp_path)

    # Queries last: they let go of what a case before them bound.
    for case in reversed(expand(suite, bundle.manifest.geometry, gpu=True)):
        visit = tasks.visit(case, Limits(seconds=1.0, samples=2, warmup=1, round=0))

        assert len(visit.samples) >= 2, case.key
        assert (tuple(visit.stages) == PARTS) == case.on_device
    assert {case.measure for case in expand(suite, bundle.manifest.geometry, gpu=True)} >= {
        "gpu_image_encoding",
        "gpu_text_encoding",
        "gpu_reranking",
    }
    engine.close()
    assert memory.open_devices == 0
