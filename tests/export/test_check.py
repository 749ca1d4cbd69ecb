"""What the gate sees in single graphs: healthy ones pass, every sabotage is refused by name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from cfack.modeling import CFACK
from cfack_export.parity import LIMITS, ParityGate, Run
from cfack_export.parity.torch_reference import torch_reference
from cfack_runtime.errors import BackendError
from cfack_runtime.graph_contract import GRAPHS, IMAGE_ENCODER, RERANKER, TEXT_ENCODER
from cfack_runtime.tokenizer import CaptionTokenizer

Outputs = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="module")
def gate(model: CFACK, tokenizer: CaptionTokenizer) -> ParityGate:
    return ParityGate(torch_reference(model, tokenizer, None))


def failures(gate: ParityGate, graph: str, run: Run, precision: str = "fp32") -> list[str]:
    return gate.check_graph(graph, run, LIMITS[precision]).failures


@pytest.fixture
def sabotaged(
    graphs: dict[str, onnx.ModelProto], run_file: Callable[[Path], Run], tmp_path: Path
) -> Callable[[str, Callable[[onnx.GraphProto], None]], Run]:
    """Open a graph after an edit."""

    def edit(name: str, change: Callable[[onnx.GraphProto], None]) -> Run:
        broken = onnx.ModelProto()
        broken.CopyFrom(graphs[name])
        change(broken.graph)
        onnx.save(broken, tmp_path / "broken.onnx")
        return run_file(tmp_path / "broken.onnx")

    return edit


def scale_constant(graph: onnx.GraphProto, value: float, factor: float) -> None:
    """Multiply the scalar or vector initializer that starts with `value`."""
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.size and array.size <= 3 and abs(float(array.flat[0]) - value) < 1e-6:
            tensor.CopyFrom(numpy_helper.from_array((array * factor).astype(array.dtype), tensor.name))
            return
    raise AssertionError(f"no constant {value}")


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_healthy_graph_passes_far_below_its_limits(
    graph: str, runs: dict[str, Run], gate: ParityGate
) -> None:
    parity = gate.check_graph(graph, runs[graph], LIMITS["fp32"])

    assert parity.failures == []
    for output in parity.outputs:
        assert output.error < output.tolerance / 4
        assert output.alone.error < LIMITS["fp32"].batch_error / 4
        assert output.padding.error == 0
        assert output.against_reference.min_cosine > 0.99999
        assert output.cases >= 8


@pytest.mark.parametrize(("precision", "noise"), [("fp16", 1e-4), ("int8", 1e-3)])
def test_noise_of_a_precisions_own_size_passes_there_and_is_refused_in_fp32(
    precision: str, noise: float, runs: dict[str, Run], gate: ParityGate
) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        outputs = runs[IMAGE_ENCODER](feed)
        return {name: values + np.float32(noise) for name, values in outputs.items()}

    assert failures(gate, IMAGE_ENCODER, run, precision) == []
    assert (
        "image_encoder, case 'batch 1', image_embedding: differs from PyTorch"
        in failures(gate, IMAGE_ENCODER, run)[0]
    )


def test_a_wrong_pixel_scale_is_refused_with_figure_and_limit(
    sabotaged: Callable[..., Run], gate: ParityGate
) -> None:
    run = sabotaged(IMAGE_ENCODER, lambda graph: scale_constant(graph, 255.0, 256 / 255))

    sentence = failures(gate, IMAGE_ENCODER, run)[0]

    assert sentence.startswith("image_encoder, case 'batch 1', image_")
    assert ", allowed is 2e-05 (lowest cosine" in sentence or ", allowed is 0.0001" in sentence


def test_swapped_channels_are_refused(runs: dict[str, Run], gate: ParityGate) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        return runs[IMAGE_ENCODER]({"pixels": feed["pixels"][..., ::-1].copy()})

    assert failures(gate, IMAGE_ENCODER, run)


def test_a_missing_normalisation_is_refused_in_every_precision(
    runs: dict[str, Run], gate: ParityGate
) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        outputs = runs[TEXT_ENCODER](feed)
        return {**outputs, "text_embedding": outputs["text_embedding"] * np.float32(3)}

    for precision in LIMITS:
        assert any(
            "text_embedding: differs" in fault for fault in failures(gate, TEXT_ENCODER, run, precision)
        )


@pytest.mark.parametrize("graph", [TEXT_ENCODER, RERANKER])
def test_a_dropped_mask_is_refused(graph: str, sabotaged: Callable[..., Run], gate: ParityGate) -> None:
    run = sabotaged(graph, lambda proto: scale_constant(proto, -10000.0, 0.0))

    found = failures(gate, graph, run)

    assert any("differs from PyTorch" in fault for fault in found)
    assert any("from the same row run alone" in fault for fault in found)
    assert any("what lies in padded slots changes it by" in fault for fault in found)


def test_a_leak_from_padding_too_small_to_see_is_found_by_garbage(
    runs: dict[str, Run], gate: ParityGate
) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        padded = np.abs(feed["text_tokens"]) * (1 - feed["attention_mask"][:, :, None])
        leak = (1e-6 * padded.mean(axis=(1, 2))).astype(np.float32)
        return {"match_logits": runs[RERANKER](feed)["match_logits"] + leak[:, None]}

    (sentence,) = failures(gate, RERANKER, run)

    assert "'garbage in padded slots', match_logits: what lies in padded slots changes it by" in sentence
    assert sentence.endswith("allowed is 1e-06")


@pytest.mark.parametrize("precision", LIMITS)
def test_rows_in_another_order_are_refused_in_every_precision(
    precision: str, runs: dict[str, Run], gate: ParityGate
) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        return {name: values[::-1].copy() for name, values in runs[IMAGE_ENCODER](feed).items()}

    found = failures(gate, IMAGE_ENCODER, run, precision)

    assert any("case 'batch 2', image_embedding: row " in f and "run alone, allowed is" in f for f in found)


@pytest.mark.parametrize("precision", LIMITS)
def test_one_wrong_row_in_one_batch_size_is_refused_in_every_precision(
    precision: str, runs: dict[str, Run], gate: ParityGate
) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        outputs = {name: values.copy() for name, values in runs[IMAGE_ENCODER](feed).items()}
        if len(feed["pixels"]) == 5:
            outputs["image_embedding"][3] = outputs["image_embedding"][1]
        return outputs

    found = failures(gate, IMAGE_ENCODER, run, precision)

    assert any("case 'batch 5, reversed', image_embedding: row 3 differs by" in fault for fault in found)


@pytest.mark.parametrize("precision", LIMITS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(
    precision: str, value: float, runs: dict[str, Run], gate: ParityGate
) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        logits = runs[RERANKER](feed)["match_logits"].copy()
        logits[-1, 0] = value
        return {"match_logits": logits}

    parity = gate.check_graph(RERANKER, run, LIMITS[precision])

    assert "match_logits: holds what is no number" in parity.failures[0]
    assert parity.to_json()["match_logits"]["error"] is None


@pytest.mark.parametrize("precision", LIMITS)
def test_constant_and_swapped_logits_are_refused(
    precision: str, runs: dict[str, Run], gate: ParityGate
) -> None:
    def swapped(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        return {"match_logits": runs[RERANKER](feed)["match_logits"][:, ::-1].copy()}

    def constant(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        return {"match_logits": np.zeros_like(runs[RERANKER](feed)["match_logits"])}

    for run in (swapped, constant):
        assert any(
            "match_logits: differs from" in fault for fault in failures(gate, RERANKER, run, precision)
        )


@pytest.mark.parametrize("precision", ["int8", "int8-cpu"])
def test_a_quantisation_scale_ten_times_too_small_is_refused(
    precision: str, runs: dict[str, Run], gate: ParityGate
) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        outputs = dict(runs[IMAGE_ENCODER](feed))
        scale = np.abs(outputs["image_tokens"]).max() / 127 / 10
        outputs["image_tokens"] = scale * np.clip(np.round(outputs["image_tokens"] / scale), -127, 127)
        return {name: values.astype(np.float32) for name, values in outputs.items()}

    found = failures(gate, IMAGE_ENCODER, run, precision)

    assert any("image_tokens: differs from" in fault and "allowed is 0.3" in fault for fault in found)


def test_a_graph_that_cannot_run_another_batch_is_refused(runs: dict[str, Run], gate: ParityGate) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        if len(feed["pixels"]) != 2:
            raise BackendError("Got invalid dimensions")
        return runs[IMAGE_ENCODER](feed)

    assert failures(gate, IMAGE_ENCODER, run)[0] == (
        "image_encoder, case 'batch 1', inputs {'pixels': (1, 32, 16, 3)}: cannot be run: "
        "Got invalid dimensions"
    )


def test_another_shape_or_type_is_refused(runs: dict[str, Run], gate: ParityGate) -> None:
    def wide(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        outputs = runs[IMAGE_ENCODER](feed)
        return {**outputs, "image_embedding": outputs["image_embedding"].astype(np.float64)}

    def short(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        return {name: values[:1] for name, values in runs[IMAGE_ENCODER](feed).items()}

    assert (
        "image_embedding: is float64 (1, 16), expected float32 (1, 16)"
        in failures(gate, IMAGE_ENCODER, wide)[0]
    )
    assert (
        "case 'batch 2', image_embedding: is float32 (1, 16), expected float32 (2, 16)"
        in failures(gate, IMAGE_ENCODER, short)[0]
    )
