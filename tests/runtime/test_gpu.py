"""ONNX Runtime on CUDA against the same graphs on the CPU, on a trained model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cfack_runtime.backends.doctor import diagnose
from cfack_runtime.errors import BackendError
from cfack_runtime.gallery import Gallery
from cfack_runtime.retriever import Retriever

pytestmark = pytest.mark.gpu

CAPTIONS = ["a woman with a red bag", "a man in a blue coat and black trousers", "white shoes"]


def noise(retriever: Retriever, count: int) -> np.ndarray:
    """Images of the size that a bundle takes."""
    geometry = retriever.bundle.manifest.geometry
    shape = (count, geometry.image_height, geometry.image_width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.fixture(scope="module")
def retrievers(trained_tiny: Path) -> Iterator[tuple[Retriever, Retriever]]:
    bundle = trained_tiny / "person.cfack"
    with Retriever.open(bundle) as cpu, Retriever.open(bundle, device="cuda", precision="fp32") as gpu:
        yield cpu, gpu


@pytest.fixture(scope="module")
def gallery(
    trained_tiny: Path, tmp_path_factory: pytest.TempPathFactory, retrievers: tuple[Retriever, Retriever]
) -> Gallery:
    return retrievers[1].index(trained_tiny / "photos", out=tmp_path_factory.mktemp("gpu") / "gallery")


def test_fp32_is_not_rounded_to_tensorfloat32(retrievers: tuple[Retriever, Retriever]) -> None:
    """TensorFloat-32 has 10 bits of mantissa: embeddings would be off by some 1e-4."""
    cpu, gpu = retrievers
    pixels = noise(cpu, 8)

    images, expected_images = (one.image_encoder.encode(pixels) for one in (gpu, cpu))
    np.testing.assert_allclose(images.embedding, expected_images.embedding, atol=5e-6)
    np.testing.assert_allclose(images.tokens, expected_images.tokens, atol=5e-5)
    texts, expected_texts = (one.text_encoder.encode(CAPTIONS) for one in (gpu, cpu))
    np.testing.assert_allclose(texts.embedding, expected_texts.embedding, atol=5e-6)


def test_a_search_finds_what_the_cpu_finds(retrievers: tuple[Retriever, Retriever], gallery: Gallery) -> None:
    for caption in CAPTIONS:
        expected, found = (one.search(gallery, caption, k=10, rerank=64) for one in retrievers)
        assert [hit.path for hit in found] == [hit.path for hit in expected]
        np.testing.assert_allclose(
            [hit.match_score for hit in found], [hit.match_score for hit in expected], atol=1e-4
        )


def test_a_memory_limit_is_kept(trained_tiny: Path) -> None:
    bundle = trained_tiny / "person.cfack"
    with Retriever.open(bundle, device="cuda", precision="fp32", memory_limit=32 << 20) as opened:
        pixels = noise(opened, 4096)
        with pytest.raises(BackendError, match=r"image_encoder\.onnx: failed on pixels uint8"):
            opened.image_encoder.encode(pixels, batch_size=len(pixels))
        assert len(opened.image_encoder.encode(pixels[:4]).embedding) == 4


def test_doctor_runs_a_graph_on_cuda() -> None:
    found = {diagnosis.name: diagnosis for diagnosis in diagnose()}
    assert found["gpu driver"].runs, found["gpu driver"]
    assert found["onnxruntime cuda"].runs, found["onnxruntime cuda"]


def test_cuda_is_found_without_torch_and_without_a_search_path(toy_bundle: Path) -> None:
    """The libraries lie in site-packages; no variable names them and nobody has loaded them.

    The driver may be found by the variable, and stays.
    """
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from cfack_runtime import Retriever\n"
        "with Retriever.open(sys.argv[1], device='cuda', precision='fp32') as r: print(r.precision)"
    )
    path = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    path = [folder for folder in path if folder and not list(Path(folder).glob("libcublas.so*"))]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(toy_bundle)], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout) == (0, "fp32\n"), done.stderr
