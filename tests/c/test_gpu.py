"""libcfack on CUDA gives what it gives on the CPU."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from cfack_runtime.backends.onnxruntime_cuda import load_cuda_libraries
from cfack_runtime.bundle import Bundle

sys.path.insert(0, str(Path(__file__).parent))
import capi

pytestmark = [pytest.mark.c, pytest.mark.gpu]
QUERIES = ["a woman with a red bag", "a man in a blue coat and black trousers", "white shoes"]


def test_embeddings_and_rankings_are_those_of_the_cpu(trained_tiny: Path, tmp_path: Path) -> None:
    load_cuda_libraries(onnxruntime)  # a C program has them where its loader looks
    path = trained_tiny / "person.cfack"
    dim = Bundle.open(path).manifest.geometry.embed_dim
    files = sorted((trained_tiny / "photos").rglob("*.jpg"))[:20]
    library = capi.Library()
    embeddings, rankings = [], []
    for backend in (capi.CPU, capi.CUDA):
        bundle = library.open("bundle", path, backend=backend, precision=b"fp32")
        images = library.images(bundle, files)
        texts = library.encode_texts(bundle, QUERIES, dim)
        embeddings.append(np.vstack([texts, library.encode_images(bundle, images, len(files), dim)]))
        library.c.cfack_images_free(images)
        folder = tmp_path / str(backend)
        library.index(bundle, trained_tiny / "photos", folder)
        gallery = library.open("gallery", folder)
        rankings.append(library.search(bundle, gallery, QUERIES, k=10, rerank=64))
        library.c.cfack_gallery_free(gallery)
        library.c.cfack_bundle_free(bundle)

    np.testing.assert_allclose(embeddings[1], embeddings[0], atol=5e-6)
    for cpu, gpu in zip(*rankings, strict=True):
        assert [hit[0] for hit in gpu] == [hit[0] for hit in cpu]
        np.testing.assert_allclose([hit[2] for hit in gpu], [hit[2] for hit in cpu], atol=1e-3)
