"""Galleries on disk: adding, replacing, removing, crashing, and refusing damaged ones."""

import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfack_runtime.errors import EmbeddingSpaceError, GalleryError, UsageError
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_check import check_gallery
from cfack_runtime.gallery_index import GalleryImage, Identity, TokenShape
from cfack_runtime.gallery_writer import GalleryWriter
from cfack_runtime.manifest import Scalar

Batch = tuple[np.ndarray, np.ndarray, list[GalleryImage]]


def identity(**changes: Any) -> Identity:
    known: dict[str, Any] = {
        "embedding_space": "a" * 64,
        "embed_dim": 2,
        "image_tokens": TokenShape(3, 4),
        "bundle": "/models/person.cfack",
        "root": "/photos",
    }
    return Identity(**{**known, **changes})


def batch(*paths: str) -> Batch:
    """Images whose embedding and tokens are told by the number that their name ends in."""
    numbers = np.array([int(path[-1]) for path in paths])
    tokens = np.broadcast_to(numbers[:, None, None], (len(paths), 3, 4)).astype(np.float16)
    embeddings = np.stack([numbers, -numbers], axis=1).astype(np.float32)
    return embeddings, tokens, [GalleryImage(path, 10, 20, {}) for path in paths]


def write(out: Path, *batches: Batch) -> Gallery:
    """One segment per batch."""
    with GalleryWriter(out, identity(), "fp32") as writer:
        for one in batches:
            writer.add(*one)
            writer.commit()
    return Gallery.open(out)


def segment_file(gallery: Gallery, name: str, number: int = 0) -> Path:
    return gallery.path / "segments" / gallery.index.segments[number].name / name


