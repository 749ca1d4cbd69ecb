"""Index and search with the toy model, whose answers are calculated in tests/conftest.py."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import cfack_runtime
from cfack_runtime import indexing
from cfack_runtime.errors import (
    BackendError,
    BundleError,
    DataError,
    EmbeddingSpaceError,
    GalleryError,
    UsageError,
)
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_writer import GalleryWriter
from cfack_runtime.hits import Hit
from cfack_runtime.retriever import Retriever

HEAVY = {"torch", "torchvision", "timm", "transformers", "onnx", "onnxscript"}


@pytest.fixture(scope="module")
def retriever(toy_bundle: Path) -> Iterator[Retriever]:
    with Retriever.open(toy_bundle, threads=1) as opened:
        yield opened


def names(hits: list[Hit]) -> list[str]:
    return [hit.path.name for hit in hits]


def edit_manifest(bundle: Path, **changes: object) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_without_reranking_images_come_by_cosine(retriever: Retriever, photos: Path, tmp_path: Path) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery")
    hits = retriever.search(gallery, "a person in a red coat", k=3, rerank=0)
    assert names(hits) == ["red.png", "red-top.png", "red-bottom.png"]
    assert [hit.score for hit in hits] == pytest.approx([1.0, 2 / 5**0.5, 1 / 5**0.5], abs=1e-5)
    assert [(hit.rank, hit.match_score, hit.match_logit) for hit in hits] == [
        (1, None, None),
        (2, None, None),
        (3, None, None),
    ]
    assert hits[2].path == photos / "sub" / "red-bottom.png"


def test_reranking_orders_the_candidates_by_logit_1_and_ties_by_cosine(
    retriever: Retriever, photos: Path, tmp_path: Path
) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery")
    hits = retriever.search(gallery, "red", k=3)
    assert names(hits) == ["red.png", "red-bottom.png", "red-top.png"]
    assert [hit.match_logit for hit in hits] == pytest.approx([2, 2, -2], abs=1e-5)
    # softmax of (-2, 2) and of (2, -2)
    assert [hit.match_score for hit in hits] == pytest.approx([0.98201, 0.98201, 0.01799], abs=1e-4)


def test_images_behind_the_candidates_keep_their_dual_encoder_order(
    retriever: Retriever, photos: Path, tmp_path: Path
) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery")
    hits = retriever.search(gallery, "red", k=5, rerank=2)
    # red-bottom would be second of three candidates, but is not one of two.
    assert names(hits)[:3] == ["red.png", "red-top.png", "red-bottom.png"]
    assert [hit.match_score is None for hit in hits] == [False, False, True, True, True]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]


def test_more_candidates_than_one_call_of_the_reranker_takes_change_nothing(
    retriever: Retriever, save_bands: Callable[..., None], tmp_path: Path
) -> None:
    for number in range(40):  # two and a half batches
        bottom = "red" if number % 8 == 7 else "blue"
        save_bands(tmp_path / "photos" / f"{number:02d}.png", ["green", "green", bottom])
    gallery = retriever.index(tmp_path / "photos", tmp_path / "gallery")
    hits = retriever.search(gallery, "red", k=6)
    assert names(hits)[:5] == ["07.png", "15.png", "23.png", "31.png", "39.png"]
    assert hits[5].match_logit == pytest.approx(-2, abs=1e-5)


def test_many_queries_give_what_each_gives_alone(retriever: Retriever, photos: Path, tmp_path: Path) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery")
    queries = ["red", "a person in a blue coat", "a green coat"] * 30  # more than one block
    reported: list[tuple[int, int]] = []
    together = retriever.search_many(
        gallery, queries, k=2, progress=lambda done, total: reported.append((done, total))
    )
    assert reported[-1] == (90, 90)
    for query, hits in zip(queries[:3], together[-3:], strict=True):
        alone = retriever.search(gallery, query, k=2)
        assert names(hits) == names(alone)
        assert [hit.match_logit for hit in hits] == pytest.approx([hit.match_logit for hit in alone])


def test_min_score_is_compared_with_the_match_score_when_reranking(
    retriever: Retriever, photos: Path, tmp_path: Path
) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery")
    assert names(retriever.search(gallery, "red", min_score=0.9)) == ["red.png", "red-bottom.png"]
    # Only two are re-ranked; red-bottom has no match score and cannot reach any.
    assert names(retriever.search(gallery, "red", rerank=2, min_score=0.9)) == ["red.png"]
    assert retriever.search(gallery, "yellow", min_score=0.99) == []


def test_min_score_is_compared_with_the_cosine_without_reranking(
    retriever: Retriever, photos: Path, tmp_path: Path
) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery")
    hits = retriever.search(gallery, "red", rerank=0, min_score=0.5)
    assert names(hits) == ["red.png", "red-top.png"]


def test_a_gallery_without_tokens_is_ranked_by_cosine_and_refuses_reranking(
    retriever: Retriever, photos: Path, tmp_path: Path
) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery", tokens=False)
    assert names(retriever.search(gallery, "red", k=2)) == ["red.png", "red-top.png"]
    with pytest.raises(GalleryError, match="holds no image tokens.*rerank=0"):
        retriever.search(gallery, "red", rerank=5)


def test_a_gallery_that_was_emptied_finds_nothing(retriever: Retriever, photos: Path, tmp_path: Path) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery")
    with GalleryWriter(gallery.path, gallery.identity, "fp32") as writer:
        writer.remove(list(writer.images))
    assert retriever.search(Gallery.open(gallery.path), "red") == []


def test_k_beyond_the_gallery_gives_all_of_it(retriever: Retriever, photos: Path, tmp_path: Path) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery")
    assert len(retriever.search(gallery, "red", k=1000, rerank=1000)) == 5


@pytest.mark.parametrize(
    ("query", "message"),
    [("", "empty"), (" ...!? ", "empty"), ("\x00\x01", "holds no word"), ("\ud800", "caption 0")],
)
def test_a_query_without_words_is_refused(
    retriever: Retriever, photos: Path, tmp_path: Path, query: str, message: str
) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery")
    with pytest.raises(DataError, match=message):
        retriever.search(gallery, query)


def test_the_message_about_a_bad_query_counts_from_the_first_of_all(
    retriever: Retriever, photos: Path, tmp_path: Path
) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery")
    with pytest.raises(DataError, match="caption 70"):
        retriever.search_many(gallery, [*["red"] * 70, ""])


def test_calls_that_make_no_sense_are_refused(retriever: Retriever, photos: Path, tmp_path: Path) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery")
    with pytest.raises(UsageError, match="k must be at least 1, got 0"):
        retriever.search(gallery, "red", k=0)
    with pytest.raises(UsageError, match="rerank must be 0 .* got -1"):
        retriever.search(gallery, "red", rerank=-1)
    with pytest.raises(UsageError, match="the query is a int"):
        retriever.search(gallery, 7)  # type: ignore[arg-type]  # what a careless caller does
    with pytest.raises(UsageError, match="queries is one string"):
        retriever.search_many(gallery, "red")
    with pytest.raises(UsageError, match="batch_size must be at least 1"):
        retriever.index(photos, tmp_path / "other", batch_size=0)


def test_a_query_of_ten_thousand_words_is_cut_with_a_warning(
    retriever: Retriever, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gallery = retriever.index(photos, tmp_path / "gallery")
    hits = retriever.search(gallery, "red " * 10_000, k=1)
    assert names(hits) == ["red.png"]
    assert "1 of 1 queries fill the 10 word pieces that the model reads" in caplog.text


def test_unreadable_images_are_skipped_listed_and_logged(
    retriever: Retriever, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (photos / "sub" / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (photos / "dangling.png").symlink_to(photos / "nowhere.png")
    gallery = retriever.index(photos, tmp_path / "gallery")
    assert gallery.report is not None
    assert len(gallery) == gallery.report.added == 5
    skipped = {image.path: image.reason for image in gallery.report.skipped}
    assert skipped.keys() == {"sub/broken.jpg", "dangling.png"}
    assert skipped["dangling.png"] == "cannot be opened: No such file or directory"
    assert str(photos) not in skipped["sub/broken.jpg"]
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "skipped sub/broken.jpg" in warnings[1].getMessage()


def test_a_folder_without_a_readable_image_is_an_error_and_leaves_no_gallery(
    retriever: Retriever, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"holds no image; files that end in .*\.jpg"):
        retriever.index(tmp_path / "photos", tmp_path / "gallery")
    (tmp_path / "photos" / "bad.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"none of the 1 image files .* can be read; the first is bad.png"):
        retriever.index(tmp_path / "photos", tmp_path / "gallery")
    assert not (tmp_path / "gallery").exists()


def test_indexing_again_encodes_only_what_is_new_or_changed_and_drops_what_is_gone(
    retriever: Retriever, photos: Path, save_bands: Callable[..., None], tmp_path: Path
) -> None:
    retriever.index(photos, tmp_path / "gallery")
    save_bands(photos / "new.png", ["yellow"])
    save_bands(photos / "green.png", ["red", "green"])
    (photos / "blue.png").unlink()
    counted: list[tuple[int, int]] = []
    gallery = retriever.index(
        photos, tmp_path / "gallery", progress=lambda done, total: counted.append((done, total))
    )
    assert gallery.report is not None
    assert (gallery.report.added, gallery.report.unchanged, gallery.report.removed) == (2, 3, 1)
    assert counted == [(2, 2)]
    assert sorted(image.path for image in gallery.images) == [
        "green.png",
        "new.png",
        "red-top.png",
        "red.png",
        "sub/red-bottom.png",
    ]
    changed = next(hit for hit in retriever.search(gallery, "red", rerank=0) if hit.path.name == "green.png")
    assert changed.score == pytest.approx(0.5**0.5, abs=1e-5)
    again = retriever.index(photos, tmp_path / "gallery")
    assert again.report is not None
    assert (again.report.added, again.report.unchanged, again.report.removed) == (0, 5, 0)


def test_an_image_that_has_become_unreadable_leaves_the_gallery(
    retriever: Retriever, photos: Path, tmp_path: Path
) -> None:
    retriever.index(photos, tmp_path / "gallery")
    (photos / "red.png").write_bytes(b"overwritten")
    gallery = retriever.index(photos, tmp_path / "gallery")
    assert len(gallery) == 4
    assert gallery.report is not None
    assert gallery.report.removed == 1


def test_an_emptied_folder_does_not_empty_the_gallery(
    retriever: Retriever, photos: Path, tmp_path: Path
) -> None:
    retriever.index(photos, tmp_path / "gallery")
    photos.rename(tmp_path / "unmounted")
    photos.mkdir()
    with pytest.raises(DataError, match="holds no image"):
        retriever.index(photos, tmp_path / "gallery")
    assert len(Gallery.open(tmp_path / "gallery")) == 5


def test_an_interrupted_run_keeps_its_batches_and_the_next_one_goes_on(
    retriever: Retriever, photos: Path, tmp_path: Path
) -> None:
    def interrupt(done: int, total: int, /) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retriever.index(photos, tmp_path / "gallery", batch_size=1, progress=interrupt)
    gallery = retriever.index(photos, tmp_path / "gallery")
    assert gallery.report is not None
    assert (gallery.report.added, gallery.report.unchanged) == (3, 2)


KILLED = """
import os, sys
from cfack_runtime import indexing
from cfack_runtime.retriever import Retriever
indexing.SEGMENT_IMAGES = 2
def kill(done, total):
    if done == 5:
        os.kill(os.getpid(), 9)
