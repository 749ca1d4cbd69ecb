"""What a search may be asked for, with the toy model of tests/conftest.py."""

import json
import math
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cfack_runtime import bundle_files
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import BackendError, BundleError, UsageError
from cfack_runtime.gallery import Gallery
from cfack_runtime.hits import Hit
from cfack_runtime.retriever import Retriever


@pytest.fixture(scope="module")
def retriever(toy_bundle: Path) -> Iterator[Retriever]:
    with Retriever.open(toy_bundle, threads=1) as opened:
        yield opened


@pytest.fixture
def gallery(retriever: Retriever, photos: Path, tmp_path: Path) -> Gallery:
    metadata = {
        "red.png": {"camera": "east"},
        "red-top.png": {"camera": "west"},
        "blue.png": {"camera": "east"},
    }
    return retriever.index(photos, tmp_path / "gallery", metadata=metadata)


def names(hits: list[Hit]) -> list[str]:
    return [hit.path.name for hit in hits]


def test_a_stream_gives_the_dual_encoders_list_and_then_the_reranked_one(
    retriever: Retriever, gallery: Gallery
) -> None:
    first, second = retriever.search(gallery, "red", k=3, stream=True)
    assert names(first) == ["red.png", "red-top.png", "red-bottom.png"]
    assert [hit.match_score for hit in first] == [None] * 3
    assert second == retriever.search(gallery, "red", k=3)


def test_the_first_list_of_a_stream_is_there_before_anything_is_reranked(
    retriever: Retriever, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("re-ranked")

    monkeypatch.setattr(retriever.reranker, "match", refuse)
    stream = retriever.search(gallery, "red", k=1, stream=True)
    assert names(next(stream)) == ["red.png"]
    with pytest.raises(AssertionError, match="re-ranked"):
        next(stream)


def test_in_a_stream_the_threshold_is_for_the_final_list(retriever: Retriever, gallery: Gallery) -> None:
    first, second = retriever.search(gallery, "red", min_score=0.9, stream=True)
    assert len(first) == 5
    assert names(second) == ["red.png", "red-bottom.png"]
    (only,) = retriever.search(gallery, "red", min_score=0.5, rerank=0, stream=True)
    assert names(only) == ["red.png", "red-top.png"]


def test_a_bad_stream_is_refused_when_it_is_asked_for(retriever: Retriever, gallery: Gallery) -> None:
    with pytest.raises(UsageError, match="k must be at least 1"):
        retriever.search(gallery, "red", k=0, stream=True)


def test_each_query_may_have_its_own_number_of_candidates(retriever: Retriever, gallery: Gallery) -> None:
    found = retriever.search_many(gallery, ["red", "red", "red"], k=5, rerank=[0, 2, 5])
    assert [sum(hit.match_score is not None for hit in hits) for hits in found] == [0, 2, 5]
    for depth, hits in zip((0, 2, 5), found, strict=True):
        assert names(hits) == names(retriever.search(gallery, "red", k=5, rerank=depth))
    with pytest.raises(UsageError, match="2 numbers for 3 queries"):
        retriever.search_many(gallery, ["red"] * 3, rerank=[1, 2])
    with pytest.raises(UsageError, match="got -1"):
        retriever.search_many(gallery, ["red"] * 2, rerank=[1, -1])


def test_a_filter_is_applied_before_the_ranking(retriever: Retriever, gallery: Gallery) -> None:
    assert names(retriever.search(gallery, "red", k=1, where={"camera": "west"})) == ["red-top.png"]
    hits = retriever.search(gallery, "red", where="camera=east", rerank=1)
    assert names(hits) == ["red.png", "blue.png"]
    assert retriever.search(gallery, "red", where="camera=north") == []
    with pytest.raises(UsageError, match="no image of .* has the field 'lens'"):
        retriever.search(gallery, "red", where="lens=1")


def test_scores_are_chosen_by_name(retriever: Retriever, gallery: Gallery) -> None:
    hits = retriever.search(gallery, "red", score="log-odds", min_score=3.5)
    assert [(hit.path.name, hit.match_score) for hit in hits] == [
        ("red.png", pytest.approx(4, abs=1e-4)),
        ("red-bottom.png", pytest.approx(4, abs=1e-4)),
    ]
    with pytest.raises(UsageError, match="no score calibration"):
        retriever.search(gallery, "red", score="probability")


def edit(bundle: Path, **members: Any) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}))


def test_a_fitted_bundle_gives_probabilities(bundle_copy: Path, gallery: Gallery) -> None:
    fitted = {"slope": 0.5, "offset": -2.0, "pairs": 10, "split_sha256": "0" * 64}
    edit(bundle_copy, score_calibration=fitted)
    with Retriever.open(bundle_copy, threads=1) as opened:
        hits = opened.search(gallery, "red", k=1, score="probability")
    assert hits[0].match_score == pytest.approx(0.5, abs=1e-4)  # 0.5 * 4 - 2 = 0
    edit(bundle_copy, score_calibration={**fitted, "cosine": 3.0})
    with Retriever.open(bundle_copy, threads=1) as opened:
        hit = opened.search(gallery, "red", k=1, score="probability")[0]
    assert hit.match_score == pytest.approx(1 / (1 + math.exp(-3 * hit.score)), abs=1e-4)
    edit(bundle_copy, score_calibration={**fitted, "slope": -1})
    with pytest.raises(BundleError, match="slope is -1.0, expected a positive number"):
        Bundle.open(bundle_copy)
    edit(bundle_copy, score_calibration={**fitted, "cosine": -3.0})
    with pytest.raises(BundleError, match="cosine is -3.0, expected 0 or a positive number"):
        Bundle.open(bundle_copy)


