"""The C library and cfack_runtime give the same answers on the same files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cfack_runtime.gallery import Gallery
from cfack_runtime.images import load_image
from cfack_runtime.retriever import Retriever

sys.path.insert(0, str(Path(__file__).parent))
import capi

pytestmark = pytest.mark.c
QUERIES = ["a person in a red coat", "blue", "a green person", "a person in yellow and blue"]


@pytest.fixture(scope="module")
def library() -> capi.Library:
    return capi.Library()


@pytest.fixture(scope="module", params=["toy_bundle", pytest.param("trained_tiny", marks=pytest.mark.slow)])
def bundle_path(request: pytest.FixtureRequest) -> Path:
    path = Path(request.getfixturevalue(request.param))
    return path if request.param == "toy_bundle" else path / "person.cfack"


def _hits(retriever: Retriever, gallery: Gallery, **options: int) -> list[list[tuple[object, ...]]]:
    return [
        [
            (str(hit.path.relative_to(gallery.root)), hit.score, hit.match_logit, hit.match_score)
            for hit in hits
        ]
        for hits in retriever.search_many(gallery, QUERIES, **options)
    ]


def _same(ours: list[list[tuple[object, ...]]], theirs: list[list[tuple[object, ...]]]) -> None:
    assert [[hit[0] for hit in hits] for hits in ours] == [[hit[0] for hit in hits] for hits in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine, other, strict=True):
            assert a[1] == pytest.approx(b[1], abs=1e-6)
            assert a[2] == (None if b[2] is None else pytest.approx(b[2], abs=1e-5))
            assert a[3] == (None if b[3] is None else pytest.approx(b[3], abs=1e-6))


def test_embeddings_of_texts_and_images_are_pythons(
    library: capi.Library, bundle_path: Path, photos: Path
) -> None:
    files = sorted(photos.rglob("*.png"))
    bundle = library.open("bundle", bundle_path)
    with Retriever.open(bundle_path) as retriever:
        geometry = retriever.bundle.manifest.geometry
        texts = retriever.text_encoder.encode(QUERIES).embedding
        pixels = np.stack([load_image(f, geometry.image_height, geometry.image_width) for f in files])
        images = retriever.image_encoder.encode(pixels).embedding
    ours = library.encode_texts(bundle, QUERIES, geometry.embed_dim)
    assert np.abs(ours - texts).max() <= 1e-6
    handle = library.images(bundle, files)
    ours = library.encode_images(bundle, handle, len(files), geometry.embed_dim)
    assert np.abs(ours - images).max() <= 1e-6
    library.c.cfack_images_free(handle)
    library.c.cfack_bundle_free(bundle)


def test_galleries_are_exchanged_both_ways_with_equal_rankings(
    library: capi.Library, bundle_path: Path, photos: Path, tmp_path: Path
) -> None:
    bundle = library.open("bundle", bundle_path)
    library.index(bundle, photos, tmp_path / "by-c")
    with Retriever.open(bundle_path) as retriever:
        by_python = retriever.index(photos, tmp_path / "by-python")
        by_c = Gallery.open(tmp_path / "by-c")
        assert [i.path for i in by_c.images] == [i.path for i in by_python.images]
        assert [i.mtime_ns for i in by_c.images] == [i.mtime_ns for i in by_python.images]
        for name in ("by-c", "by-python"):
            ours = library.open("gallery", tmp_path / name)
            for options in ({}, {"k": 2, "rerank": 0}, {"k": 4, "rerank": 3}):
                _same(
                    library.search(bundle, ours, QUERIES, **options),
                    _hits(retriever, Gallery.open(tmp_path / name), **options),
                )
            library.c.cfack_gallery_free(ours)
        # Each goes on where the other stopped.
        (photos / "blue.png").unlink()
        shutil.copy(photos / "red.png", photos / "zebra.png")
        assert retriever.index(photos, tmp_path / "by-c").report.added == 1
        library.index(bundle, photos, tmp_path / "by-python")
        left, right = (Gallery.open(tmp_path / name) for name in ("by-c", "by-python"))
        assert [i.path for i in left.images] == [i.path for i in right.images]
        assert "blue.png" not in [i.path for i in right.images]
    library.c.cfack_bundle_free(bundle)


@pytest.mark.parametrize("kinds", [("fp16", "fp16"), ("fp32", "int8")])
def test_galleries_of_smaller_numbers_are_read(
    library: capi.Library, toy_bundle: Path, photos: Path, tmp_path: Path, kinds: tuple[str, str]
) -> None:
    from cfack_runtime.gallery_writer import GalleryWriter

    with Retriever.open(toy_bundle) as retriever:
        first = retriever.index(photos, tmp_path / "full")
        places = np.arange(len(first))
        with GalleryWriter(
            tmp_path / "small", first.identity, "fp32", embeddings=kinds[0], tokens=kinds[1]
        ) as writer:
            writer.add(first.embeddings.rows(places), first.tokens(places), [first.images[i] for i in places])
        bundle, ours = library.open("bundle", toy_bundle), library.open("gallery", tmp_path / "small")
        _same(library.search(bundle, ours, QUERIES), _hits(retriever, Gallery.open(tmp_path / "small")))
    library.c.cfack_gallery_free(ours)
    library.c.cfack_bundle_free(bundle)


def test_the_example_prints_what_the_command_prints(bundle_path: Path, photos: Path, tmp_path: Path) -> None:
    capi.Library()  # sets where ONNX Runtime is
    gallery = tmp_path / "gallery"
    ours = subprocess.run(
        [capi.BUILD / "examples" / "cfack_search", bundle_path, photos, gallery, *QUERIES],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    theirs = subprocess.run(
        [sys.executable, "-m", "cfack", "search", gallery, *QUERIES],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert ours == theirs


def test_every_function_and_error_code(
    write_toy: Callable[..., Path], toy_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    capi.Library()
    other = write_toy(tmp_path / "other.cfack", checkpoint_sha256="f" * 64)
    program = capi.BUILD / "tests" / "api_test"
    done = subprocess.run([program, toy_bundle, photos, tmp_path, other], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_threads_share_a_bundle_and_a_gallery(
    library: capi.Library, toy_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    bundle = library.open("bundle", toy_bundle)
    library.index(bundle, photos, tmp_path / "gallery")
    library.c.cfack_bundle_free(bundle)
    program = capi.BUILD / "tests" / "threads_test"
    done = subprocess.run([program, toy_bundle, tmp_path / "gallery", "red"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


CALIBRATION = {"slope": 1.0, "offset": 0.5, "pairs": 2, "split_sha256": "a" * 64}
MANIFEST_FAULTS: dict[str, Callable[[dict[str, object]], object]] = {
    "format": lambda m: m.update(format="other"),
    "format version 2": lambda m: m.update(format_version=2),
    "missing": lambda m: m.pop("model"),
    "refused": lambda m: m["tokenizer"].update(path="../tokenizer.json"),  # type: ignore[attr-defined,index]
    "only knows": lambda m: m["preprocessing"].update(image="other"),  # type: ignore[attr-defined,index]
    "embedding_space": lambda m: m.update(embedding_space="0" * 64),
    "parity has nothing": lambda m: m.update(parity={}),
    "the manifest says": lambda m: m["documents"][0].update(sha256="0" * 64),  # type: ignore[index]
    "bytes, but": lambda m: m["graphs"]["fp32"]["reranker"].update(size=1),  # type: ignore[index]
    "was edited": lambda m: m["model"].update(max_tokens=11),  # type: ignore[attr-defined,index]
    "export again": lambda m: m["model"].update(embed_dim=4),  # type: ignore[attr-defined,index]
    "at most 64": lambda m: m.update(documents=m["documents"] * 33),  # type: ignore[operator]
    "at most 32": lambda m: m.update(graphs={f"p{i}": m["graphs"]["fp32"] for i in range(33)}),  # type: ignore[index]
    "expected 1 to 2147483647": lambda m: m["graphs"]["fp32"]["reranker"].update(size=1 << 31),  # type: ignore[index]
    "expected 1 to 67108864": lambda m: m["documents"][0].update(size=1 << 27),  # type: ignore[index]
    "slope is": lambda m: m.update(score_calibration=CALIBRATION | {"slope": -1}),
    "cosine is": lambda m: m.update(score_calibration=CALIBRATION | {"cosine": -0.5}),
    "pairs is": lambda m: m.update(score_calibration=CALIBRATION | {"pairs": 1}),
    "offset is missing": lambda m: m.update(score_calibration={"slope": 1}),
}


@pytest.mark.parametrize("words", MANIFEST_FAULTS)
def test_a_faulty_bundle_is_refused_by_both(library: capi.Library, bundle_copy: Path, words: str) -> None:
    path = bundle_copy / "manifest.json"
    manifest = json.loads(path.read_text())
    MANIFEST_FAULTS[words](manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(Exception, match=words):
        Retriever.open(bundle_copy)
    with pytest.raises(capi.LibraryError, match=words) as caught:
        library.open("bundle", bundle_copy)
    assert caught.value.code == -4


def test_a_damaged_graph_is_refused(library: capi.Library, bundle_copy: Path) -> None:
    graph = bundle_copy / "onnx" / "fp32" / "reranker.onnx"
    data = bytearray(graph.read_bytes())
    data[-1] ^= 1
    graph.write_bytes(data)
    with pytest.raises(capi.LibraryError, match="SHA-256") as caught:
        library.open("bundle", bundle_copy)
    assert caught.value.code == -4
