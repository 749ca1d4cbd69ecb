import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cfack.data.synthesize import generate, synthesize
from cfack_runtime.errors import CfackError, UsageError

HEIGHT = 64


def records_of(summary: Any) -> list[dict[str, Any]]:
    return json.loads(summary.annotation.read_text(encoding="utf-8"))


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def render(out: Path, layout: str, identities: int, seed: int = 7, **options: Any) -> Any:
    options = {"workers": 1, "image_height": HEIGHT, **options}
    return synthesize(out, layout, identities, seed, **options)


@pytest.fixture(scope="module")
def cuhk(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return render(tmp_path_factory.mktemp("cuhk") / "set", "cuhk", 20)


@pytest.fixture(scope="module")
def icfg(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return render(tmp_path_factory.mktemp("icfg") / "set", "icfg", 20)


@pytest.fixture(scope="module")
def rstp(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return render(tmp_path_factory.mktemp("rstp") / "set", "rstp", 20)


def test_same_seed_gives_same_bytes_in_one_process_and_in_two(rstp: Any, tmp_path: Path) -> None:
    render(tmp_path / "again", "rstp", 20, workers=2)
    assert digests(tmp_path / "again") == digests(rstp.root)


def test_another_seed_gives_other_people(rstp: Any, tmp_path: Path) -> None:
    other = render(tmp_path / "other", "rstp", 3, seed=8)
    first = next(entry for entry in records_of(rstp) if entry["id"] == 0)
    assert records_of(other)[0]["captions"] != first["captions"]


def test_an_identity_looks_the_same_whatever_the_number_of_identities(rstp: Any, tmp_path: Path) -> None:
    few = render(tmp_path / "few", "rstp", 3)
    many = {entry["img_path"]: entry["captions"] for entry in records_of(rstp)}
    for entry in records_of(few):
        name = entry["img_path"]
        assert many[name] == entry["captions"]
        assert (few.root / "imgs" / name).read_bytes() == (rstp.root / "imgs" / name).read_bytes()


def test_the_hash_seed_of_the_process_changes_nothing_and_torch_stays_out(tmp_path: Path) -> None:
    code = (
        "import sys; from cfack.data.synthesize import synthesize;"
        f"synthesize(sys.argv[1], 'cuhk', 3, 5, image_height={HEIGHT}, workers=1);"
        "assert 'torch' not in sys.modules"
    )
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / hash_seed)], check=True, env=environment)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def test_cuhk_has_its_keys_ids_from_one_and_its_folders(cuhk: Any) -> None:
    records = records_of(cuhk)
    assert cuhk.annotation.name == "reid_raw.json"
    assert sorted({entry["id"] for entry in records}) == list(range(1, 21))
    assert {tuple(sorted(entry.keys() - {"processed_tokens"})) for entry in records} == {
        ("captions", "file_path", "id", "split")
    }
    folders = {entry["file_path"].split("/")[0] for entry in records}
    assert folders == {"cam_a", "cam_b", "CUHK01", "CUHK03", "Market", "test_query", "train_query"}
    assert {Path(entry["file_path"]).suffix for entry in records} == {".jpg", ".png"}


def test_cuhk_leaves_the_tokens_out_of_some_records(cuhk: Any) -> None:
    tokens = [entry.get("processed_tokens") for entry in records_of(cuhk)]
    assert None in tokens
    with_tokens = next(entry for entry in records_of(cuhk) if "processed_tokens" in entry)
    assert len(with_tokens["processed_tokens"]) == len(with_tokens["captions"])
    assert all(token.isalnum() and token == token.lower() for token in with_tokens["processed_tokens"][0])


def test_cuhk_gives_two_captions_to_most_images_and_ten_to_one(cuhk: Any) -> None:
    counts = sorted(len(entry["captions"]) for entry in records_of(cuhk))
    assert counts[0] == 2
    assert counts[-1] == 10
    assert counts[-2] in (3, 4)
    assert counts.count(2) == len(counts) - 2


def test_icfg_has_no_val_split_and_folders_that_are_not_the_split(icfg: Any) -> None:
    records = records_of(icfg)
    assert icfg.annotation.name == "ICFG-PEDES.json"
    assert {entry["split"] for entry in records} == {"train", "test"}
    assert sorted({entry["id"] for entry in records}) == list(range(20))
    pairs = {(entry["split"], entry["file_path"].split("/")[0]) for entry in records}
    assert {("train", "train"), ("train", "test")} <= pairs


def test_icfg_has_one_long_caption_per_image(icfg: Any) -> None:
    captions = [entry["captions"] for entry in records_of(icfg)]
    assert {len(texts) for texts in captions} == {1}
    words = [len(texts[0].split()) for texts in captions]
    assert 34 <= sum(words) / len(words) <= 41