@pytest.fixture
def with_rewrites(write_toy: Callable[..., Path], toy_graphs: Path, tmp_path: Path) -> Path:
    """The toy bundle, whose re-ranker also stands for both of its rewrites."""
    import onnx

    for name in ("image_encoder", "text_encoder", "reranker"):
        (tmp_path / f"{name}.onnx").write_bytes((toy_graphs / f"{name}.onnx").read_bytes())
    for name, fixed in (("one_text", ("text_tokens", "attention_mask")), ("one_image", ("image_tokens",))):
        model = onnx.load(toy_graphs / "reranker.onnx")
        for value in model.graph.input:
            axis = value.type.tensor_type.shape.dim[0]
            if value.name in fixed:
                axis.dim_value = 1
            else:
                axis.dim_param = "batch"
        onnx.save(model, tmp_path / f"reranker_{name}.onnx")
    return write_toy(tmp_path / "rewrites.cfack", graphs={"fp32": tmp_path})


def test_a_rewrite_is_loaded_when_it_is_needed(
    with_rewrites: Path, retriever: Retriever, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    from cfack_runtime import sessions

    real = sessions.open_backend
    monkeypatch.setattr(
        sessions, "open_backend", lambda path, **rest: loaded.append(path.stem) or real(path, **rest)
    )
    with Retriever.open(with_rewrites, threads=1) as opened:
        # Side by side, so in any order.
        assert sorted(loaded) == ["image_encoder", "reranker_one_text", "text_encoder"]
        alone = opened.search(gallery, "red")
        assert len(loaded) == 3
        assert alone == retriever.search(gallery, "red")
        monkeypatch.setattr(type(opened.pair_cost), "texts_that_pay", lambda self, length: 2)
        queries = ["red", "blue", "a person in a green coat"]
        together = opened.search_many(gallery, queries)
        assert loaded[3:] == ["reranker_one_image"]
        for query, hits in zip(queries, together, strict=True):
            assert names(hits) == names(retriever.search(gallery, query))
    with pytest.raises(BackendError, match="was closed"):
        opened.search(gallery, "red")


def test_a_graph_is_hashed_once_whenever_it_is_loaded(
    with_rewrites: Path, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    real = bundle_files.sha256_file
    monkeypatch.setattr(bundle_files, "sha256_file", lambda path: hashed.append(path.stem) or real(path))
    with Retriever.open(with_rewrites, threads=1) as opened:
        before = list(hashed)
        monkeypatch.setattr(type(opened.pair_cost), "texts_that_pay", lambda self, length: 1)
        opened.search_many(gallery, ["red", "blue"])  # loads reranker_one_image
    graphs = {"image_encoder", "text_encoder", "reranker", "reranker_one_text", "reranker_one_image"}
    assert sorted(name for name in before if name in graphs) == sorted(graphs)
    assert hashed == before


def test_a_graph_that_would_be_loaded_later_is_refused_at_once_if_it_is_damaged(with_rewrites: Path) -> None:
    path = with_rewrites / "onnx" / "fp32" / "reranker_one_image.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"reranker_one_image\.onnx: SHA-256"):
        Retriever.open(with_rewrites, threads=1)


def test_a_rewrite_that_was_exchanged_meanwhile_is_not_loaded(
    with_rewrites: Path, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Retriever.open(with_rewrites, threads=1) as opened:
        path = with_rewrites / "onnx" / "fp32" / "reranker_one_image.onnx"
        status = path.stat()
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # size and time are as they were
        monkeypatch.setattr(type(opened.pair_cost), "texts_that_pay", lambda self, length: 1)
        with pytest.raises(BundleError, match=r"reranker_one_image\.onnx: SHA-256"):
            opened.search_many(gallery, ["red", "blue"])


def test_threads_may_search_one_retriever(retriever: Retriever, gallery: Gallery) -> None:
    queries = ["red", "a person in a blue coat", "green"]
    alone = [retriever.search(gallery, query, k=3) for query in queries]
    wrong: list[str] = []

    def search(number: int) -> None:
        for turn in range(30):
            which = (number + turn) % 3
            if retriever.search(gallery, queries[which], k=3) != alone[which]:
                wrong.append(queries[which])

    threads = [threading.Thread(target=search, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "tpu"}, "backend is 'tpu', expected one of auto, onnxruntime, tensorrt"),
        ({"memory_limit": 1 << 30}, "memory_limit 1073741824 with device 'cpu'.*arena=False"),
        ({"token_cache_bytes": -5}, "0 or more bytes, got -5"),
    ],
)
def test_sessions_that_cannot_be_had_are_refused(
    toy_bundle: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Retriever.open(toy_bundle, **options)


def test_without_an_arena_the_answers_are_the_same(
    toy_bundle: Path, retriever: Retriever, gallery: Gallery
) -> None:
    with Retriever.open(toy_bundle, threads=1, arena=False, token_cache_bytes=0, warm_up=False) as opened:
        assert opened.search(gallery, "red") == retriever.search(gallery, "red")


@pytest.mark.gpu
def test_a_gpu_session_binds_its_inputs_and_outputs(toy_bundle: Path, gallery: Gallery) -> None:
    with Retriever.open(toy_bundle, device="cuda", memory_limit=1 << 30) as opened:
        assert names(opened.search(gallery, "red", k=2)) == ["red.png", "red-bottom.png"]
