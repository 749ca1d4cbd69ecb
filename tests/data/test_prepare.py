import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cfack.data.annotations import ImageRecord, available_splits, read_split
from cfack.data.prepare import prepare
from cfack.data.sources import Counts
from cfack_runtime.errors import DataError, UsageError

RawDataSet = Callable[..., Path]


def entry(image: str, identity: int, split: str = "train", **more: Any) -> dict[str, Any]:
    return {"file_path": image, "id": identity, "captions": ["a man in red"], "split": split} | more


SOUND = [entry("a/1.jpg", 1), entry("b/2.png", 1), entry("3.jpg", 2), entry("4.jpg", 3, "test")]


def test_a_data_set_is_written_as_one_file_per_split(raw_data_set: RawDataSet) -> None:
    entries = [
        entry("cam_a/1.png", 1, captions=["One.", "Two", "three"], processed_tokens=[["one"]]),
        entry("Market/2.jpg", 2, "VAL "),
        entry("test_query/3.jpg", 11003, "Test", captions=["Ünïcode — 人"]),
    ]
    root = raw_data_set("reid_raw.json", entries)
    summary = prepare("cuhk", root)
    assert read_split(root, "train").records == (ImageRecord("cam_a/1.png", 1, ("One.", "Two", "three")),)
    assert read_split(root, "val").records[0].image == "Market/2.jpg"
    assert read_split(root, "test").records[0].captions == ("Ünïcode — 人",)
    assert [s.counts for s in summary.splits] == [Counts(1, 1, 3), Counts(1, 1, 1), Counts(1, 1, 1)]
    assert summary.splits[0].published == Counts(11_003, 34_054, 68_126)
    assert not (root / "skipped.json").exists()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cuhk", "reid_raw.json"),
        ("CUHK-PEDES", "reid-raw.json"),
        ("icfg", "ICFG-PEDES.json"),
        ("icfg", "ICFG_PEDES.json"),
        ("ICFG_PEDES", "ICFG-PDES.json"),
        ("icfg", "icfg_pedes.json"),
        ("rstp", "data_captions.json"),
        ("RSTPReid", "data-captions.json"),
    ],
)
def test_the_annotation_is_found_under_the_names_it_goes_by(
    raw_data_set: RawDataSet, name: str, file: str
) -> None:
    assert prepare(name, raw_data_set(file, SOUND)).annotation.name == file


def test_rstp_calls_the_path_img_path_and_counts_identities_from_zero(raw_data_set: RawDataSet) -> None:
    entries = [
        {"id": 0, "img_path": "0000_c14_0031.jpg", "captions": ["a", "b"], "split": "train"},
        {"id": 1, "img_path": "0001_c1_0031.jpg", "captions": ["a", "b"], "split": "test"},
    ]
    root = raw_data_set("data_captions.json", entries)
    prepare("rstp", root)
    assert read_split(root, "train").records[0] == ImageRecord("0000_c14_0031.jpg", 0, ("a", "b"))


def test_the_folder_of_an_image_does_not_decide_its_split(raw_data_set: RawDataSet) -> None:
    root = raw_data_set(
        "ICFG-PEDES.json", [entry("test/0/x.jpg", 0, "train"), entry("train/1/y.jpg", 1, "test")]
    )
    prepare("icfg", root)
    assert read_split(root, "train").records[0].image == "test/0/x.jpg"


def test_back_translations_are_kept_beside_their_captions(raw_data_set: RawDataSet) -> None:
    entries = [
        entry("1.jpg", 1, captions=["a", "b"], captions_bt=["a2", ["b2", "b3"]]),
        entry("2.jpg", 2, "test"),
    ]
    root = raw_data_set("reid_raw.json", entries)
    prepare("cuhk", root)
    assert read_split(root, "train").records[0].back_translations == (("a2",), ("b2", "b3"))
    assert read_split(root, "test").records[0].back_translations == ()