Retriever.open(sys.argv[1], threads=1).index(sys.argv[2], sys.argv[3], batch_size=1, progress=kill)
"""


def test_a_killed_run_keeps_the_segments_it_committed(
    toy_bundle: Path, retriever: Retriever, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gallery"
    done = subprocess.run([sys.executable, "-c", KILLED, toy_bundle, photos, out], check=False)
    assert done.returncode == -9
    assert len(Gallery.open(out)) == 4
    leftovers = [folder for folder in (out / "segments").iterdir() if folder.name.startswith(".")]
    assert len(leftovers) == 1
    gallery = retriever.index(photos, out)
    assert gallery.report is not None
    assert (len(gallery), gallery.report.added, gallery.report.unchanged) == (5, 1, 4)
    assert not leftovers[0].exists()


def test_segments_are_committed_when_they_are_full(
    retriever: Retriever, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "SEGMENT_IMAGES", 2)
    gallery = retriever.index(photos, tmp_path / "gallery", batch_size=1)
    assert [len(segment) for segment in gallery.segments] == [2, 2, 1]
    assert names(retriever.search(gallery, "red", k=3)) == ["red.png", "red-bottom.png", "red-top.png"]


def test_a_slow_segment_is_committed_by_time(
    retriever: Retriever, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "SEGMENT_SECONDS", 0.0)
    gallery = retriever.index(photos, tmp_path / "gallery", batch_size=2)
    assert [len(segment) for segment in gallery.segments] == [2, 2, 1]


def test_a_gallery_of_another_model_is_refused_for_searching_and_for_adding(
    retriever: Retriever, photos: Path, tmp_path: Path, other_bundle: Path
) -> None:
    retriever.index(photos, tmp_path / "gallery")
    with Retriever.open(other_bundle, threads=1) as other:
        with pytest.raises(EmbeddingSpaceError, match=r"scores between them mean nothing.*cfack index"):
            other.search(Gallery.open(tmp_path / "gallery"), "red")
        with pytest.raises(EmbeddingSpaceError, match=r"toy\.cfack.*other\.cfack"):
            other.index(photos, tmp_path / "gallery")


def test_image_tokens_too_large_for_fp16_are_an_error_not_infinity(
    retriever: Retriever, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = retriever.image_encoder.encode

    def loud(pixels: np.ndarray, batch_size: int) -> object:
        encoded = encode(pixels, batch_size)
        return encoded._replace(tokens=encoded.tokens * np.float32(1e6))

    monkeypatch.setattr(retriever.image_encoder, "encode", loud)
    with pytest.raises(BackendError, match=r"tokens of blue\.png are too large for FP16"):
        retriever.index(photos, tmp_path / "gallery")


def test_a_closed_retriever_says_so(toy_bundle: Path, photos: Path, tmp_path: Path) -> None:
    with Retriever.open(toy_bundle, threads=1) as opened:
        gallery = opened.index(photos, tmp_path / "gallery")
    opened.close()  # a second time does no harm
    with pytest.raises(BackendError, match="was closed"):
        opened.search(gallery, "red")


def test_a_precision_that_failed_its_parity_gate_is_not_run(bundle_copy: Path) -> None:
    edit_manifest(bundle_copy, parity={"fp32": {"passed": False}})
    with pytest.raises(BundleError, match=r"precision fp32 did not give PyTorch's results"):
        Retriever.open(bundle_copy, precision="fp32")
    with pytest.raises(BundleError, match=r"of its precisions \(fp32\), none"):
        Retriever.open(bundle_copy)


def test_a_precision_that_is_not_there_is_named(toy_bundle: Path) -> None:
    with pytest.raises(BundleError, match="holds no precision 'fp16', only fp32"):
        Retriever.open(toy_bundle, precision="fp16")


def test_auto_takes_fp32_on_a_cpu(three_precisions: Path) -> None:
    with Retriever.open(three_precisions, threads=1) as opened:
        assert opened.precision == "fp32"
    edit_manifest(
        three_precisions,
        parity={"fp16": {"passed": True}, "fp32": {"passed": False}, "int8-cpu": {"passed": True}},
    )
    with Retriever.open(three_precisions, threads=1) as opened:
        assert opened.precision == "int8-cpu"


def test_only_the_graphs_that_will_run_are_hashed(three_precisions: Path) -> None:
    unused = three_precisions / "onnx" / "fp16" / "reranker.onnx"
    data = bytearray(unused.read_bytes())
    data[-1] ^= 1
    unused.write_bytes(data)
    with Retriever.open(three_precisions, precision="fp32", threads=1):
        pass
    with pytest.raises(BundleError, match=r"onnx/fp16/reranker\.onnx: SHA-256"):
        Retriever.open(three_precisions, precision="fp16")


def test_a_graph_that_is_not_what_the_manifest_says_is_refused(
    toy_graphs: Path, write_toy: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("image_encoder", "text_encoder", "reranker"):
        source = "text_encoder" if name == "image_encoder" else name
        (tmp_path / f"{name}.onnx").write_bytes((toy_graphs / f"{source}.onnx").read_bytes())
    bundle = write_toy(tmp_path / "swapped.cfack", graphs={"fp32": tmp_path})
    with pytest.raises(
        BundleError, match=r"image_encoder\.onnx: inputs: has \(input_ids int64.*pixels uint8"
    ):
        Retriever.open(bundle, threads=1)


ALONE = """
import json, sys
from cfack_runtime import Retriever
with Retriever.open(sys.argv[1], threads=1) as retriever:
    gallery = retriever.index(sys.argv[2], out=sys.argv[3])
    hits = retriever.search(gallery, "a person in a red coat", k=3)
print(json.dumps({"hits": [hit.path.name for hit in hits], "modules": sorted(sys.modules)}))
"""


def test_opening_indexing_and_searching_load_neither_torch_nor_onnx(
    toy_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    arguments = [sys.executable, "-c", ALONE, str(toy_bundle), str(photos), str(tmp_path / "gallery")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["hits"] == ["red.png", "red-bottom.png", "red-top.png"]
    assert not {name.split(".")[0] for name in result["modules"]} & HEAVY


def test_importing_the_package_or_its_errors_loads_no_numpy() -> None:
    code = "import sys, cfack_runtime, cfack_runtime.errors; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_package_gives_every_name_that_it_lists_and_no_other() -> None:
    for name in cfack_runtime.__all__:
        assert getattr(cfack_runtime, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        cfack_runtime.Nothing  # noqa: B018  # looking it up is the test
