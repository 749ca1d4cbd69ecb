"""Bundles whose graphs have FP16 tokens, or the re-ranker's rewrites: the same answers as Python."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cfack_runtime.gallery import Gallery
from cfack_runtime.images import load_image
from cfack_runtime.retriever import Retriever

sys.path.insert(0, str(Path(__file__).parent))
import capi

QUERIES = ["a person in a red coat", "blue", "a green person", "a person in yellow and blue"]
TOKENS = ("image_tokens", "text_tokens")


@pytest.fixture(scope="module")
def library() -> capi.Library:
    return capi.Library()


def _with_half_tokens(graph: onnx.GraphProto) -> None:
    """Give token inputs and outputs the type float16, with a Cast on the inside."""
    for value in [*graph.input, *graph.output]:
        if value.name not in TOKENS:
            continue
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
        is_input = any(value.name == given.name for given in graph.input)
        inside = f"{value.name}_inside"
        for node in graph.node:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    names[i] = inside if name == value.name else name
        if is_input:
            cast = helper.make_node("Cast", [value.name], [inside], to=TensorProto.FLOAT)
            graph.node.insert(0, cast)
        else:
            graph.node.append(helper.make_node("Cast", [inside], [value.name], to=TensorProto.FLOAT16))


def _for_one_text(graph: onnx.GraphProto) -> None:
    """One text, and a match logit that is higher by 1, which shows that the graph ran."""
    for value in graph.input:
        if value.name != "image_tokens":
            value.type.tensor_type.shape.dim[0].ClearField("dim_param")
            value.type.tensor_type.shape.dim[0].dim_value = 1
    (last,) = (node for node in graph.node if "match_logits" in node.output)
    last.output[0] = "logits_before"
    graph.initializer.append(numpy_helper.from_array(np.array([0, 1], np.float32), "one_more"))
    graph.node.append(helper.make_node("Add", ["logits_before", "one_more"], ["match_logits"]))


@pytest.fixture
def changed(
    write_toy: Callable[..., Path], toy_graphs: Path, tmp_path: Path
) -> Callable[[dict[str, tuple[str, Callable[[onnx.GraphProto], None]]]], Path]:
    """Write the toy bundle with some graphs made of others: name -> (made of, change)."""

    def write(changes: dict[str, tuple[str, Callable[[onnx.GraphProto], None]]]) -> Path:
        folder = tmp_path / "graphs"
        folder.mkdir()
        for name in ("image_encoder", "text_encoder", "reranker", *changes):
            source, change = changes.get(name, (name, lambda graph: None))
            model = onnx.load(toy_graphs / f"{source}.onnx")
            change(model.graph)
            onnx.checker.check_model(model, full_check=True)
            onnx.save(model, folder / f"{name}.onnx")
        return write_toy(tmp_path / "changed.cfack", graphs={"fp32": folder})

    return write


@pytest.fixture
def compare(library: capi.Library, photos: Path, tmp_path: Path) -> Callable[[Path], Any]:
    """Index with C, search with both, return the hits of C."""

    def both(path: Path) -> Any:
        bundle = library.open("bundle", path)
        library.index(bundle, photos, tmp_path / "gallery")
        gallery = library.open("gallery", tmp_path / "gallery")
        ours = library.search(bundle, gallery, QUERIES)
        with Retriever.open(path) as retriever:
            opened = Gallery.open(tmp_path / "gallery")
            for mine, query in zip(ours, QUERIES, strict=True):
                theirs = retriever.search(opened, query)
                assert [hit[0] for hit in mine] == [str(h.path.relative_to(opened.root)) for h in theirs]
                assert [hit[2] for hit in mine] == pytest.approx([h.match_logit for h in theirs], abs=1e-5)
            files = sorted(photos.rglob("*.png"))
            pixels = np.stack([load_image(file, 12, 8) for file in files])
            images = library.images(bundle, files)
            rows = library.encode_images(bundle, images, len(files), 3)
            assert np.abs(rows - retriever.image_encoder.encode(pixels).embedding).max() <= 1e-6
            library.c.cfack_images_free(images)
        library.c.cfack_gallery_free(gallery)
        library.c.cfack_bundle_free(bundle)
        return ours

    return both


@pytest.mark.parametrize(
    "graphs",
    [
        ("image_encoder", "text_encoder", "reranker"),
        ("image_encoder", "text_encoder"),
        ("reranker",),
        ("text_encoder",),
    ],
)
def test_tokens_may_be_fp16_in_any_graph(changed: Any, compare: Any, graphs: tuple[str, ...]) -> None:
    compare(changed({name: (name, _with_half_tokens) for name in graphs}))


def test_a_query_runs_the_rewrite_for_one_text(
    changed: Any, compare: Any, library: capi.Library, toy_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    hits = compare(changed({"reranker_one_text": ("reranker", _for_one_text)}))
    bundle, gallery = library.open("bundle", toy_bundle), tmp_path / "plain"
    library.index(bundle, photos, gallery)
    plain = library.search(bundle, opened := library.open("gallery", gallery), QUERIES)
    for mine, other in zip(hits, plain, strict=True):
        logits = {hit[0]: hit[2] for hit in other}
        assert [hit[2] for hit in mine] == pytest.approx([logits[hit[0]] + 1 for hit in mine])
    library.c.cfack_gallery_free(opened)
    library.c.cfack_bundle_free(bundle)


@pytest.mark.slow
def test_images_that_many_queries_share_are_matched_once(
    library: capi.Library, trained_tiny: Path, tmp_path: Path
) -> None:
    path, gallery = trained_tiny / "person.cfack", trained_tiny / "gallery"
    bundle, ours = library.open("bundle", path), library.open("gallery", gallery)
    many = [f"{query}{' and a coat' * (i % 3)}" for i in range(60) for query in QUERIES]
    hits = library.search(bundle, ours, many, rerank=64)
    with Retriever.open(path) as retriever:
        opened = Gallery.open(gallery)
        assert retriever.pair_cost.texts_that_pay(15) < len(many)
        for mine, other in zip(hits, retriever.search_many(opened, many, rerank=64), strict=True):
            assert [hit[0] for hit in mine] == [str(hit.path.relative_to(opened.root)) for hit in other]
            assert [hit[2] for hit in mine] == pytest.approx([hit.match_logit for hit in other], abs=1e-5)
    library.c.cfack_gallery_free(ours)
    library.c.cfack_bundle_free(bundle)