def test_it_can_write_elsewhere_and_leaves_the_images_where_they_are(
    raw_data_set: RawDataSet, tmp_path: Path
) -> None:
    root = raw_data_set("reid_raw.json", SOUND)
    prepare("cuhk", root, tmp_path / "deep" / "out")
    assert not (root / "train.json").exists()
    assert read_split(tmp_path / "deep" / "out", "train").path(0).is_file()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry("1.jpg", 1, "dev"), "record 4 (1.jpg): unknown split 'dev'"),
        (entry("1.jpg", 1, captions=["", "ok"]), "record 4 (1.jpg): caption 0: empty: ''"),
        (entry("1.jpg", 1, captions=[" .,! "]), "record 4 (1.jpg): caption 0: empty: ' .,! '"),
        (entry("1.jpg", 1, captions=[7]), "record 4 (1.jpg): caption 0: expected a sentence, got 7"),
        (entry("1.jpg", 1, captions=[]), "record 4 (1.jpg): no usable caption"),
        (entry("1.jpg", 1, captions="a man"), "record 4 (1.jpg): captions must be a list of sentences"),
        (entry("1.jpg", 1, id="1"), "record 4 (1.jpg): id must be a whole number, got '1'"),
        (entry("a/./1.jpg", 1), "record 4 (a/1.jpg): the same path as record 0"),
        (entry("../1.jpg", 1), "record 4 (../1.jpg): the image path '../1.jpg' leaves the image root"),
        ({"id": 1, "captions": ["a"], "split": "train"}, "record 4: no file_path or img_path"),
        ("nonsense", "record 4: expected an object, got a string"),
        (entry("1.jpg", 1, captions_bt=["a", "b"]), "captions_bt must hold one entry for each caption"),
        (entry("1.jpg", 3), "record 4 (1.jpg): identity 3 of the train split is in the test split too"),
    ],
)
def test_a_bad_record_is_an_error_or_a_listed_skip(
    raw_data_set: RawDataSet, bad: dict[str, Any], message: str
) -> None:
    root = raw_data_set("reid_raw.json", [*SOUND, bad])
    with pytest.raises(DataError) as caught:
        prepare("cuhk", root)
    assert "reid_raw.json: 1 record is bad:" in str(caught.value)
    assert message in str(caught.value)
    assert "--skip-bad" in str(caught.value)
    assert available_splits(root) == []

    summary = prepare("cuhk", root, skip_bad=True)
    assert message in str(summary.skipped[0])
    assert len(read_split(root, "test").records) == 1
    listed = json.loads((root / "skipped.json").read_text())["skipped"]
    assert listed[0]["index"] == 4
    assert listed[0]["reason"] == summary.skipped[0].reason


def test_an_image_with_a_bad_caption_keeps_its_others(raw_data_set: RawDataSet) -> None:
    bad = entry("9.jpg", 9, captions=["ok", "", "fine"], captions_bt=["ok2", "x", "fine2"])
    root = raw_data_set("reid_raw.json", [*SOUND, bad])
    prepare("cuhk", root, skip_bad=True)
    last = read_split(root, "train").records[-1]
    assert last.captions == ("ok", "fine")
    assert last.back_translations == (("ok2",), ("fine2",))


def test_missing_and_broken_images_are_found(raw_data_set: RawDataSet) -> None:
    root = raw_data_set("reid_raw.json", SOUND)
    (root / "imgs" / "a" / "1.jpg").unlink()
    (root / "imgs" / "b" / "2.png").write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        prepare("cuhk", root)
    assert "2 records are bad" in str(caught.value)
    assert "record 0 (a/1.jpg): no such file" in str(caught.value)
    assert "record 1 (b/2.png): not a JPEG, PNG, BMP or WebP image" in str(caught.value)


def test_an_image_that_was_cut_short_is_found_by_decoding_it(raw_data_set: RawDataSet) -> None:
    root = raw_data_set("reid_raw.json", SOUND)
    path = root / "imgs" / "a" / "1.jpg"
    Image.effect_noise((60, 120), 80).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:-800])
    with pytest.raises(DataError, match=r"record 0 \(a/1\.jpg\): cannot be decoded"):
        prepare("cuhk", root)
    assert prepare("cuhk", root, verify_images=False).skipped == ()


def test_the_first_faults_are_listed_and_the_rest_counted(raw_data_set: RawDataSet) -> None:
    root = raw_data_set("reid_raw.json", [*SOUND, *(entry(f"{i}.jpg", i, "dev") for i in range(10, 25))])
    with pytest.raises(DataError) as caught:
        prepare("cuhk", root)
    message = str(caught.value)
    assert "15 records are bad" in message
    assert "record 13 (19.jpg)" in message
    assert "record 14" not in message
    assert "... and 5 more" in message


def test_an_identity_in_two_splits_stays_where_it_is_measured(raw_data_set: RawDataSet) -> None:
    entries = [*SOUND, entry("5.jpg", 5, "val"), entry("6.jpg", 5), entry("7.jpg", 3, "val")]
    root = raw_data_set("reid_raw.json", entries)
    summary = prepare("cuhk", root, skip_bad=True)
    assert [fault.index for fault in summary.skipped] == [5, 6]
    assert [r.identity for r in read_split(root, "val").records] == [5]
    assert [r.identity for r in read_split(root, "test").records] == [3]