def edit_index(gallery: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = gallery / "gallery.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_what_was_added_is_read_back_in_its_order(tmp_path: Path) -> None:
    gallery = write(tmp_path / "g", batch("a1", "b/c2"), batch("d3"))
    assert [image.path for image in gallery.images] == ["a1", "b/c2", "d3"]
    assert (len(gallery), gallery.has_tokens, gallery.root) == (3, True, Path("/photos"))
    assert gallery.image_path(1) == Path("/photos/b/c2")
    np.testing.assert_array_equal(gallery.embeddings, [[1, -1], [2, -2], [3, -3]])
    tokens = gallery.tokens(np.array([2, 0, 1, 2]))
    assert tokens.dtype == np.float16
    assert tokens.shape == (4, 3, 4)
    np.testing.assert_array_equal(tokens[:, 0, 0], [3, 1, 2, 3])


def test_metadata_comes_back_as_it_was_given(tmp_path: Path) -> None:
    embeddings, tokens, _ = batch("a1")
    metadata: dict[str, Scalar] = {"camera": "east", "frame": 12, "night": False, "seconds": 1.5}
    with GalleryWriter(tmp_path / "g", identity(), "fp32") as writer:
        writer.add(embeddings, tokens, [GalleryImage('a "1"\n', 10, 20, metadata)])
    image = Gallery.open(tmp_path / "g").images[0]
    assert (image.path, image.metadata) == ('a "1"\n', metadata)


def test_the_files_are_plain_little_endian_rows(tmp_path: Path) -> None:
    # What docs/gallery.md promises to readers in other languages.
    gallery = write(tmp_path / "g", batch("a1", "b2"))
    assert np.fromfile(segment_file(gallery, "embeddings.f32"), "<f4").tolist() == [1, -1, 2, -2]
    assert np.fromfile(segment_file(gallery, "tokens.f16"), "<f2").tolist() == [1] * 12 + [2] * 12
    lines = segment_file(gallery, "images.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"path": "a1", "size": 10, "mtime_ns": 20, "metadata": {}},
        {"path": "b2", "size": 10, "mtime_ns": 20, "metadata": {}},
    ]


def test_an_image_of_the_same_path_replaces_the_old_one(tmp_path: Path) -> None:
    write(tmp_path / "g", batch("a1", "b2", "c3"))
    embeddings, tokens, _ = batch("x9")
    with GalleryWriter(tmp_path / "g", identity(), "fp32") as writer:
        assert sorted(writer.images) == ["a1", "b2", "c3"]
        writer.add(embeddings, tokens, [GalleryImage("b2", 11, 21, {})])
    gallery = Gallery.open(tmp_path / "g")
    assert [image.path for image in gallery.images] == ["a1", "c3", "b2"]
    np.testing.assert_array_equal(np.asarray(gallery.embeddings)[:, 0], [1, 3, 9])
    np.testing.assert_array_equal(gallery.tokens(np.array([0, 1, 2]))[:, 2, 3], [1, 3, 9])
    assert gallery.index.segments[0].removed == (1,)


def test_removed_images_are_gone_and_their_neighbours_stay(tmp_path: Path) -> None:
    write(tmp_path / "g", batch("a1", "b2"), batch("c3", "d4"))
    with GalleryWriter(tmp_path / "g", identity(), "fp32") as writer:
        writer.remove(["a1", "d4", "never there"])
        assert sorted(writer.images) == ["b2", "c3"]
    gallery = Gallery.open(tmp_path / "g")
    assert [image.path for image in gallery.images] == ["b2", "c3"]
    np.testing.assert_array_equal(gallery.tokens(np.array([1, 0]))[:, 0, 0], [3, 2])


def test_a_reader_sees_what_the_gallery_held_when_it_opened_it(tmp_path: Path) -> None:
    before = write(tmp_path / "g", batch("a1"))
    with GalleryWriter(tmp_path / "g", identity(), "fp32") as writer:
        writer.add(*batch("b2"))
        assert len(Gallery.open(tmp_path / "g")) == 1  # not committed yet
        writer.commit()
        assert len(Gallery.open(tmp_path / "g")) == 2
    assert len(before) == 1
    np.testing.assert_array_equal(before.tokens(np.array([0]))[0, 0], [1, 1, 1, 1])


def test_an_error_in_the_block_still_commits_what_was_added(tmp_path: Path) -> None:
    def stumble() -> None:
        with GalleryWriter(tmp_path / "g", identity(), "fp32") as writer:
            writer.add(*batch("a1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stumble()
    assert len(Gallery.open(tmp_path / "g")) == 1


def test_a_writer_that_adds_nothing_leaves_nothing(tmp_path: Path) -> None:
    with GalleryWriter(tmp_path / "g", identity(), "fp32"):
        pass
    assert not (tmp_path / "g").exists()


def test_only_one_process_writes_at_a_time(tmp_path: Path) -> None:
    with GalleryWriter(tmp_path / "g", identity(), "fp32") as writer:
        writer.add(*batch("a1"))
        with pytest.raises(GalleryError, match="another process is writing to it"):
            GalleryWriter(tmp_path / "g", identity(), "fp32")
    with GalleryWriter(tmp_path / "g", identity(), "fp32") as writer:
        assert list(writer.images) == ["a1"]


def test_a_full_disk_loses_nothing_that_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write(tmp_path / "g", batch("a1", "b2"))
    with monkeypatch.context() as patch:
        patch.setattr("cfack_runtime.gallery_store.atomic_write", full)
        with (
            pytest.raises(
                GalleryError, match=r"No space left on device. The 2 images committed before are safe"
            ),
            GalleryWriter(tmp_path / "g", identity(), "fp32") as writer,
        ):
            writer.add(*batch("c3"))
    assert len(write(tmp_path / "g", batch("c3"))) == 3


def test_ctrl_c_in_the_middle_of_a_batch_leaves_no_torn_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    write(tmp_path / "g", batch("a1"))
    with monkeypatch.context() as patch:
        patch.setattr("cfack_runtime.gallery_writer.image_line", interrupted)
        with (
            pytest.raises(KeyboardInterrupt),
            GalleryWriter(tmp_path / "g", identity(), "fp32") as writer,
        ):
            writer.add(*batch("b2"))
    assert len(Gallery.open(tmp_path / "g")) == 1


def test_batches_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    embeddings, tokens, images = batch("a1", "b2")
    with GalleryWriter(tmp_path / "g", identity(), "fp32") as writer:
        with pytest.raises(UsageError, match=r"embeddings are \(1, 2\), expected \(2, 2\)"):
            writer.add(embeddings[:1], tokens, images)
        with pytest.raises(UsageError, match=r"tokens are None, expected \(2, 3, 4\)"):
            writer.add(embeddings, None, images)
        with pytest.raises(UsageError, match="not finite"):
            writer.add(embeddings * np.float32("nan"), tokens, images)
        with pytest.raises(UsageError, match=r"'\.\./a1' is added twice, or is no relative path"):
            writer.add(embeddings[:1], tokens[:1], [GalleryImage("../a1", 1, 1, {})])
        writer.add(embeddings, tokens, images)
        with pytest.raises(UsageError, match="'b2' is added twice"):
            writer.add(*batch("b2"))


def test_images_of_another_model_folder_or_kind_do_not_join(tmp_path: Path) -> None:
    write(tmp_path / "g", batch("a1"))
    with pytest.raises(EmbeddingSpaceError, match=r"embedding space aaaaaaaaaaaa.*has embedding space bbbb"):
        GalleryWriter(tmp_path / "g", identity(embedding_space="b" * 64), "fp32")
    with pytest.raises(GalleryError, match="holds the images of /photos, not of /other"):
        GalleryWriter(tmp_path / "g", identity(root="/other"), "fp32")
    with pytest.raises(GalleryError, match="was made with image tokens"):
        GalleryWriter(tmp_path / "g", identity(image_tokens=None), "fp32")
    # A refused writer does not keep the gallery locked.
    assert len(write(tmp_path / "g", batch("b2"))) == 2


def test_a_bundle_that_has_moved_is_remembered_at_its_new_place(tmp_path: Path) -> None:
    write(tmp_path / "g", batch("a1"))
    with GalleryWriter(tmp_path / "g", identity(bundle="/moved/person.cfack"), "fp32") as writer:
        writer.add(*batch("b2"))
    assert Gallery.open(tmp_path / "g").identity.bundle == "/moved/person.cfack"


def test_a_folder_that_holds_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.pdf").write_bytes(b"precious")
    with pytest.raises(GalleryError, match=r"is no gallery and not empty \(it holds 'thesis.pdf'\)"):
        GalleryWriter(tmp_path, identity(), "fp32")
    with pytest.raises(GalleryError, match="is a file"):
        GalleryWriter(tmp_path / "thesis.pdf", identity(), "fp32")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.pdf"]


def test_a_gallery_without_tokens_has_no_token_file(tmp_path: Path) -> None:
    embeddings, _, images = batch("a1")
    with GalleryWriter(tmp_path / "g", identity(image_tokens=None), "fp32") as writer:
        writer.add(embeddings, None, images)
    gallery = Gallery.open(tmp_path / "g")
    assert not gallery.has_tokens
    assert not segment_file(gallery, "tokens.f16").exists()
    with pytest.raises(GalleryError, match="holds no image tokens"):
        gallery.tokens(np.array([0]))


@pytest.mark.parametrize("places", [[-1], [2], [0, 5]])
def test_tokens_of_images_that_are_not_there_are_refused(tmp_path: Path, places: list[int]) -> None:
    gallery = write(tmp_path / "g", batch("a1", "b2"))
    with pytest.raises(UsageError, match="in a gallery of 2"):
        gallery.tokens(np.array(places))


@pytest.mark.parametrize("name", ["embeddings.f32", "tokens.f16", "images.jsonl"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    gallery = write(tmp_path / "g", batch("a1"), batch("b2"))
    path = segment_file(gallery, name, 1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(GalleryError, match=rf"{path}: \d+ bytes, but gallery.json says \d+"):
        Gallery.open(tmp_path / "g")
    with pytest.raises(GalleryError, match="truncated"):  # and nothing is added to a damaged gallery
        GalleryWriter(tmp_path / "g", identity(), "fp32")


@pytest.mark.parametrize("name", ["embeddings.f32", "images.jsonl"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    gallery = write(tmp_path / "g", batch("a1"))
    path = segment_file(gallery, name)
    data = bytearray(path.read_bytes())
    data[2] ^= 1
    path.write_bytes(data)
    with pytest.raises(GalleryError, match=f"{path}: its SHA-256 is not the one in gallery.json"):
        Gallery.open(tmp_path / "g")


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    gallery = write(tmp_path / "g", batch("a1"))
    shutil.rmtree(segment_file(gallery, "."))
    with pytest.raises(GalleryError, match=r"segments/000001-.*: no such file"):
        Gallery.open(tmp_path / "g")


def test_a_segment_that_leads_out_of_the_gallery_is_refused(tmp_path: Path) -> None:
    gallery = write(tmp_path / "g", batch("a1"))
    folder = segment_file(gallery, ".").resolve()
    shutil.move(folder, tmp_path / "outside")
    folder.symlink_to(tmp_path / "outside")
    with pytest.raises(GalleryError, match="a symbolic link leads out of"):
        Gallery.open(tmp_path / "g")


def test_what_is_no_gallery_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no such folder; `cfack index` makes a gallery"):
        Gallery.open(tmp_path / "nowhere")
    with pytest.raises(GalleryError, match=r"gallery\.json: no such file"):
        Gallery.open(tmp_path)


def segment(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["segments"][0].update({key: value})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.update(format="zip"), "format is 'zip', expected 'cfack-gallery'"),
        (lambda c: c.update(format_version=2), "format version 2, but this is a reader of version 1"),
        (lambda c: c.update(embed_dim=3), "embeddings.f32 must have 12 bytes for 1 images"),
        (lambda c: c.update(image_tokens=None), "expected images.jsonl, embeddings.f32 or embeddings.f16"),
        (lambda c: c["segments"].append(c["segments"][0]), "a segment is listed twice"),
        (segment("name", "../../etc"), "name is '../../etc', which is no valid name"),
        (segment("images", 2), "embeddings.f32 must have 16 bytes for 2 images"),
        (segment("images", 10**30), "a number of 31 digits"),
        (segment("removed", [1]), "removed must be ascending rows below 1"),
        (segment("removed", [0, 0]), "removed must be ascending"),
        (segment("removed", [True]), "removed must be ascending"),
        (segment("files", []), "files are []"),
    ],
)
def test_an_index_that_is_wrong_is_refused_by_the_name_of_the_fault(
    tmp_path: Path, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    write(tmp_path / "g", batch("a1"))
    edit_index(tmp_path / "g", edit)
    with pytest.raises(GalleryError) as caught:
        Gallery.open(tmp_path / "g")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"path": "../../etc/passwd", "size": 1, "mtime_ns": 1, "metadata": {}}', "no relative path"),
        ('{"path": "/etc/passwd", "size": 1, "mtime_ns": 1, "metadata": {}}', "no relative path"),
        (r'{"path": "\ud800", "size": 1, "mtime_ns": 1, "metadata": {}}', "no relative path"),
        ('{"path": "a", "path": "b", "size": 1, "mtime_ns": 1, "metadata": {}}', "'path' occurs twice"),
        ('{"path": "a", "size": -1, "mtime_ns": 1, "metadata": {}}', "size is -1"),
        ('{"path": "a", "size": 1, "mtime_ns": 1, "metadata": {"b": [1]}}', "b is no number"),
        ('{"path": "a"}', "size is missing"),
        ("", "not valid JSON"),
    ],
)
def test_a_malformed_image_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    gallery = write(tmp_path / "g", batch("a1"))
    data = (line + "\n").encode()
    path = segment_file(gallery, "images.jsonl")
    path.write_bytes(data)
    replace_entry(tmp_path / "g", "images.jsonl", data)
    opened = Gallery.open(tmp_path / "g")
    with pytest.raises(GalleryError) as caught:
        opened.images[0]
    if "no number" not in message:  # and no writer takes it for an image; it leaves metadata alone
        with pytest.raises(GalleryError, match="line 1"):
            GalleryWriter(tmp_path / "g", identity(), "fp32")
    assert str(caught.value).startswith(f"{path}, line 1")
    assert message in str(caught.value)


def test_an_image_list_of_another_length_is_refused(tmp_path: Path) -> None:
    gallery = write(tmp_path / "g", batch("a1"))
    path = segment_file(gallery, "images.jsonl")
    data = path.read_bytes() + path.read_bytes().replace(b"a1", b"b2")
    path.write_bytes(data)
    replace_entry(tmp_path / "g", "images.jsonl", data)
    with pytest.raises(GalleryError, match=r"lists 2 images, gallery\.json says 1"):
        Gallery.open(tmp_path / "g")


def test_embeddings_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    gallery = write(tmp_path / "g", batch("a1"))
    data = np.array([np.inf, 0], "<f4").tobytes()
    segment_file(gallery, "embeddings.f32").write_bytes(data)
    replace_entry(tmp_path / "g", "embeddings.f32", data)
    with pytest.raises(GalleryError, match=r"embeddings\.f32: holds numbers that are not finite"):
        Gallery.open(tmp_path / "g")


def replace_entry(gallery: Path, name: str, data: bytes) -> None:
    """Give a file of the first segment the hash and size that it now has."""

    def edit(content: dict[str, Any]) -> None:
        for entry in content["segments"][0]["files"]:
            if entry["path"] == name:
                entry.update(sha256=hashlib.sha256(data).hexdigest(), size=len(data))

    edit_index(gallery, edit)


def test_a_path_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    gallery = write(tmp_path / "g", batch("a1"), batch("b2"))
    edit_index(
        gallery.path,
        lambda content: content["segments"].append({**content["segments"][0], "name": "000003-00000000"}),
    )
    first = segment_file(gallery, ".").resolve()
    shutil.copytree(first, first.with_name("000003-00000000"))
    with pytest.raises(GalleryError, match="lists 'a1' twice"):
        GalleryWriter(gallery.path, identity(), "fp32")
    faults = check_gallery(gallery.path).faults
    assert any("lists 'a1', which the gallery has already" in fault for fault in faults)
