"""The manifest's member `engines`, on disk."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cfack_runtime.bundle import Bundle
from cfack_runtime.engine_files import store_engines
from cfack_runtime.errors import BundleError

Add = Callable[..., Bundle]
Path_ = tuple[str | int, ...]


@pytest.fixture
def content(add_engines: Add) -> dict[str, Any]:
    return dict(json.loads((add_engines().path / "manifest.json").read_text()))


def change(content: Any, path: Path_, value: Any) -> Any:
    changed = copy.deepcopy(content)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def reopened(bundle: Path, content: Any) -> Bundle:
    (bundle / "manifest.json").write_text(json.dumps(content))
    return Bundle.open(bundle)


def test_engines_are_read_as_they_were_written(add_engines: Add) -> None:
    members = {"gpu": "", "compatibility": "ampere+", "version_compatible": True, "stripped": True}
    written = add_engines(**members, verified=False)
    engine = written.manifest.engines[1]
    assert (engine.graph, engine.builder, engine.builder_version) == ("text_encoder", "tensorrt", "10.13.2.6")
    assert (engine.compatibility, engine.version_compatible, engine.stripped) == ("ampere+", True, True)
    assert engine.profiles[1]["input_ids"].max == (4, 10)
    assert Bundle.open(written.path).manifest == written.manifest


SHAPES = ("profiles", 0, "pixels")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("path",), "../x", r"the path '../x' is refused"),
        (("path",), "/etc/passwd", "the path '/etc/passwd' is refused"),
        (("sha256",), "zz", "sha256 is 'zz', expected 64"),
        (("size",), 1 << 40, f"size is {1 << 40}, expected 1 to"),
        (("size",), 17, r"\d+ bytes, but the manifest says 17; the file was truncated or exchanged"),
        (
            ("builder",),
            "openvino",
            "builder is 'openvino', but this version only knows tensorrt, tensorrt-rtx",
        ),
        (("builder_version",), "10.x", "builder_version is '10.x', which is no valid builder_version"),
        (("compute_capability",), "sm89", "compute_capability is 'sm89'"),
        (("gpu",), "a\nb", r"gpu is 'a\\nb', which is no valid gpu"),
        (("compatibility",), "all", "compatibility is 'all', but this version only knows none, ampere"),
        (("verified",), "yes", "verified is a JSON string, expected true or false"),
        (("profiles",), [], "profiles has 0 entries, expected 1 to 64"),
        (("profiles",), [{}] * 65, "profiles has 65 entries, expected 1 to 64"),
        (("profiles", 0), {}, "has shapes of nothing, expected exactly the graph's inputs pixels"),
        ((*SHAPES, "min"), [1, 12, 8], "pixels has min .1, 12, 8., opt .* expected min <= opt <= max"),
        ((*SHAPES, "min"), [3, 12, 8, 3], "pixels has min .3, 12, 8, 3., opt .2, 12, 8, 3. and max"),
        ((*SHAPES, "min"), [0, 12, 8, 3], "min is .0, 12, 8, 3., expected at most 8 positive whole numbers"),
        ((*SHAPES, "max"), [8, 12, 8, 4], "expected min <= opt <= max for the shape .'batch', 12, 8, 3."),
        ((*SHAPES, "max"), [1 << 31, 12, 8, 3], "max is .2147483648"),
        ((*SHAPES, "max"), [True, 12, 8, 3], "max is .True"),
        ((*SHAPES, "max"), ["8", 12, 8, 3], "max is .'8'"),
        (("onnx_sha256",), "0" * 64, "was built from an ONNX file with SHA-256 0000.*--rebuild-engines"),
        (("precision",), "fp16", "is for fp16 image_encoder, a graph that this bundle does not hold"),
        (("graph",), "reranker_one_text", "is for fp32 reranker_one_text, a graph that this bundle does not"),
    ],
)
def test_a_wrong_engine_is_refused_by_the_name_of_the_fault(
    content: dict[str, Any], bundle_copy: Path, path: Path_, value: Any, message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        reopened(bundle_copy, change(content, ("engines", 0, *path), value))


def test_an_engine_that_is_listed_twice_is_refused(content: dict[str, Any], bundle_copy: Path) -> None:
    content["engines"].append(content["engines"][0])
    with pytest.raises(BundleError, match=r"engines\[3\]: the engine fp32 image_encoder .* is listed twice"):
        reopened(bundle_copy, content)
    content["engines"] = content["engines"][:1] * 1025
    with pytest.raises(BundleError, match="engines has 1025 entries, at most 1024 are read"):
        reopened(bundle_copy, content)


def test_engines_of_the_same_target_are_replaced_and_others_stay(add_engines: Add) -> None:
    old = add_engines(builder_version="10.9.0.34")
    both = add_engines()
    assert [e.builder_version for e in both.manifest.engines] == ["10.9.0.34"] * 3 + ["10.13.2.6"] * 3
    again = add_engines()
    assert [e.builder_version for e in again.manifest.engines] == ["10.9.0.34"] * 3 + ["10.13.2.6"] * 3
    named = {entry.file.path for entry in again.manifest.engines}
    assert {str(p.relative_to(again.path)) for p in (again.path / "engines").iterdir()} == named
    assert old.path == again.path


def test_engines_that_do_not_belong_change_nothing(add_engines: Add, tmp_path: Path) -> None:
    bundle = add_engines()
    before = (bundle.path / "manifest.json").read_bytes()
    entry = bundle.manifest.engines[0]
    source = bundle.path / entry.file.path
    for wrong, message in (
        (replace(entry, builder_version="1.0", onnx_sha256="0" * 64), "was built from an ONNX file"),
        (replace(entry, builder_version="1.0", file=replace(entry.file, path="../out")), "refuses to write"),
        (
            replace(
                entry, builder_version="1.0", file=replace(entry.file, path="engines/x", sha256="0" * 64)
            ),
            "SHA-256 is",
        ),
    ):
        with pytest.raises(BundleError, match=message):
            store_engines(bundle, [(wrong, source)])
    assert (bundle.path / "manifest.json").read_bytes() == before
    assert not (tmp_path / "out").exists()
    Bundle.open(bundle.path)
