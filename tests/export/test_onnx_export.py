import hashlib
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from cfack.modeling import CFACK, normalize_pixels
from cfack_export import onnx_export
from cfack_export.graphs import GraphSpec
from cfack_export.onnx_export import check_signature, export_graph, ready_for_export
from cfack_runtime.errors import BundleError, UsageError
from cfack_runtime.graph_contract import GRAPHS

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]


def signature(values: Any) -> dict[str, tuple[int, list[int | str]]]:
    """Input or output name -> (ONNX type, shape)."""
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim],
        )
        for value in values
    }


FLOAT, UINT8, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8, onnx.TensorProto.INT64


def test_the_image_encoder_has_the_names_types_and_shapes_of_the_contract(
    graphs: dict[str, onnx.ModelProto],
) -> None:
    graph = graphs["image_encoder"].graph

    assert signature(graph.input) == {"pixels": (UINT8, ["batch", 32, 16, 3])}
    assert signature(graph.output) == {
        "image_embedding": (FLOAT, ["batch", 16]),
        "image_tokens": (FLOAT, ["batch", 1 + 4 * 2, 32]),
    }


def test_the_text_encoder_has_the_names_types_and_shapes_of_the_contract(
    graphs: dict[str, onnx.ModelProto],
) -> None:
    graph = graphs["text_encoder"].graph

    assert signature(graph.input) == {
        "input_ids": (INT64, ["batch", "length"]),
        "attention_mask": (INT64, ["batch", "length"]),
    }
    assert signature(graph.output) == {
        "text_embedding": (FLOAT, ["batch", 16]),
        "text_tokens": (FLOAT, ["batch", "length", 24]),
    }


def test_the_reranker_has_a_batch_for_either_side(graphs: dict[str, onnx.ModelProto]) -> None:
    graph = graphs["reranker"].graph

    assert signature(graph.input) == {
        "text_tokens": (FLOAT, ["text_batch", "length", 24]),
        "attention_mask": (INT64, ["text_batch", "length"]),
        "image_tokens": (FLOAT, ["image_batch", 9, 32]),
    }
    assert signature(graph.output) == {"match_logits": (FLOAT, ["batch", 2])}


@pytest.mark.parametrize(("texts", "images"), [(1, 5), (5, 1), (4, 4), (1, 1)])
def test_the_reranker_pairs_one_with_many_and_many_with_many(
    runs: dict[str, Run], model: CFACK, rng: np.random.Generator, texts: int, images: int
) -> None:
    feed: dict[str, NDArray[Any]] = {
        "text_tokens": rng.normal(size=(texts, 6, 24)).astype(np.float32),
        "attention_mask": np.array([[1, 1, 1, 1, 0, 0]] * texts),
        "image_tokens": rng.normal(size=(images, 9, 32)).astype(np.float32),
    }

    logits = runs["reranker"](feed)["match_logits"]

    assert logits.shape == (max(texts, images), 2)
    for row in range(max(texts, images)):
        text, image = min(row, texts - 1), min(row, images - 1)
        with torch.inference_mode():
            expected = model.match(
                torch.from_numpy(feed["text_tokens"][[text]]),
                torch.from_numpy(feed["attention_mask"][[text]]),
                torch.from_numpy(feed["image_tokens"][[image]]),
            )
        np.testing.assert_allclose(logits[[row]], expected.numpy(), atol=1e-5)


def test_the_reranker_refuses_batches_that_do_not_pair(
    runs: dict[str, Run], rng: np.random.Generator
) -> None:
    feed: dict[str, NDArray[Any]] = {
        "text_tokens": rng.normal(size=(2, 6, 24)).astype(np.float32),
        "attention_mask": np.ones((2, 6), np.int64),
        "image_tokens": rng.normal(size=(3, 9, 32)).astype(np.float32),
    }

    with pytest.raises(Exception, match="invalid expand shape"):
        runs["reranker"](feed)


def test_scaling_and_normalisation_are_inside_the_image_encoder(
    runs: dict[str, Run], model: CFACK, rng: np.random.Generator
) -> None:
    pixels = rng.integers(0, 256, (3, 32, 16, 3), dtype=np.uint8)

    outputs = runs["image_encoder"]({"pixels": pixels})

    with torch.inference_mode():
        expected = model.encode_image(normalize_pixels(torch.from_numpy(pixels)))
    np.testing.assert_allclose(outputs["image_embedding"], expected.embedding.numpy(), atol=1e-5)
    np.testing.assert_allclose(outputs["image_tokens"], expected.tokens.numpy(), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(outputs["image_embedding"], axis=1), 1.0, atol=1e-5)


