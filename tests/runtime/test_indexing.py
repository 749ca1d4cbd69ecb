"""From a folder to a gallery: the pipeline, metadata, and everything a folder may hold."""

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cfack_runtime import indexing_pipeline
from cfack_runtime.errors import DataError, GalleryError, ImageError, UsageError
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_append import GalleryAppender
from cfack_runtime.gallery_index import GalleryImage
from cfack_runtime.gallery_metadata_file import read_metadata_file
from cfack_runtime.images import decode_image
from cfack_runtime.indexing import index_images
from cfack_runtime.indexing_pipeline import decode_ahead
from cfack_runtime.retriever import Retriever


@pytest.fixture(scope="module")
def retriever(toy_bundle: Path) -> Iterator[Retriever]:
    with Retriever.open(toy_bundle, threads=1) as opened:
        yield opened


def index(retriever: Retriever, folder: Path, out: Path, **options: Any) -> Gallery:
    encoder = retriever.image_encoder
    return index_images(folder, out, retriever.bundle, encoder, retriever.precision, **options)


def skipped(gallery: Gallery) -> dict[str, str]:
    assert gallery.report is not None
    return {image.path: image.reason for image in gallery.report.skipped}


def paths(gallery: Gallery) -> list[str]:
    return sorted(image.path for image in gallery.images)


def test_batches_come_in_order_however_long_a_file_takes(
    retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    geometry = retriever.bundle.manifest.geometry
    ahead: list[int] = []
    taken = 0

    def load(path: Path, height: int, width: int) -> np.ndarray:
        number = int(path.name)
        ahead.append(number - taken)
        time.sleep(0.01 if number % 3 else 0.03)
        if number == 5:
            raise ImageError("no picture")
        return np.full((height, width, 3), number, np.uint8)

    monkeypatch.setattr(indexing_pipeline, "load_image", load)
    images = [GalleryImage(str(number), 1, 1, {}) for number in range(40)]
    got: list[object] = []
    for batch in decode_ahead(Path("/x"), images, geometry, 4, 3):
        taken += len(batch)
        time.sleep(0.02)  # the encoder
        got += [
            int(pixels[0, 0, 0]) if isinstance(pixels, np.ndarray) else str(pixels) for _, pixels in batch
        ]
    assert got == [*range(5), "no picture", *range(6, 40)]
    assert max(ahead) <= 2 * 4 + 3 + 4  # no more than the window is decoded before its turn


def test_a_consumer_that_stops_leaves_no_thread(retriever: Retriever, photos: Path) -> None:
    images = [GalleryImage("red.png", 1, 1, {})] * 100
    batches = decode_ahead(photos, images, retriever.bundle.manifest.geometry, 2, 2)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [one for one in threading.enumerate() if one.name.startswith("cfack-decode")]
    for batch_size, decoders in ((0, 1), (1, 0)):
        with pytest.raises(UsageError, match="must be at least 1, got 0"):
            next(decode_ahead(photos, images, retriever.bundle.manifest.geometry, batch_size, decoders))


def test_every_kind_of_picture_is_indexed_and_every_bad_file_listed(
    retriever: Retriever, photos: Path, tmp_path: Path
) -> None:
    rgb = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8))
    rgb.convert("CMYK").save(photos / "cmyk.jpg")
    rgb.convert("P").save(photos / "palette.png")
    rgb.convert("RGBA").save(photos / "alpha.png")
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(photos / "deep.png")
    rgb.save(photos / "moving.webp", save_all=True, append_images=[rgb.rotate(90)])
    rgb.save(photos / "moving.gif", save_all=True, append_images=[rgb.rotate(90)])
    (photos / "gif-in-disguise.png").write_bytes((photos / "moving.gif").read_bytes())
    stream = io.BytesIO()
    rgb.save(stream, "JPEG", quality=95)
    (photos / "truncated.jpg").write_bytes(stream.getvalue()[:-200])
    (photos / os.fsdecode(b"caf\xe9.png")).write_bytes((photos / "red.png").read_bytes())
    bomb = Image.new("1", (30_000, 30_000))
    bomb.save(photos / "bomb.png")
    gallery = index(retriever, photos, tmp_path / "g")
    assert {"cmyk.jpg", "palette.png", "alpha.png", "deep.png", "moving.webp"} < set(paths(gallery))
    reasons = skipped(gallery)
    assert reasons.keys() == {
        "truncated.jpg",
        "bomb.png",
        "gif-in-disguise.png",
        os.fsdecode(b"caf\xe9.png"),
    }
    assert "the file is damaged" in reasons["truncated.jpg"]
    assert "At most 89478485 pixels and 65535 a side are read; make it smaller first" in reasons["bomb.png"]
    assert "not a JPEG, PNG, BMP or WebP image" in reasons["gif-in-disguise.png"]
    assert "not valid UTF-8; rename it" in reasons[os.fsdecode(b"caf\xe9.png")]


