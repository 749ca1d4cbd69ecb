"""The manifest: what it says, and what is refused."""

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cfack_runtime.errors import BundleError
from cfack_runtime.manifest import Geometry, Preprocessing, embedding_space
from cfack_runtime.manifest_json import LARGEST_MANIFEST, manifest_bytes, read_manifest

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def content(toy_bundle: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((toy_bundle / "manifest.json").read_bytes())
    return loaded


def refusal(tmp_path: Path, data: str | bytes) -> str:
    """Message of the error that reading this manifest ends in."""
    path = tmp_path / "manifest.json"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(BundleError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_a_manifest_is_read_as_it_was_written(toy_bundle: Path, toy_geometry: Geometry) -> None:
    path = toy_bundle / "manifest.json"
    manifest = read_manifest(path)
    assert manifest_bytes(manifest) == path.read_bytes()
    assert manifest.geometry == toy_geometry
    assert manifest.passed == ("fp32",)
    pixels = manifest.graphs["fp32"]["image_encoder"].inputs[0]
    assert (pixels.name, pixels.dtype, pixels.shape) == ("pixels", "uint8", ("batch", 12, 8, 3))


def test_the_embedding_space_is_the_hash_of_seven_lines(toy_geometry: Geometry) -> None:
    # Spelled out as docs/bundle.md does, for readers in other languages.
    text = (
        b"cfack-embedding-space-1\n"
        b"weights=" + b"a" * 64 + b"\n"
        b"tokenizer=" + b"b" * 64 + b"\n"
        b"image=squash-bicubic-1\n"
        b"size=12x8\n"
        b"caption=pre-caption-1\n"
        b"max_tokens=10\n"
    )
    space = embedding_space("a" * 64, "b" * 64, toy_geometry, Preprocessing())
    assert space == hashlib.sha256(text).hexdigest()


def test_weights_tokenizer_size_and_rules_each_make_another_embedding_space(toy_geometry: Geometry) -> None:
    spaces = {
        embedding_space("a" * 64, "b" * 64, toy_geometry, Preprocessing()),
        embedding_space("c" * 64, "b" * 64, toy_geometry, Preprocessing()),
        embedding_space("a" * 64, "c" * 64, toy_geometry, Preprocessing()),
        embedding_space("a" * 64, "b" * 64, replace(toy_geometry, image_width=12), Preprocessing()),
        embedding_space("a" * 64, "b" * 64, replace(toy_geometry, max_tokens=9), Preprocessing()),
        embedding_space("a" * 64, "b" * 64, toy_geometry, Preprocessing(image="other-1")),
        embedding_space("a" * 64, "b" * 64, toy_geometry, Preprocessing(caption="other-1")),
    }
    assert len(spaces) == 7


def test_members_that_this_version_does_not_know_are_left_alone(
    content: dict[str, Any], tmp_path: Path
) -> None:
    content["later"] = [{"anything": 1}]
    content["model"]["later"] = "more"
    content["graphs"]["fp32"]["reranker_of_tomorrow"] = {}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    assert set(read_manifest(path).graphs["fp32"]) == {"image_encoder", "text_encoder", "reranker"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "not valid JSON"),
        ('{"format": "cfack-bundle"', "not valid JSON"),
        ("[1, 2]", "holds a JSON list, expected an object"),
        (b"\xff\xfe{}", "not valid JSON"),
        ('{"format": 1, "format": 2}', "the key 'format' occurs twice"),
        ('{"model": {"a": 1, "a": 1}}', "the key 'a' occurs twice"),
        ('{"size": NaN}', "NaN is not a finite number"),
        ('{"size": -Infinity}', "-Infinity is not a finite number"),
        ('{"size": 1e999}', "1e999 is not a finite number"),
        ('{"size": ' + "9" * 5000 + "}", "a number of 5000 digits"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ("{" + " " * LARGEST_MANIFEST + "}", f"larger than {LARGEST_MANIFEST} bytes"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_unambiguous_json_object_is_refused(
    tmp_path: Path, data: str | bytes, message: str
) -> None:
    assert message in refusal(tmp_path, data)


def without(*keys: str) -> Edit:
    def edit(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return edit


def changed(value: object, *keys: str | int) -> Edit:
    def edit(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return edit


IMAGE_ENCODER = ("graphs", "fp32", "image_encoder")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (changed("zip", "format"), "format is 'zip', expected 'cfack-bundle'"),
        (changed(2, "format_version"), "format version 2, but this is a reader of version 1; export"),
        (changed("1", "format_version"), "format_version is a JSON string, expected a whole number"),
        (changed(True, "format_version"), "format_version is a JSON boolean, expected a whole number"),
        (changed(1.0, "format_version"), "format_version is a JSON number, expected a whole number"),
        (without("model"), "model is missing"),
        (without("model", "embed_dim"), "model: embed_dim is missing"),
        (changed(0, "model", "image_height"), "image_height is 0, expected 1 to 65535"),
        (changed(10**20, "model", "embed_dim"), f"embed_dim is {10**20}, expected 1 to 65536"),
        (changed("best", "preprocessing", "image"), "image is 'best', but this version only knows"),
        (changed("A" * 64, "tokenizer", "sha256"), "expected 64 lower-case hexadecimal digits"),
        (changed(-1, "tokenizer", "size"), "size is -1"),
        (changed({}, "graphs"), "graphs: is empty, expected at least one precision"),
        (changed({}, "graphs", "fp32"), "image_encoder, text_encoder, reranker missing"),
        (without("graphs", "fp32", "reranker"), "fp32: reranker missing"),
        (
            changed([], *IMAGE_ENCODER, "inputs"),
            "inputs: has (), expected (pixels uint8 ['batch', 12, 8, 3])",
        ),
        (changed("float32", *IMAGE_ENCODER, "inputs", 0, "dtype"), "has (pixels float32"),
        (changed([1, 12, 8, 3], *IMAGE_ENCODER, "inputs", 0, "shape"), "has (pixels uint8 [1, 12, 8, 3])"),
        (changed(["batch", 12, 8, -3], *IMAGE_ENCODER, "inputs", 0, "shape"), "shape holds '-3'"),
        (changed({}, "parity"), "parity has nothing about precision fp32"),
        (changed(1, "parity", "fp32", "passed"), "passed is a JSON number, expected true or false"),
        (changed([1], "parity", "fp32", "cosine"), "cosine is no number, string or boolean"),
        (changed("0" * 64, "embedding_space"), "embedding_space is 000000"),
        (changed("0" * 64, "source", "checkpoint_sha256"), "the manifest was edited, export again"),
        (changed([7], "documents"), "documents[0] is no object"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_by_the_name_of_the_fault(
    content: dict[str, Any], tmp_path: Path, edit: Edit, message: str
) -> None:
    edited = copy.deepcopy(content)
    edit(edited)
    assert message in refusal(tmp_path, json.dumps(edited))


def test_the_name_of_a_precision_is_no_place_for_a_path(content: dict[str, Any], tmp_path: Path) -> None:
    content["graphs"]["../fp32"] = content["graphs"]["fp32"]
    assert "'../fp32' is no name of a precision" in refusal(tmp_path, json.dumps(content))


def test_tokens_may_be_float16_but_embeddings_may_not(content: dict[str, Any], tmp_path: Path) -> None:
    outputs = content["graphs"]["fp32"]["image_encoder"]["outputs"]
    assert [tensor["name"] for tensor in outputs] == ["image_embedding", "image_tokens"]
    outputs[1]["dtype"] = "float16"
    (tmp_path / "half.json").write_text(json.dumps(content))
    read_manifest(tmp_path / "half.json")
    outputs[0]["dtype"] = "float16"
    assert "image_embedding float16" in refusal(tmp_path, json.dumps(content))
