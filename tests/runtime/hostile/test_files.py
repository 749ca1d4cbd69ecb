"""Files that are cut, swapped, gone, elsewhere, endless or no files at all; paths that lead astray."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Refused = Callable[[Path], str]

NAMED = (
    "tokenizer.json",
    "README.md",
    "parity.json",
    "onnx/fp32/image_encoder.onnx",
    "onnx/fp32/text_encoder.onnx",
    "onnx/fp32/reranker.onnx",
)


@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_is_not_the_one_that_was_written(refused: Refused, bundle_copy: Path, name: str) -> None:
    path = bundle_copy / name
    data = path.read_bytes()
    flipped = bytes([data[0] ^ 1]) + data[1:]
    for content, message in (
        (data[:-1], f"{len(data) - 1} bytes, but the manifest says {len(data)}"),
        (b"", f"0 bytes, but the manifest says {len(data)}"),
        (data + b"\0", f"{len(data) + 1} bytes, but the manifest says {len(data)}"),
        (flipped, "SHA-256 is"),
        (bytes(len(data)), "SHA-256 is"),
    ):
        path.write_bytes(content)
        said = refused(bundle_copy)
        assert message in said
        assert name in said


@pytest.mark.parametrize("name", NAMED)
def test_what_is_no_file_in_the_place_of_one(
    refused: Refused, bundle_copy: Path, tmp_path: Path, name: str
) -> None:
    path = bundle_copy / name
    outside = path.rename(tmp_path / "outside")
    assert f"{name}: no such file" in refused(bundle_copy)
    path.mkdir()
    assert f"{name}: no such file" in refused(bundle_copy)
    path.rmdir()
    os.mkfifo(path)  # opening it would wait forever
    assert f"{name}: no such file" in refused(bundle_copy)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        place = os.open(path.parent, os.O_RDONLY)  # the path of a socket must be short
        try:
            server.bind(f"/proc/self/fd/{place}/{path.name}")
        finally:
            os.close(place)
        assert f"{name}: no such file" in refused(bundle_copy)
    for target in (
        outside,
        Path("/dev/zero"),
        Path("/proc/self/environ"),
        Path("../../../../../../etc/passwd"),
    ):
        path.unlink()
        path.symlink_to(target)
        assert f"{name}: refused, a symbolic link leads out of" in refused(bundle_copy)
    path.unlink()
    path.symlink_to(path.name)
    assert name in refused(bundle_copy)


PATHS = (
    "../outside",
    "/etc/passwd",
    "onnx/../../outside",
    "./tokenizer.json",
    "onnx//tokenizer.json",
    "",
    ".",
    "..",
    "a/../tokenizer.json",
    "tokenizer.json/",
    "C:\\windows",
    "..\\outside",
    "tokenizer.json\0.onnx",
    "tokenizer.json\n",
    "~/secret",
    "\ud800",
    "a" * 5000,
    "/".join("a" * 2000),
)


@pytest.mark.parametrize("kind", ["tokenizer", "graph", "document", "engine"])
def test_paths_that_lead_astray(refused: Refused, add_engine: Any, kind: str) -> None:
    forger = add_engine()
    entry = {
        "tokenizer": forger.manifest["tokenizer"],
        "graph": forger.manifest["graphs"]["fp32"]["reranker"],
        "document": forger.manifest["documents"][0],
        "engine": forger.manifest["engines"][0],
    }[kind]
    (forger.path.parent / "outside").write_bytes((forger.path / entry["path"]).read_bytes())
    for path in PATHS:
        entry["path"] = path
        said = refused(forger.save())
        assert any(
            word in said for word in ("is refused", "no valid path", "no such file", "cannot be opened")
        )


@pytest.mark.parametrize("kind", ["graph", "document", "engine"])
def test_a_file_of_a_terabyte_that_the_manifest_agrees_with(
    refused: Refused, add_engine: Any, kind: str
) -> None:
    forger = add_engine()
    entry = {
        "graph": forger.manifest["graphs"]["fp32"]["reranker"],
        "document": forger.manifest["documents"][0],
        "engine": forger.manifest["engines"][0],
    }[kind]
    os.truncate(forger.path / entry["path"], 1 << 40)  # sparse: it takes no space on the disk
    assert f"bytes, but the manifest says {entry['size']}" in refused(forger.path)
    entry["size"] = 1 << 40
    assert f"size is {1 << 40}, expected 1 to" in refused(forger.save())


def test_swapped_graphs_with_hashes_that_fit(refused: Refused, forger: Any) -> None:
    graphs = forger.manifest["graphs"]["fp32"]
    files = ("path", "size", "sha256")
    first, second = graphs["image_encoder"], graphs["text_encoder"]
    first_file, second_file = {k: first[k] for k in files}, {k: second[k] for k in files}
    first.update(second_file)
    second.update(first_file)
    assert "inputs: has (input_ids int64" in refused(forger.save())


def test_swapped_files(refused: Refused, bundle_copy: Path, tmp_path: Path) -> None:
    folder = bundle_copy / "onnx/fp32"
    shutil.move(folder / "image_encoder.onnx", tmp_path / "swap")
    shutil.move(folder / "reranker.onnx", folder / "image_encoder.onnx")
    shutil.move(tmp_path / "swap", folder / "reranker.onnx")
    assert "the file was truncated or exchanged, copy the bundle again" in refused(bundle_copy)


TOKENIZERS = {
    "nothing": b"{}",
    "no JSON": b"\xff" * 100,
    "another model": b'{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}',
    "deep": b'{"version":' * 200_000 + b"1" + b"}" * 200_000,
    "deep lists": b"[" * 1_000_000,
    "megabytes of nothing": b'{"a": "' + b"a" * 20_000_000 + b'"}',
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_hostile_tokenizer(refused: Refused, forger: Any, name: str) -> None:
    forger.put(forger.manifest["tokenizer"], TOKENIZERS[name])
    said = refused(forger.path)
    assert "tokenizer.json" in said or "embedding_space" in said
