"""Writing bundles, opening them, and refusing hostile ones."""

import hashlib
import json
import os
import shutil
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import BundleError, UsageError
from cfack_runtime.manifest import Geometry

GRAPH = "onnx/fp32/text_encoder.onnx"


def edit_manifest(bundle: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = bundle / "manifest.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_a_written_bundle_opens_and_holds_what_was_given(
    toy_bundle: Path, toy_graphs: Path, toy_geometry: Geometry
) -> None:
    bundle = Bundle.open(toy_bundle)
    assert bundle.manifest.geometry == toy_geometry
    assert bundle.manifest.created_by == "tests"
    assert bundle.tokenizer.tokens(bundle.tokenizer.encode(["a red coat"]).input_ids[0]) == [
        "[CLS]",
        "a",
        "red",
        "coat",
        "[SEP]",
    ]
    written = bundle.graph_path("fp32", "reranker").read_bytes()
    assert written == (toy_graphs / "reranker.onnx").read_bytes()
    assert bundle.graph("fp32", "reranker").file.sha256 == hashlib.sha256(written).hexdigest()
    assert sorted(path.name for path in toy_bundle.iterdir()) == [
        "README.md",
        "manifest.json",
        "onnx",
        "parity.json",
        "tokenizer.json",
    ]


def test_numbers_of_the_parity_report_are_in_the_manifest_and_all_of_it_in_its_file(
    write_toy: Callable[..., Path], tmp_path: Path
) -> None:
    report = {"fp32": {"passed": True, "max_error": 1e-6, "graphs": [{"name": "reranker"}]}}
    out = write_toy(tmp_path / "new.cfack", parity=report)
    assert Bundle.open(out).manifest.parity["fp32"] == {"passed": True, "max_error": 1e-6}
    assert json.loads((out / "parity.json").read_text()) == report


def test_writing_leaves_nothing_behind_when_it_fails(
    write_toy: Callable[..., Path], toy_graphs: Path, toy_geometry: Geometry, tmp_path: Path
) -> None:
    (tmp_path / "graphs").mkdir()
    shutil.copy(toy_graphs / "image_encoder.onnx", tmp_path / "graphs")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BundleError, match=r"text_encoder\.onnx: cannot be copied: No such file"):
        write_toy(tmp_path / "new.cfack", graphs={"fp32": tmp_path / "graphs"})
    with pytest.raises(BundleError, match="parity has nothing about precision fp32"):
        write_toy(tmp_path / "new.cfack", parity={})
    with pytest.raises(BundleError, match=r"holds 13 tokens, but the text encoder knows 12"):
        write_toy(tmp_path / "new.cfack", geometry=replace(toy_geometry, vocab_size=12))
    assert sorted(tmp_path.iterdir()) == before


def test_an_existing_bundle_is_replaced_only_on_request(
    write_toy: Callable[..., Path], tmp_path: Path
) -> None:
    out = write_toy(tmp_path / "new.cfack")
    with pytest.raises(UsageError, match="exists"):
        write_toy(out, readme="# Second\n")
    assert (out / "README.md").read_text() == "# A toy\n"
    write_toy(out, readme="# Second\n", overwrite=True)
    assert (out / "README.md").read_text() == "# Second\n"