def test_a_file_that_vanishes_between_listing_and_reading_is_listed(
    retriever: Retriever, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(retriever, photos, tmp_path / "g")
    (photos / "red.png").touch()
    genuine = indexing_pipeline.load_image

    def vanish(path: Path, height: int, width: int) -> np.ndarray:
        path.unlink()
        return genuine(path, height, width)

    monkeypatch.setattr(indexing_pipeline, "load_image", vanish)
    gallery = index(retriever, photos, tmp_path / "g")
    assert skipped(gallery) == {"red.png": "no such file"}
    assert "red.png" not in paths(gallery)
    assert len(gallery) == 4


FORBIDDEN = """
import os, sys
from cfack_runtime.errors import ImageError
from cfack_runtime.images import decode_image
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    decode_image(sys.argv[1])
except ImageError as error:
    print(error)
"""


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    (tmp_path / "secret.png").chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run(
        [sys.executable, "-c", FORBIDDEN, tmp_path / "secret.png"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{tmp_path / 'secret.png'}: cannot be read: Permission denied"


def test_the_same_folder_under_another_name_is_the_same_folder(
    retriever: Retriever, photos: Path, tmp_path: Path
) -> None:
    index(retriever, photos, tmp_path / "g")
    (tmp_path / "link").symlink_to(photos)
    again = index(retriever, tmp_path / "link", tmp_path / "g")
    assert again.report is not None
    assert (again.report.added, again.report.unchanged, len(again)) == (0, 5, 5)
    with pytest.raises(GalleryError, match="holds the images of"):
        index(retriever, photos / "sub", tmp_path / "g")


def test_metadata_change_without_encoding_and_stay_when_a_file_changes(
    retriever: Retriever, photos: Path, tmp_path: Path, save_bands: Any
) -> None:
    told = {"red.png": {"camera": "east"}, "blue.png": {"camera": "west"}}
    index(retriever, photos, tmp_path / "g", metadata=told)
    save_bands(photos / "red.png", ["red", "green"])
    again = index(retriever, photos, tmp_path / "g", metadata={"blue.png": {"camera": "north"}})
    assert again.report is not None
    assert (again.report.added, again.report.unchanged) == (1, 4)
    known = {image.path: dict(image.metadata) for image in again.images if image.metadata}
    assert known == {"red.png": {"camera": "east"}, "blue.png": {"camera": "north"}}


def test_tokens_stay_as_the_gallery_has_them(retriever: Retriever, photos: Path, tmp_path: Path) -> None:
    for name, tokens in (("none", False), ("none", "none"), ("int8", "int8"), ("fp16", True)):
        out = tmp_path / f"{name}-{tokens}"
        index(retriever, photos, out, tokens=tokens, allow_unmeasured=True)
        (photos / "red.png").touch()
        layouts = {s.layout.tokens for s in index(retriever, photos, out).index.segments}
        assert layouts == {None if name == "none" else name}
    with pytest.raises(UsageError, match="tokens in INT8 are refused.*has not measured"):
        index(retriever, photos, tmp_path / "refused", tokens="int8")
    with pytest.raises(UsageError, match="tokens 'int4': a gallery keeps fp16, int8 or none"):
        index(retriever, photos, tmp_path / "refused", tokens="int4")


def test_int8_tokens_rank_the_toy_as_fp16_ones_do(retriever: Retriever, photos: Path, tmp_path: Path) -> None:
    gallery = index(retriever, photos, tmp_path / "g", tokens="int8", allow_unmeasured=True)
    hits = retriever.search(gallery, "red", k=3)
    assert [hit.path.name for hit in hits] == ["red.png", "red-bottom.png", "red-top.png"]


def test_frames_are_appended_as_they_come(retriever: Retriever, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "g"
    options: dict[str, Any] = {"batch_size": 2, "commit_images": 3}
    arguments = (out, retriever.bundle, retriever.image_encoder, retriever.precision)
    with GalleryAppender(*arguments, root="/cameras", **options) as frames:
        red = np.zeros((30, 20, 3), np.uint8)
        red[:, :, 0] = 255
        frames.add(red, "east/1.jpg", {"camera": "east"})
        frames.add(photos / "blue.png", "east/2.jpg", {"camera": "east"})
        assert not (out / "gallery.json").exists()
        frames.add(Image.fromarray(red), "west/1.jpg", {"camera": "west"})
        gallery = Gallery.open(out)
        assert len(gallery) == 3
        with pytest.raises(ImageError, match="not a JPEG"):
            frames.add(b"no picture", "west/2.jpg")
        with pytest.raises(UsageError, match="no relative path"):
            frames.add(red, "../west/2.jpg")
        with pytest.raises(UsageError, match=r"pixels are uint8 \(30, 20\)"):
            frames.add(red[:, :, 0], "west/2.jpg")
        frames.add(photos / "green.png", "west/2.jpg")
        frames.add(photos / "green.png", "east/1.jpg", {"camera": "east"})
        frames.flush()
        gallery = gallery.refresh()
        assert len(gallery) == 4
    with GalleryAppender(*arguments) as frames:  # root and kinds as the gallery has them
        frames.add(red, "west/2.jpg")
    gallery = gallery.refresh()
    assert gallery.root == Path("/cameras")
    rows = gallery.select("camera=east")
    assert rows is not None
    assert sorted(gallery.images[row].path for row in rows.tolist()) == ["east/1.jpg", "east/2.jpg"]
    names = [hit.path.as_posix() for hit in retriever.search(gallery, "red", k=2, rerank=0)]
    assert sorted(names) == ["/cameras/west/1.jpg", "/cameras/west/2.jpg"]


def test_a_table_of_metadata_is_read_with_its_types(tmp_path: Path) -> None:
    table = tmp_path / "m.csv"
    table.write_text('path,camera,person,frame,x,night\n"a,b.jpg",east,007,12,-1.5,true\nc.jpg,,1e5,,,no\n')
    assert read_metadata_file(table) == {
        "a,b.jpg": {"camera": "east", "person": "007", "frame": 12, "x": -1.5, "night": True},
        "c.jpg": {"person": "1e5", "night": "no"},
    }
    lines = tmp_path / "m.jsonl"
    lines.write_text('{"path": "a.jpg", "camera": 3, "night": false}\n\n{"path": "b.jpg"}\n')
    assert read_metadata_file(lines) == {"a.jpg": {"camera": 3, "night": False}, "b.jpg": {}}


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("m.txt", b"", "from files that end in .csv or .jsonl"),
        ("m.csv", b"", "its first line names the columns []; expected one called 'path'"),
        ("m.csv", b"path,a,a\n", "and none twice"),
        ("m.csv", b"path,a\nx\n", "line 2: 1 cells, but 2 columns are named"),
        ("m.csv", b"path,a\nx,1\nx,2\n", "line 3: 'x' occurs twice"),
        ("m.csv", b"path,a\n\xff,1\n", "is not UTF-8"),
        ("m.csv", b"path,\nx,1\n", "the metadata field '' is refused"),
        ("m.jsonl", b'{"path": "a"}\n{"a": 1}\n', "line 2: path is missing"),
        ("m.jsonl", b'{"path": "a", "b": [1]}\n', "b is no number, string or boolean"),
        ("m.jsonl", b"{", "line 1: not valid JSON"),
    ],
)
def test_a_wrong_table_of_metadata_is_refused_with_the_line(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_metadata_file(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: cannot be read: No such file"):
        read_metadata_file(tmp_path / "gone.csv")
    with pytest.raises(ImageError, match="no such file"):
        decode_image(tmp_path / "gone.png")