def test_rstp_has_img_path_and_two_captions_of_23_words_or_more(rstp: Any) -> None:
    records = records_of(rstp)
    assert rstp.annotation.name == "data_captions.json"
    assert {tuple(entry) for entry in records} == {("id", "img_path", "captions", "split")}
    assert {len(entry["captions"]) for entry in records} == {2}
    assert min(len(text.split()) for entry in records for text in entry["captions"]) >= 23


@pytest.mark.parametrize("layout", ["cuhk", "icfg", "rstp"])
def test_splits_share_no_identity_and_the_files_are_those_of_the_records(
    layout: str, request: pytest.FixtureRequest
) -> None:
    summary = request.getfixturevalue(layout)
    records = records_of(summary)
    people: dict[str, set[int]] = {}
    for entry in records:
        people.setdefault(entry["split"], set()).add(entry["id"])
    assert sum(len(ids) for ids in people.values()) == len(set.union(*people.values())) == 20
    paths = [entry.get("file_path", entry.get("img_path")) for entry in records]
    images = summary.root / "imgs"
    found = {str(path.relative_to(images)) for path in images.rglob("*") if path.is_file()}
    assert found == set(paths)
    assert len(paths) == len(found)


def test_the_summary_counts_what_was_written(cuhk: Any) -> None:
    records = records_of(cuhk)
    assert [(split.name, split.identities) for split in cuhk.splits] == [
        ("train", 14),
        ("val", 2),
        ("test", 4),
    ]
    assert cuhk.identities == 20
    assert cuhk.images == len(records)
    assert cuhk.captions == sum(len(entry["captions"]) for entry in records)


def test_images_open_and_are_about_as_tall_as_asked(cuhk: Any) -> None:
    for path in (cuhk.root / "imgs").rglob("*.*"):
        with Image.open(path) as image:
            image.load()
            assert image.mode == "RGB"
            assert image.format == {".jpg": "JPEG", ".png": "PNG"}[path.suffix]
            assert 0.79 * HEIGHT <= image.height <= 1.2 * HEIGHT
            assert 0.35 <= image.width / image.height <= 0.55


def test_explicit_splits_and_image_counts_are_kept(tmp_path: Path) -> None:
    summary = render(tmp_path / "set", "rstp", 6, splits=(3, 1, 2), images_per_identity=(2, 2))
    assert [(s.name, s.identities, s.images) for s in summary.splits] == [
        ("train", 3, 6),
        ("val", 1, 2),
        ("test", 2, 4),
    ]


def test_progress_ends_with_all_identities(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    render(tmp_path / "set", "rstp", 10, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(8, 10), (10, 10)]


@pytest.mark.parametrize(
    ("layout", "identities", "options", "message"),
    [
        ("market", 5, {}, "unknown layout 'market'; expected one of cuhk, icfg, rstp"),
        ("cuhk", 2, {}, "identities is 2; expected at least 3"),
        ("icfg", 1, {}, "identities is 1; expected at least 2"),
        ("cuhk", 5, {"seed": -1}, "seed is -1"),
        ("cuhk", 5, {"images_per_identity": (1, 3)}, "images_per_identity is 1 to 3; expected 2 <="),
        ("cuhk", 5, {"images_per_identity": (4, 3)}, "images_per_identity is 4 to 3"),
        ("cuhk", 5, {"image_height": 20}, "image_height is 20 pixels; expected 48 to 1024"),
        ("cuhk", 5, {"workers": 0}, "workers is 0"),
        ("cuhk", 5, {"splits": (3, 1, 2)}, "add up to 6 identities, but identities is 5"),
        ("icfg", 5, {"splits": (3, 1, 1)}, "the layout 'icfg' has no val split; give 0"),
        ("rstp", 5, {"splits": (4, 0, 1)}, "every split that the layout 'rstp' has needs an identity"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    tmp_path: Path, layout: str, identities: int, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        render(tmp_path / "set", layout, identities, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not empty"):
        render(tmp_path, "cuhk", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_worker_that_dies_is_an_error_that_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DyingPool:
        def __init__(self, *args: Any, **options: Any) -> None:
            pass

        def submit(self, *args: Any) -> "Future[Any]":
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool("gone"))
            return future

        def shutdown(self, **options: Any) -> None:
            pass

    monkeypatch.setattr(generate, "ProcessPoolExecutor", DyingPool)
    with pytest.raises(CfackError, match=r"a worker process that renders images died.*workers=1"):
        render(tmp_path / "set", "cuhk", 20, workers=2)
    assert list(tmp_path.iterdir()) == []