def test_files_that_the_manifest_does_not_name_do_no_harm(bundle_copy: Path) -> None:
    (bundle_copy / "notes.txt").write_text("mine")
    Bundle.open(bundle_copy)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder; `cfack export` writes a bundle"):
        Bundle.open(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"manifest\.json: no such file"):
        Bundle.open(tmp_path)
    os.mkfifo(tmp_path / "manifest.json")  # opening it would wait for ever
    with pytest.raises(BundleError, match=r"manifest\.json: no such file"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize("name", [GRAPH, "tokenizer.json", "README.md", "parity.json"])
def test_a_truncated_file_is_named_with_both_sizes(bundle_copy: Path, name: str) -> None:
    data = (bundle_copy / name).read_bytes()
    (bundle_copy / name).write_bytes(data[:-1])
    with pytest.raises(
        BundleError, match=rf"{name}: {len(data) - 1} bytes, but the manifest says {len(data)}"
    ):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize("name", [GRAPH, "tokenizer.json", "README.md", "parity.json"])
def test_a_file_with_another_content_is_named_with_both_hashes(bundle_copy: Path, name: str) -> None:
    data = bytearray((bundle_copy / name).read_bytes())
    right = hashlib.sha256(data).hexdigest()
    data[3] ^= 1
    (bundle_copy / name).write_bytes(data)
    wrong = hashlib.sha256(data).hexdigest()
    with pytest.raises(BundleError, match=rf"{name}: SHA-256 is {wrong}, but the manifest says {right}"):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize("name", [GRAPH, "tokenizer.json", "README.md"])
def test_a_missing_file_is_named(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: no such file"):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize(
    "path",
    [
        "../secret.onnx",
        "onnx/../../secret.onnx",
        "/etc/passwd",
        "C:/secret.onnx",
        "..\\secret.onnx",
        "onnx//fp32/text_encoder.onnx",
        "./tokenizer.json",
        "onnx/fp32/",
        "secret\0.onnx",
        "secret\n.onnx",
    ],
)
@pytest.mark.parametrize("what", ["graph", "tokenizer", "document"])
def test_a_path_that_could_leave_the_folder_is_refused(bundle_copy: Path, path: str, what: str) -> None:
    (bundle_copy.parent / "secret.onnx").write_bytes(b"x")

    def edit(content: dict[str, Any]) -> None:
        entry = {
            "graph": content["graphs"]["fp32"]["text_encoder"],
            "tokenizer": content["tokenizer"],
            "document": content["documents"][0],
        }[what]
        entry["path"] = path

    edit_manifest(bundle_copy, edit)
    with pytest.raises(BundleError, match=r"refused: expected a relative path inside the folder"):
        Bundle.open(bundle_copy)


@pytest.mark.parametrize("name", ["manifest.json", "tokenizer.json", GRAPH])
def test_a_symbolic_link_out_of_the_folder_is_refused(bundle_copy: Path, name: str) -> None:
    outside = bundle_copy.parent / "outside"
    shutil.move(bundle_copy / name, outside)
    (bundle_copy / name).symlink_to(outside)
    with pytest.raises(BundleError, match=f"{name}: refused, a symbolic link leads out of"):
        Bundle.open(bundle_copy)


def test_a_linked_folder_inside_the_bundle_is_refused_too(bundle_copy: Path) -> None:
    shutil.move(bundle_copy / "onnx", bundle_copy.parent / "onnx")
    (bundle_copy / "onnx").symlink_to(bundle_copy.parent / "onnx")
    with pytest.raises(BundleError, match="a symbolic link leads out of"):
        Bundle.open(bundle_copy)


def test_a_loop_of_links_is_refused(bundle_copy: Path) -> None:
    (bundle_copy / "tokenizer.json").unlink()
    (bundle_copy / "tokenizer.json").symlink_to("tokenizer.json")
    with pytest.raises(BundleError, match=r"tokenizer\.json: (cannot be opened|no such file)"):
        Bundle.open(bundle_copy)


def test_a_bundle_may_itself_be_reached_through_a_link(bundle_copy: Path) -> None:
    link = bundle_copy.parent / "link.cfack"
    link.symlink_to(bundle_copy)
    assert Bundle.open(link).path == bundle_copy.resolve()


def test_a_folder_in_the_place_of_a_file_is_refused(bundle_copy: Path) -> None:
    (bundle_copy / GRAPH).unlink()
    (bundle_copy / GRAPH).mkdir()
    with pytest.raises(BundleError, match=f"{GRAPH}: no such file"):
        Bundle.open(bundle_copy)


def test_a_tokenizer_too_large_for_memory_is_refused_before_it_is_read(bundle_copy: Path) -> None:
    size = 10**11
    with (bundle_copy / "tokenizer.json").open("r+b") as stream:
        stream.truncate(size)  # sparse: it takes no space on the disk
    edit_manifest(bundle_copy, lambda content: content["tokenizer"].update(size=size))
    with pytest.raises(BundleError, match=r"tokenizer\.json: 100000000000 bytes, at most 67108864"):
        Bundle.open(bundle_copy)


def test_a_file_that_is_no_tokenizer_is_refused(write_toy: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"tokenizer\.json: not a tokenizer\.json"):
        write_toy(tmp_path / "new.cfack", tokenizer_json='{"version": "1.0"}')


def test_a_large_file_is_hashed_in_bounded_memory(bundle_copy: Path) -> None:
    size = 200 << 20
    with (bundle_copy / GRAPH).open("r+b") as stream:
        stream.truncate(size)
    edit_manifest(bundle_copy, lambda content: content["graphs"]["fp32"]["text_encoder"].update(size=size))
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match="SHA-256"):
            Bundle.open(bundle_copy)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_wrong_size_is_found_without_reading_the_file(bundle_copy: Path) -> None:
    with (bundle_copy / GRAPH).open("r+b") as stream:
        stream.truncate(1 << 40)
    began = time.process_time()  # which a stalled machine does not lengthen
    with pytest.raises(BundleError, match=f"{1 << 40} bytes"):
        Bundle.open(bundle_copy)
    assert time.process_time() - began < 1


def test_graphs_can_be_checked_one_precision_at_a_time(bundle_copy: Path) -> None:
    data = bytearray((bundle_copy / GRAPH).read_bytes())
    data[-1] ^= 1
    (bundle_copy / GRAPH).write_bytes(data)
    bundle = Bundle.open(bundle_copy, check_graphs=False)
    with pytest.raises(BundleError, match=f"{GRAPH}: SHA-256"):
        bundle.check_graphs("fp32")
    with pytest.raises(BundleError, match="holds no precision 'int8', only fp32"):
        bundle.check_graphs("int8")
