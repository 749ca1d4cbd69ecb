"""Manifests that are malformed, ambiguous, enormous or from another time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cfack_runtime.manifest_json import LARGEST_MANIFEST

Refused = Callable[[Path], str]


def test_an_honest_bundle_opens(victim: Any, toy_bundle: Path) -> None:
    result = victim.open(toy_bundle)
    assert result["kind"] == "", result


TEXTS = {
    "empty": (b"", "not valid JSON"),
    "random bytes": (bytes(range(256)) * 40, "not valid JSON"),
    "UTF-16": ('{"format": "cfack-bundle"}'.encode("utf-16"), "not valid JSON"),
    "byte order mark": (b'\xef\xbb\xbf{"format": "cfack-bundle"}', "not valid JSON"),
    "a list": (b"[]", "holds a JSON list, expected an object"),
    "two objects": (b"{}{}", "not valid JSON"),
    "NUL": (b'{"format": "cfack-bundle"\x00}', "not valid JSON"),
    "lone surrogate": (b'{"format": "\\ud800"}', "format is"),
    "twice a key": (b'{"format": "cfack-bundle", "format": "zip"}', "the key 'format' occurs twice"),
    "twice a key in escapes": (b'{"format": 1, "\\u0066ormat": 2}', "the key 'format' occurs twice"),
    "twice a key deep down": (b'{"a": [{"b": {"c": 1, "c": 1}}]}', "the key 'c' occurs twice"),
    "NaN": (b'{"size": NaN}', "NaN is not a finite number"),
    "Infinity": (b'{"size": Infinity}', "Infinity is not a finite number"),
    "1e999": (b'{"size": 1e999}', "1e999 is not a finite number"),
    "a number of 3 MB": (b'{"size": ' + b"9" * 3_000_000 + b"}", "a number of 3000000 digits"),
    "a fraction of 3 MB": (b'{"size": 0.' + b"9" * 3_000_000 + b"}", "format is missing"),
    "deep lists": (b'{"a": ' + b"[" * 2_000_000 + b"]" * 2_000_000 + b"}", "nested too deeply"),
    "deep objects": (b'{"a":' * 600_000 + b"1" + b"}" * 600_000, "nested too deeply"),
    "never closed": (b'{"a":' * 600_000, "nested too deeply"),
    "too large": (b"{" + b" " * LARGEST_MANIFEST + b"}", f"larger than {LARGEST_MANIFEST} bytes"),
    "a million lists": (b'{"a": [' + b"[]," * 1_300_000 + b"[]]}", "format is missing"),
    "half a million objects": (b'{"a": [' + b'{"a":1},' * 500_000 + b"1]}", "format is missing"),
    "half a million keys": (
        b"{" + b",".join(b'"%x":1' % i for i in range(400_000)) + b"}",
        "format is missing",
    ),
    "one long text": (b'{"format": "' + b"a" * 4_000_000 + b'"}', "format is 'aaaa"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_that_is_no_manifest(refused: Refused, bundle_copy: Path, name: str) -> None:
    data, message = TEXTS[name]
    (bundle_copy / "manifest.json").write_bytes(data)
    said = refused(bundle_copy)
    assert message in said
    assert len(said) < 2000


def test_a_manifest_cut_off_anywhere(refused: Refused, bundle_copy: Path) -> None:
    data = (bundle_copy / "manifest.json").read_bytes()
    for size in range(0, len(data) - 2, max(1, len(data) // 15)):
        (bundle_copy / "manifest.json").write_bytes(data[:size])
        assert "not valid JSON" in refused(bundle_copy)


MANY = 30_000
FILE = {"path": "README.md", "sha256": "0" * 64, "size": 8}

MEMBERS: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "later version": (("format_version",), 2, "format version 2, but this is a reader of version 1"),
    "version zero": (("format_version",), 0, "format version 0"),
    "negative version": (("format_version",), -1, "format_version is -1, expected 0 to"),
    "version as text": (("format_version",), "1", "format_version is a JSON string"),
    "version as a fraction": (("format_version",), 1.0, "format_version is a JSON number"),
    "version true": (("format_version",), True, "format_version is a JSON boolean"),
    "another format": (("format",), "cfack-gallery", "this is no bundle"),
    "unknown resize": (("preprocessing", "image"), "squash-9", "this version only knows 'squash-bicubic-1'"),
    "no model": (("model",), None, "model is a JSON null, expected an object"),
    "absurd height": (("model", "image_height"), 10**9, "image_height is 1000000000, expected 1 to 65535"),
    "absurd width": (("model", "embed_dim"), 1 << 62, "embed_dim is"),
    "negative tokens": (("model", "max_tokens"), -1, "max_tokens is -1"),
    "absurd size": (("tokenizer", "size"), 1 << 62, "size is 4611686018427387904, expected 1 to"),
    "negative size": (("tokenizer", "size"), -5, "size is -5"),
    "no graphs": (("graphs",), {}, "graphs: is empty"),
    "precision as a path": (("graphs", "../../etc"), {}, "'../../etc' is no name of a precision"),
    "absurd axis": (("graphs", "fp32", "reranker", "outputs"), [], "outputs: has ()"),
    "unknown parity": (("parity",), {}, "parity has nothing about precision fp32"),
    "parity passed by text": (("parity", "fp32", "passed"), "true", "passed is a JSON string"),
    "other space": (("embedding_space",), "0" * 64, "embedding_space is 0000"),
    "many documents": (("documents",), [FILE] * MANY, "documents, at most 64"),
    "many honest documents": (("documents",), None, "documents, at most 64"),
    "many precisions": (("graphs",), None, "1000 precisions, at most 32"),
    "many engines": (("engines",), [{}] * MANY, f"engines has {MANY} entries, at most 1024"),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_members_that_are_absurd(refused: Refused, forger: Any, name: str) -> None:
    keys, value, message = MEMBERS[name]
    if name == "many honest documents":
        value = forger.manifest["documents"] * (MANY // 2)
    if name == "many precisions":
        graphs = forger.manifest["graphs"]["fp32"]
        value = {f"p{i}": graphs for i in range(1000)}
        forger.manifest["parity"] = {name: {"passed": True} for name in value}
    inner = forger.manifest
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    assert message in refused(forger.save())


def test_a_manifest_that_is_no_file(refused: Refused, bundle_copy: Path, tmp_path: Path) -> None:
    manifest = bundle_copy / "manifest.json"
    outside = manifest.rename(tmp_path / "outside.json")
    assert "manifest.json: no such file" in refused(bundle_copy)
    manifest.mkdir()
    assert "manifest.json: no such file" in refused(bundle_copy)
    manifest.rmdir()
    os.mkfifo(manifest)
    assert "manifest.json: no such file" in refused(bundle_copy)
    for target in (outside, Path("/dev/zero"), Path("/proc/self/mem")):
        manifest.unlink()
        manifest.symlink_to(target)
        assert "a symbolic link leads out of" in refused(bundle_copy)
    manifest.unlink()
    manifest.symlink_to("manifest.json")
    assert "manifest.json" in refused(bundle_copy)


def test_a_manifest_of_a_terabyte(refused: Refused, bundle_copy: Path) -> None:
    os.truncate(bundle_copy / "manifest.json", 1 << 40)
    assert f"larger than {LARGEST_MANIFEST} bytes" in refused(bundle_copy)


def test_what_is_no_folder(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"{}")
    os.mkfifo(tmp_path / "fifo")
    for name in ("file", "fifo", "missing", "file/inside"):
        assert "no such folder" in refused(tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert "manifest.json" in refused(tmp_path / "empty")
