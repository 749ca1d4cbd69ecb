"""Kinds of numbers, deleting, compacting, metadata, and readers that have the gallery open meanwhile."""

import threading
from pathlib import Path

import numpy as np
import pytest

from cfack_runtime import gallery_compact, gallery_snapshot
from cfack_runtime.errors import GalleryError, UsageError
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_check import check_gallery
from cfack_runtime.gallery_index import GalleryImage, Identity, TokenShape
from cfack_runtime.gallery_map import SMALLEST_MAP
from cfack_runtime.gallery_tokens import dequantize_tokens, quantize_tokens
from cfack_runtime.gallery_writer import GalleryWriter
from cfack_runtime.ranking import similarity, top_k

WIDTH, SHAPE = 8, TokenShape(3, 40)
IDENTITY = Identity("a" * 64, WIDTH, SHAPE, "/models/person.cfack", "/photos")


def numbers(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    embeddings = rng.standard_normal((count, WIDTH)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings, rng.standard_normal((count, SHAPE.count, SHAPE.width)).astype(np.float32)


def add(writer: GalleryWriter, first: int, count: int) -> None:
    images = [GalleryImage(f"{n:05d}.jpg", 1, 2, {"n": n}) for n in range(first, first + count)]
    writer.add(*numbers(count, first), images)
    writer.commit()


def make(out: Path, *counts: int, **kinds: str) -> Gallery:
    with GalleryWriter(out, IDENTITY, "fp32", **kinds) as writer:
        for first, count in zip(np.cumsum([0, *counts]).tolist(), counts, strict=False):
            add(writer, first, count)
    return Gallery.open(out)


def names(gallery: Gallery) -> list[str]:
    return [image.path for image in gallery.images]


def everything(gallery: Gallery) -> tuple[list[GalleryImage], bytes, bytes]:
    places = np.arange(len(gallery))
    embeddings = np.asarray(gallery.embeddings).tobytes()
    return list(gallery.images), embeddings, gallery.tokens(places).tobytes()


@pytest.mark.parametrize("embeddings", ["fp32", "fp16"])
@pytest.mark.parametrize("tokens", ["fp16", "int8"])
def test_every_kind_of_numbers_is_read_back_as_near_as_it_can_be(
    tmp_path: Path, embeddings: str, tokens: str
) -> None:
    gallery = make(tmp_path / "g", 5, embeddings=embeddings, tokens=tokens)
    wanted, wanted_tokens = numbers(5, 0)
    kept = np.asarray(gallery.embeddings)
    expected = wanted if embeddings == "fp32" else wanted.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(kept, expected)
    half, full = (gallery.tokens(np.array([4, 0, 4]), kind) for kind in (np.float16, np.float32))
    assert (half.dtype, full.dtype) == (np.float16, np.float32)
    if tokens == "fp16":
        np.testing.assert_array_equal(half, wanted_tokens[[4, 0, 4]].astype(np.float16))
    else:
        np.testing.assert_array_equal(full, dequantize_tokens(*quantize_tokens(wanted_tokens[[4, 0, 4]])))
        np.testing.assert_array_equal(half, full.astype(np.float16))
    segment = gallery.index.segments[0]
    files = {entry.path: entry.size for entry in segment.files}
    files.pop("images.jsonl")
    assert files == {
        ("embeddings.f32" if embeddings == "fp32" else "embeddings.f16"): 5
        * WIDTH
        * (4 if embeddings == "fp32" else 2),
        **({"tokens.f16": 5 * 120 * 2} if tokens == "fp16" else {"tokens.i8": 5 * 120, "tokens.scale": 60}),
    }
    assert check_gallery(tmp_path / "g").faults == ()


def test_tokens_in_8_bits_are_whole_multiples_of_the_largest_over_127() -> None:
    tokens = np.array([[[12.7, -6.35, 0.05, 0.15, -12.7]], [[0, 0, 0, 0, 0]]], np.float32)
    whole, scales = quantize_tokens(tokens)
    np.testing.assert_allclose(scales, [[0.1], [0]], rtol=1e-6)
    # 63.5 and 0.5 are halves: to the even neighbour, as far as float32 knows them.
    assert whole[0, 0].tolist()[0] == 127
    assert whole[0, 0].tolist()[-1] == -127
    assert whole[1].tolist() == [[0, 0, 0, 0, 0]]
    exact = np.array([[127, 0.5, 1.5, 2.5, -0.5, -1.5]], np.float32)
    assert quantize_tokens(exact)[0].tolist() == [[127, 0, 2, 2, 0, -2]]
    rng = np.random.default_rng(0).standard_normal((50, 4, 64)).astype(np.float32)
    error = np.abs(dequantize_tokens(*quantize_tokens(rng)) - rng)
    assert (error <= quantize_tokens(rng)[1][..., None] * 0.5001).all()
    assert quantize_tokens(np.full((1, 3), 1e-45, np.float32))[0].max() <= 127
    with pytest.raises(UsageError, match="not finite"):
        quantize_tokens(np.array([[np.nan]], np.float32))


def test_the_kind_of_a_gallery_is_kept_unless_another_is_asked_for(tmp_path: Path) -> None:
    make(tmp_path / "g", 2, embeddings="fp16", tokens="int8")
    with GalleryWriter(tmp_path / "g", IDENTITY, "fp32") as writer:
        add(writer, 10, 1)
    layouts = {segment.layout for segment in Gallery.open(tmp_path / "g").index.segments}
    assert [(layout.embeddings, layout.tokens) for layout in layouts] == [("fp16", "int8")]
    with pytest.raises(GalleryError, match="keeps embeddings in fp16, not in fp32; ask for the same again"):
        GalleryWriter(tmp_path / "g", IDENTITY, "fp32", embeddings="fp32")
    with pytest.raises(UsageError, match="tokens 'int4': a gallery keeps fp16 or int8"):
        GalleryWriter(tmp_path / "other", IDENTITY, "fp32", tokens="int4")
    assert not (tmp_path / "other").exists()


def test_large_files_are_mapped_and_need_no_descriptor(tmp_path: Path) -> None:
    count = SMALLEST_MAP // (WIDTH * 4) + 1
    listed = Path("/proc/self/fd")
    descriptors = sum(1 for _ in listed.iterdir()) if listed.is_dir() else None
    gallery = make(tmp_path / "g", count, 3)
    assert gallery.segments[0].numbers["embeddings.f32"].nbytes > SMALLEST_MAP
    for tokens in (gallery.tokens(np.array([0, count + 2, 7])), gallery.tokens(np.array([0, count + 2, 7]))):
        expected = np.stack([numbers(count, 0)[1][0], numbers(3, count)[1][2], numbers(count, 0)[1][7]])
        np.testing.assert_array_equal(tokens, expected.astype(np.float16))
    if descriptors is not None:
        assert sum(1 for _ in listed.iterdir()) == descriptors


def test_compacting_keeps_order_and_content_and_gives_bytes_back(tmp_path: Path) -> None:
    make(tmp_path / "g", 3, 4, 2)
    with GalleryWriter.reopen(tmp_path / "g") as writer:
        writer.remove(["00001.jpg", "00007.jpg"])
        before = Gallery.open(tmp_path / "g")
        report = writer.compact()
        # and the writer knows where everything is now
        writer.remove(["00008.jpg"])
    assert (report.segments_before, report.segments_after, report.removed) == (3, 1, 2)
    assert report.bytes_after < report.bytes_before
    after = Gallery.open(tmp_path / "g")
    assert names(after) == names(before)[:-1]
    assert after.index.segments[0].removed == (6,)
    with GalleryWriter.reopen(tmp_path / "g") as writer:
        again = writer.compact()
        assert again.removed == 1
        assert writer.compact().bytes_before == again.bytes_after
    kept = Gallery.open(tmp_path / "g")
    assert everything(kept)[0] == everything(before)[0][:-1]
    assert everything(kept)[2] == everything(before)[2][: -120 * 2]
    assert len(list((tmp_path / "g" / "segments").iterdir())) == 1


def test_large_segments_without_removed_rows_are_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_compact, "SEGMENT_IMAGES", 10)
    first = make(tmp_path / "g", 6, 2, 2, 3, 3, 3, 9).index.segments
    with GalleryWriter.reopen(tmp_path / "g") as writer:
        writer.compact()
    segments = Gallery.open(tmp_path / "g").index.segments
    assert [segment.images for segment in segments] == [6, 10, 3, 9]
    assert segments[0] == first[0]
    assert segments[3] == first[6]
    with GalleryWriter.reopen(tmp_path / "g") as writer:
        writer.remove([f"{n:05d}.jpg" for n in range(6)])
        writer.compact()
    assert [segment.images for segment in Gallery.open(tmp_path / "g").index.segments] == [10, 3, 9]


def test_segments_of_other_precisions_or_kinds_are_not_merged(tmp_path: Path) -> None:
    make(tmp_path / "g", 2, 2)
    with GalleryWriter(tmp_path / "g", IDENTITY, "int8-cpu") as writer:
        add(writer, 10, 2)
        writer.compact()
    precisions = [segment.precision for segment in Gallery.open(tmp_path / "g").index.segments]
    assert precisions == ["fp32", "int8-cpu"]


def test_damage_is_not_copied_under_a_new_hash(tmp_path: Path) -> None:
    gallery = make(tmp_path / "g", 3, 4)
    path = tmp_path / "g" / "segments" / gallery.index.segments[1].name / "tokens.f16"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    with GalleryWriter.reopen(tmp_path / "g") as writer, pytest.raises(GalleryError, match="was damaged"):
        writer.compact()
    assert len(Gallery.open(tmp_path / "g").index.segments) == 2
    faults = check_gallery(tmp_path / "g").faults
    assert len(faults) == 1
    assert f"{path}: its SHA-256 is not the one" in faults[0]


def test_an_old_snapshot_goes_on_after_its_files_are_deleted(tmp_path: Path) -> None:
    big = SMALLEST_MAP // (WIDTH * 4) + 1
    old = make(tmp_path / "g", big, 4)
    before = everything(old)
    with GalleryWriter.reopen(tmp_path / "g") as writer:
        writer.remove(["00000.jpg"])
        add(writer, 90_000, 2)
        writer.compact()
    assert everything(old) == before
    new = old.refresh()
    assert len(new) == len(old) + 1
    assert new.refresh() is new


def test_refresh_opens_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = make(tmp_path / "g", 3, 4)
    with GalleryWriter.reopen(tmp_path / "g") as writer:
        writer.remove(["00001.jpg"])
        add(writer, 100, 2)
    opened = []
    genuine = gallery_snapshot.open_segment

    def spy(*arguments: object, **options: object) -> object:
        opened.append(arguments)
        return genuine(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(gallery_snapshot, "open_segment", spy)
    new = old.refresh()
    assert len(opened) == 1
    assert names(new) == [name for name in names(old) if name != "00001.jpg"] + ["00100.jpg", "00101.jpg"]
    assert names(old)[1] == "00001.jpg"


def test_a_reader_that_opens_while_segments_are_merged_away_reads_the_list_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(make(tmp_path / "g", 3, 4))
    genuine = gallery_snapshot.read_index

    def slow(path: Path) -> object:
        index = genuine(path)
        monkeypatch.setattr(gallery_snapshot, "read_index", genuine)
        with GalleryWriter.reopen(path) as writer:
            writer.compact()
        return index

    monkeypatch.setattr(gallery_snapshot, "read_index", slow)
    gallery = Gallery.open(tmp_path / "g")
    assert names(gallery) == before
    assert len(gallery.segments) == 1


def test_metadata_change_without_encoding(tmp_path: Path) -> None:
    before = make(tmp_path / "g", 3, 4)
    with GalleryWriter.reopen(tmp_path / "g") as writer:
        told = {"00001.jpg": {"camera": "east"}, "00005.jpg": {"n": 5}, "nowhere": {"a": 1}}
        assert writer.set_metadata(told) == 1  # the second has just that already
        assert writer.images["00001.jpg"].metadata == {"camera": "east"}
        with pytest.raises(UsageError, match=r"00002.jpg: the metadata field 'path' is refused"):
            writer.set_metadata({"00002.jpg": {"path": "x"}})
        with pytest.raises(UsageError, match="n is nan; metadata are finite numbers"):
            writer.set_metadata({"00002.jpg": {"n": float("nan")}})
        with pytest.raises(UsageError, match="n is a list"):
            writer.set_metadata({"00002.jpg": {"n": [1]}})  # type: ignore[dict-item]
        writer.remove(["00002.jpg"])
    gallery = Gallery.open(tmp_path / "g")
    assert names(gallery) == ["00000.jpg", *(f"0000{n}.jpg" for n in (3, 4, 5, 6)), "00001.jpg"]
    np.testing.assert_array_equal(gallery.tokens(np.array([5])), before.tokens(np.array([1])))
    found = gallery.select({"camera": "east"})
    assert found is not None
    assert found.tolist() == [5]
    assert gallery.fields() == {"camera": 1, "n": 5}


def test_embeddings_are_hashed_up_to_a_size_and_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = make(tmp_path / "g", 3)
    path = tmp_path / "g" / "segments" / gallery.index.segments[0].name / "embeddings.f32"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    with pytest.raises(GalleryError, match="its SHA-256"):
        Gallery.open(tmp_path / "g")
    monkeypatch.setattr(gallery_snapshot, "HASHED_AT_OPENING", 10)
    assert len(Gallery.open(tmp_path / "g")) == 3
    with pytest.raises(GalleryError, match="its SHA-256"):
        Gallery.open(tmp_path / "g", hash_embeddings=True)


def test_search_among_segments_removed_rows_and_filters_is_exact(tmp_path: Path) -> None:
    make(tmp_path / "g", 50, 7, 90)
    with GalleryWriter.reopen(tmp_path / "g") as writer:
        writer.remove([f"{n:05d}.jpg" for n in (0, 3, 4, 52, *range(60, 130))])
    gallery = Gallery.open(tmp_path / "g")
    queries = numbers(5, 999)[0]
    scores = similarity(queries, np.asarray(gallery.embeddings))
    expected = np.argsort(-scores, axis=1, kind="stable")
    np.testing.assert_array_equal(top_k(queries, gallery.embeddings, 12).indices, expected[:, :12])
    rows = gallery.select("n<40 or n in (140, 141)")
    assert rows is not None
    for query in range(5):
        wanted = [place for place in expected[query] if place in set(rows.tolist())][:12]
        assert top_k(queries, gallery.embeddings, 12, rows=rows).indices[query].tolist() == wanted


def test_threads_may_share_a_gallery(tmp_path: Path) -> None:
    gallery = make(tmp_path / "g", SMALLEST_MAP // 32 + 1)
    expected = gallery.tokens(np.arange(500))
    wrong: list[int] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(30):
            places = rng.integers(0, 500, 40)
            if not np.array_equal(gallery.tokens(places), expected[places]):
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_reopening_what_is_no_gallery_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no such folder"):
        GalleryWriter.reopen(tmp_path / "nowhere")
    with pytest.raises(GalleryError, match="no such folder"):
        check_gallery(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
