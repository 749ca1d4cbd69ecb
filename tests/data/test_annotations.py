import json
from pathlib import Path

import pytest

from cfack.data.annotations import ImageRecord, Split, available_splits, read_split, write_split
from cfack_runtime.errors import DataError, UsageError


def write_json(root: Path, change: dict[str, object], record: dict[str, object] | None = None) -> None:
    good = {"image": "a.jpg", "identity": 3, "captions": ["a man"]}
    content = {
        "format": "cfack-split",
        "version": 1,
        "dataset": "cuhk",
        "split": "train",
        "image_root": "imgs",
        "records": [good, good | (record or {})],
    }
    (root / "train.json").write_text(json.dumps(content | change))


def test_a_split_comes_back_as_it_was_written(tmp_path: Path) -> None:
    records = (
        ImageRecord("cam_a/1.png", 1, ("Ein Mann, größer als üblich", "二人 'a' \"b\"")),
        ImageRecord("2.jpg", 9, ("x",), (("y", "z"),)),
    )
    split = Split("val", "rstp", tmp_path / "imgs", records)
    path = write_split(tmp_path, split)
    assert path == tmp_path / "val.json"
    assert read_split(tmp_path, "val") == split
    assert "größer" in path.read_text(encoding="utf-8")


def test_the_image_root_is_found_from_wherever_the_annotation_lies(tmp_path: Path) -> None:
    (tmp_path / "prepared").mkdir()
    images = tmp_path / "raw" / "imgs"
    write_split(tmp_path / "prepared", Split("test", "cuhk", images, (ImageRecord("a.jpg", 0, ("a",)),)))
    (tmp_path / "moved").mkdir()
    for name in ("prepared", "raw"):
        if (tmp_path / name).exists():
            (tmp_path / name).rename(tmp_path / "moved" / name)
    found = read_split(tmp_path / "moved" / "prepared", "test")
    assert found.path(0).resolve() == (tmp_path / "moved" / "raw" / "imgs" / "a.jpg").resolve()


def test_a_missing_val_split_says_how_to_get_one(tmp_path: Path) -> None:
    write_split(tmp_path, Split("train", "icfg", tmp_path, (ImageRecord("a.jpg", 0, ("a",)),)))
    with pytest.raises(DataError, match=r"no val split, only train.*--hold-out-val N"):
        read_split(tmp_path, "val")
    assert available_splits(tmp_path) == ["train"]


def test_a_folder_that_is_not_prepared_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no prepared splits; run `cfack data prepare NAME"):
        read_split(tmp_path, "train")
    with pytest.raises(DataError, match="no such folder"):
        read_split(tmp_path / "nowhere", "train")


def test_a_split_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no split 'dev'; expected one of train, val, test"):
        read_split(tmp_path, "dev")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"identity": "3"}, "record 1: identity must be a whole number, got '3'"),
        ({"identity": True}, "record 1: identity must be a whole number"),
        ({"captions": []}, "record 1: captions must be a list of at least one sentence"),
        ({"captions": ["a", " "]}, "record 1: captions must be a list"),
        ({"captions": "a man"}, "record 1: captions must be a list"),
        ({"image": "../../etc/passwd"}, "record 1: the image path '../../etc/passwd' leaves the image root"),
        ({"image": "/etc/passwd"}, "record 1: the image path '/etc/passwd' leaves"),
        ({"image": 3}, "record 1: the image path must be a string"),
        ({"colour": "red"}, "record 1: unknown key colour"),
        ({"back_translations": [["a"], ["b"]]}, "record 1: 2 back_translations for 1 captions"),
        ({"back_translations": ["a"]}, "record 1: back_translations must hold a list"),
    ],
)
def test_a_wrong_record_is_named_by_file_and_index(
    tmp_path: Path, record: dict[str, object], message: str
) -> None:
    write_json(tmp_path, {}, record)
    with pytest.raises(DataError) as caught:
        read_split(tmp_path, "train")
    assert f"train.json: {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "not a prepared split"),
        ({"version": 2}, "version 2 of the format; this release reads version 1"),
        ({"split": "test"}, "holds the split 'test', expected 'train'"),
        ({"extra": 1}, "unknown key extra"),
        ({"records": []}, "records must be a list of at least one record"),
        ({"records": [5]}, "record 0: expected an object, got int"),
        ({"image_root": None}, "image_root and dataset must be strings"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    write_json(tmp_path, change)
    with pytest.raises(DataError, match=message):
        read_split(tmp_path, "train")


def test_broken_json_is_named_by_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('{"format": "cfack-split",\n "version": }\n')
    with pytest.raises(DataError, match=r"train\.json:2:13: not valid JSON"):
        read_split(tmp_path, "train")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_bytes(b'{"dataset": "\xff"}')
    with pytest.raises(DataError, match="not UTF-8 text at byte 13"):
        read_split(tmp_path, "train")