def test_captions_may_be_as_long_as_the_position_table_and_no_longer(runs: dict[str, Run]) -> None:
    longest = np.full((1, 32), 5)
    assert runs["text_encoder"]({"input_ids": longest, "attention_mask": longest // 5})[
        "text_tokens"
    ].shape == (1, 32, 24)

    too_long = np.full((1, 33), 5)
    with pytest.raises(Exception, match="text_encoder.embeddings"):
        runs["text_encoder"]({"input_ids": too_long, "attention_mask": too_long // 5})


def test_position_biases_stay_gathered_from_their_tables_by_one_shared_index(
    graphs: dict[str, onnx.ModelProto],
) -> None:
    graph = graphs["image_encoder"].graph
    gathers = [node for node in graph.node if "relative_position_bias_table" in "".join(node.input)]
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}

    assert [node.input[0] for node in gathers] == [
        f"vision_encoder.beit.blocks.{block}.attn.relative_position_bias_table" for block in (0, 1)
    ]
    assert len({node.input[1] for node in gathers}) == 1
    assert sorted(sizes.values()).count(9 * 9) == 1  # the index of 9 x 9 tokens; no materialised bias
    assert 2 * 9 * 9 not in sizes.values()


def test_every_weight_is_in_the_file_once_and_no_training_part_is(
    graphs: dict[str, onnx.ModelProto], model: CFACK
) -> None:
    names = ["".join(tensor.name for tensor in graph.graph.initializer) for graph in graphs.values()]
    assert not [part for part in ("momentum", "mlm_head", "temperature") if part in "".join(names)]

    for name, parts in (
        ("image_encoder", (model.vision_encoder, model.vision_projection)),
        ("text_encoder", (model.text_encoder, model.text_projection)),
        ("reranker", (model.fusion_encoder, model.matching_head)),
    ):
        weights = sum(p.numel() for part in parts for p in part.parameters())
        stored = sum(int(np.prod(t.dims)) for t in graphs[name].graph.initializer if t.data_type == FLOAT)
        if name == "image_encoder":  # gains and value biases are in other weights
            gone = ("gamma_1", "gamma_2", "v_bias")
            named = model.vision_encoder.named_parameters()
            weights -= sum(p.numel() for key, p in named if key.endswith(gone))
        assert weights <= stored <= weights + 200  # scalars


def test_nodes_and_weights_are_named_after_the_modules_they_come_from(
    graphs: dict[str, onnx.ModelProto],
) -> None:
    graph = graphs["reranker"].graph
    nodes = {node.name: node for node in graph.node}

    assert len(nodes) == len(graph.node)
    assert nodes["fusion_encoder.layers.1.cross_attention.key/MatMul"].input[1] == (
        "fusion_encoder.layers.1.cross_attention.key.weight.transposed"
    )


def test_nothing_in_a_file_says_where_it_was_made(graph_files: dict[str, Path]) -> None:
    for file in graph_files.values():
        content = file.read_bytes()
        assert b".py" not in content
        assert str(Path.home()).encode() + b"/" not in content
        assert b"stack_trace" not in content
        assert not onnx.load(file).metadata_props


def test_a_second_export_gives_the_same_bytes(
    graph_files: dict[str, Path], specs: dict[str, GraphSpec], model: CFACK, tmp_path: Path
) -> None:
    with ready_for_export(model):
        export_graph(specs["reranker"], tmp_path / "again.onnx")

    first, second = graph_files["reranker"].read_bytes(), (tmp_path / "again.onnx").read_bytes()
    assert hashlib.sha256(first).hexdigest() == hashlib.sha256(second).hexdigest()


def test_graphs_hold_standard_operators_only(graphs: dict[str, onnx.ModelProto]) -> None:
    for graph in graphs.values():
        assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 20)]
        assert not graph.functions
        operators = Counter(node.op_type for node in graph.graph.node)
        assert operators["LayerNormalization"] >= 5
        assert operators["Softmax"] >= 2


def test_exporting_prints_and_warns_nothing(
    specs: dict[str, GraphSpec],
    model: CFACK,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with warnings.catch_warnings(), ready_for_export(model):
        warnings.simplefilter("error")
        export_graph(specs["text_encoder"], tmp_path / "text_encoder.onnx")

    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]


def test_a_model_is_left_as_it_was(model: CFACK) -> None:
    model.train()
    model.matching_head.eval()
    attention = model.vision_encoder.beit.blocks[0].attn
    try:
        with ready_for_export(model):
            during = model.vision_encoder.training, attention.fused_attn
        after = model.vision_encoder.training, model.matching_head.training, attention.fused_attn
    finally:
        model.eval()

    assert during == (False, False)
    assert after == (True, False, True)


def test_a_size_that_the_exporter_pinned_is_an_error(
    graphs: dict[str, onnx.ModelProto], specs: dict[str, GraphSpec]
) -> None:
    pinned = onnx.ModelProto()
    pinned.CopyFrom(graphs["image_encoder"])
    axis = pinned.graph.input[0].type.tensor_type.shape.dim[0]
    axis.dim_value = 2

    with pytest.raises(BundleError, match=r"image_encoder: the exported inputs are .*\(2, 32, 16, 3\)"):
        check_signature(pinned, specs["image_encoder"])


def test_outputs_in_another_order_are_an_error(
    graphs: dict[str, onnx.ModelProto], specs: dict[str, GraphSpec]
) -> None:
    spec = specs["text_encoder"]
    swapped = replace(spec, outputs=spec.outputs[::-1])

    with pytest.raises(BundleError, match="text_encoder: the exported outputs are"):
        check_signature(graphs["text_encoder"], swapped)


def test_a_graph_too_large_for_one_file_is_refused_before_the_work(
    specs: dict[str, GraphSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "LARGEST_FILE", 1000)

    with pytest.raises(UsageError, match=r"reranker has 0\.0 GB of weights; an ONNX file holds"):
        export_graph(specs["reranker"], tmp_path / "reranker.onnx")
    assert not list(tmp_path.iterdir())


def test_the_specifications_name_all_three_graphs(specs: dict[str, GraphSpec]) -> None:
    assert tuple(specs) == GRAPHS
