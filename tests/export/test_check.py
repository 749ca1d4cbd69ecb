"""What the parity check sees: healthy graphs pass, every sabotage is refused."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from cfack.modeling import CFACK
from cfack_export.cases import image_cases, pair_cases, text_cases
from cfack_export.check import check_graph, reference
from cfack_runtime.errors import BackendError, ParityError
from cfack_runtime.graph_contract import GRAPHS
from cfack_runtime.tokenizer import CaptionTokenizer

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]


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
def test_a_healthy_graph_passes_far_below_its_tolerances(
    graph: str, runs: dict[str, Run], model: CFACK, tokenizer: CaptionTokenizer
) -> None:
    parity = check_graph(graph, runs[graph], model, tokenizer)

    assert parity.graph == graph
    for output in parity.outputs:
        assert output.error < output.tolerance / 4
        assert output.min_cosine > 0.99999
        assert output.cases >= 3


def test_a_wrong_pixel_scale_is_refused(
    sabotaged: Callable[..., Run], model: CFACK, tokenizer: CaptionTokenizer
) -> None:
    run = sabotaged("image_encoder", lambda graph: scale_constant(graph, 255.0, 256 / 255))

    with pytest.raises(ParityError, match=r"image_encoder, case 'batch \d', image_\w+: differs"):
        check_graph("image_encoder", run, model, tokenizer)


def test_swapped_channels_are_refused(
    runs: dict[str, Run], model: CFACK, tokenizer: CaptionTokenizer
) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return runs["image_encoder"]({"pixels": feed["pixels"][..., ::-1].copy()})

    with pytest.raises(ParityError, match="image_encoder"):
        check_graph("image_encoder", run, model, tokenizer)


@pytest.mark.parametrize("graph", ["text_encoder", "reranker"])
def test_a_dropped_mask_is_refused(
    graph: str, sabotaged: Callable[..., Run], model: CFACK, tokenizer: CaptionTokenizer
) -> None:
    run = sabotaged(graph, lambda proto: scale_constant(proto, -10000.0, 0.0))

    with pytest.raises(ParityError, match=f"{graph}, case .* differs from PyTorch"):
        check_graph(graph, run, model, tokenizer)


def test_a_leak_from_padding_too_small_to_see_is_found_by_garbage(
    runs: dict[str, Run], model: CFACK, tokenizer: CaptionTokenizer
) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        padded = np.abs(feed["text_tokens"]) * (1 - feed["attention_mask"][:, :, None])
        leak = (1e-4 * padded.mean(axis=(1, 2))).astype(np.float32)
        return {"match_logits": runs["reranker"](feed)["match_logits"] + leak[:, None]}

    with pytest.raises(ParityError, match="reranker, case 'garbage in padded slots', match_logits"):
        check_graph("reranker", run, model, tokenizer)


def test_rows_in_another_order_are_refused(
    runs: dict[str, Run], model: CFACK, tokenizer: CaptionTokenizer
) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        outputs = runs["image_encoder"](feed)
        return {name: values[::-1].copy() for name, values in outputs.items()}

    with pytest.raises(ParityError, match="image_encoder, case 'batch 2'"):
        check_graph("image_encoder", run, model, tokenizer)


def test_a_graph_that_cannot_run_another_batch_is_refused(
    runs: dict[str, Run], model: CFACK, tokenizer: CaptionTokenizer
) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if len(feed["pixels"]) != 2:
            raise BackendError("Got invalid dimensions")
        return runs["image_encoder"](feed)

    with pytest.raises(
        ParityError, match=r"'batch 1', inputs .*\(1, 32, 16, 3\).*: cannot be run: Got invalid"
    ):
        check_graph("image_encoder", run, model, tokenizer)


def test_images_come_in_three_batch_sizes_and_reach_both_ends_of_the_range(model: CFACK) -> None:
    cases = list(image_cases(model.config))

    assert [case.feed["pixels"].shape for case in cases] == [(b, 32, 16, 3) for b in (1, 2, 5)]
    assert cases[-1].feed["pixels"].min() == 0
    assert cases[-1].feed["pixels"].max() == 255


def test_captions_are_ragged_and_come_in_the_shortest_and_longest_lengths(
    model: CFACK, tokenizer: CaptionTokenizer
) -> None:
    cases = {case.name: case.feed for case in text_cases(model.config, tokenizer)}

    assert {feed["input_ids"].shape for feed in cases.values()} >= {(1, 3), (2, 7), (5, 12)}
    ragged = cases["batch 5, length 12"]
    assert ragged["attention_mask"].sum(axis=1).tolist() == [12, 3, 5, 12, 4]
    assert ragged["input_ids"][1].tolist()[3:] == [tokenizer.pad_id] * 9
    assert ragged["input_ids"][1][[0, 2]].tolist() == [tokenizer.cls_id, tokenizer.sep_id]
    for feed in cases.values():
        assert feed["input_ids"].max() < model.config.text.vocab_size


def test_garbage_lies_in_padded_slots_only(model: CFACK, tokenizer: CaptionTokenizer) -> None:
    case = next(c for c in text_cases(model.config, tokenizer) if "garbage" in c.name)
    padding = case.clean["attention_mask"] == 0

    assert (case.feed["input_ids"][padding] != case.clean["input_ids"][padding]).any()
    assert (case.feed["input_ids"][~padding] == case.clean["input_ids"][~padding]).all()
    assert case.counts is not None
    assert (case.counts == ~padding).all()


def test_pairs_put_one_beside_many_on_either_side(model: CFACK, rng: np.random.Generator) -> None:
    mask = np.ones((5, 12), np.int64)
    mask[1, 3:] = 0
    cases = list(pair_cases(np.ones((5, 12, 24), np.float32), mask, np.ones((5, 9, 32), np.float32)))

    batches = {case.name: (len(case.feed["text_tokens"]), len(case.feed["image_tokens"])) for case in cases}
    assert batches["one image, five texts"] == (5, 1)
    assert batches["one text, five images"] == (1, 5)
    dirty = cases[-1].feed["text_tokens"]
    assert np.abs(dirty[1, 3:]).max() > 100.0
    assert (dirty[mask == 1] == 1.0).all()


def test_the_reference_uses_the_names_of_the_contract(model: CFACK) -> None:
    *_, case = image_cases(model.config)

    outputs = reference("image_encoder", model, case.feed)

    assert {name: values.shape for name, values in outputs.items()} == {
        "image_embedding": (5, 16),
        "image_tokens": (5, 9, 32),
    }