def test_a_val_split_is_taken_from_train_by_identity(raw_data_set: RawDataSet) -> None:
    entries = [entry(f"{i}.jpg", i // 2) for i in range(20)] + [entry("t.jpg", 99, "test")]
    root = raw_data_set("ICFG-PEDES.json", entries)
    prepare("icfg", root, hold_out_val=3, seed=5)
    train, val = read_split(root, "train"), read_split(root, "val")
    assert (train.num_identities, val.num_identities) == (7, 3)
    assert len(val.records) == 6
    assert not {r.identity for r in train.records} & {r.identity for r in val.records}
    prepare("icfg", root, hold_out_val=3, seed=5)
    assert read_split(root, "val") == val
    prepare("icfg", root, hold_out_val=3, seed=6)
    assert read_split(root, "val") != val


def test_an_old_val_split_does_not_survive_a_preparation_without_one(raw_data_set: RawDataSet) -> None:
    entries = [entry(f"{i}.jpg", i) for i in range(4)] + [entry("t.jpg", 99, "test")]
    root = raw_data_set("ICFG-PEDES.json", entries)
    prepare("icfg", root, hold_out_val=1)
    prepare("icfg", root)
    assert available_splits(root) == ["train", "test"]


def test_holding_out_is_refused_where_it_makes_no_sense(raw_data_set: RawDataSet) -> None:
    root = raw_data_set("reid_raw.json", [*SOUND, entry("5.jpg", 5, "val")])
    with pytest.raises(UsageError, match="CUHK-PEDES has a val split here"):
        prepare("cuhk", root, hold_out_val=1)
    root = raw_data_set("ICFG-PEDES.json", SOUND, folder="icfg")
    with pytest.raises(UsageError, match="the train split has 2"):
        prepare("icfg", root, hold_out_val=2)


def test_the_mailed_annotation_without_splits_is_explained(raw_data_set: RawDataSet) -> None:
    root = raw_data_set("caption_all.json", [{"id": 1, "file_path": "1.jpg", "captions": ["a"]}])
    with pytest.raises(DataError, match=r"only caption_all\.json, which does not say the splits"):
        prepare("cuhk", root)
    (root / "caption_all.json").rename(root / "reid_raw.json")
    with pytest.raises(DataError, match="no record has a `split`"):
        prepare("cuhk", root)


def test_a_missing_annotation_says_what_lies_there_instead(raw_data_set: RawDataSet, tmp_path: Path) -> None:
    root = raw_data_set("reid_raw.json", SOUND)
    with pytest.raises(DataError, match=f"it lies in {root}: give that folder"):
        prepare("cuhk", tmp_path)
    with pytest.raises(DataError, match=r"reid_raw\.json is there, of CUHK-PEDES: `cfack data prepare cuhk"):
        prepare("rstp", root)
    with pytest.raises(DataError, match="expected the annotation file of RSTPReid and its images in imgs/"):
        prepare("rstp", root / "imgs")
    with pytest.raises(UsageError, match=r"no data set 'coco'; known: cuhk \(CUHK-PEDES\)"):
        prepare("coco", root)


def test_two_annotations_are_not_chosen_from(raw_data_set: RawDataSet) -> None:
    root = raw_data_set("ICFG-PEDES.json", SOUND)
    raw_data_set("ICFG_PEDES.json", SOUND)
    with pytest.raises(DataError, match=r"more than one .*: ICFG-PEDES\.json, ICFG_PEDES\.json; keep one"):
        prepare("icfg", root)


def test_broken_json_is_named_by_line(raw_data_set: RawDataSet) -> None:
    root = raw_data_set("reid_raw.json", SOUND)
    (root / "reid_raw.json").write_text('[{"id": 1},\n {"id": 2]\n')
    with pytest.raises(DataError, match=r"reid_raw\.json:2:10: not valid JSON"):
        prepare("cuhk", root)
    (root / "reid_raw.json").write_text('{"train": []}')
    with pytest.raises(DataError, match="expected a JSON list with one object per image, got an object"):
        prepare("cuhk", root)


def test_a_split_that_is_code_is_no_split_and_is_not_run(raw_data_set: RawDataSet, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    root = raw_data_set("reid_raw.json", [*SOUND, entry("1.jpg", 1, f"open({str(trap)!r}, 'w')")])
    with pytest.raises(DataError, match="unknown split"):
        prepare("cuhk", root)
    assert not trap.exists()
