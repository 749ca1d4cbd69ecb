"""The gate on a split: what changes what a user finds is refused, and said."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cfack_export.parity import (
    ParityGate,
    Reference,
    Run,
    SampleSize,
    SplitSample,
    cross_matrix,
    load_reference,
    parity_document,
    sample_split,
)
from cfack_export.parity.verify import bundle_reference
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import BackendError, DataError, UsageError

Outputs = Mapping[str, NDArray[Any]]


@pytest.fixture
def reference(bundle: Bundle, sample: SplitSample) -> Reference:
    return bundle_reference(bundle, sample, threads=1)


@pytest.fixture
def gate(reference: Reference) -> ParityGate:
    return ParityGate(reference)


def changed(runs: Mapping[str, Run], graph: str, change: Any) -> dict[str, Run]:
    """The graphs with one whose outputs are changed."""

    def run(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        return change({name: values.copy() for name, values in runs[graph](feed).items()})

    return {**runs, graph: run}


def test_healthy_graphs_pass_and_everything_is_reported(gate: ParityGate, runs: dict[str, Run]) -> None:
    report = gate.measure("fp32", "a backend", runs)

    assert report.failures == ()
    summary = report.summary()
    assert summary["passed"] is True
    assert (summary["split_images"], summary["split_captions"]) == (6, 6)
    assert summary["dual_r1_change"] == summary["reranked_r1_change"] == 0
    assert summary["dual_top10_overlap"] == 1
    assert all(isinstance(value, bool | int | float | str) for value in summary.values())
    document = parity_document([report])
    json.dumps(document, allow_nan=False)
    assert document["precisions"]["fp32"]["backends"]["a backend"]["retrieval"]["dual"]["queries"] == 6
    assert document["split"]["sha256"] == report.sample.sha256  # type: ignore[union-attr]


def test_embeddings_of_another_image_are_refused_by_rank_and_retrieval(
    gate: ParityGate, runs: dict[str, Run]
) -> None:
    def turn(outputs: dict[str, NDArray[Any]]) -> Outputs:
        outputs["image_embedding"] = np.roll(outputs["image_embedding"], 1, axis=1)
        return outputs

    report = gate.measure("int8", "a backend", changed(runs, "image_encoder", turn))

    text = "; ".join(report.failures)
    assert "image_embedding of the split: image" in text
    assert "retrieval, dual encoder: R@1 falls by" in text
    assert "which the reference scored" in text
    assert report.failures[0].startswith("image_encoder, case 'batch 1', image_embedding: differs from ")
    assert report.drop > 0.5


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_a_refusal_is_known_before_anything_is_reranked(
    shift: float, gate: ParityGate, runs: dict[str, Run]
) -> None:
    matched: list[int] = []

    def spoil(outputs: dict[str, NDArray[Any]]) -> Outputs:
        embedding = outputs["image_embedding"]
        real = len(embedding) == 6  # as many as the gallery, and no batch of the cases
        outputs["image_embedding"] = np.roll(embedding, 1, axis=1) if real else embedding + shift
        return outputs

    def count(outputs: dict[str, NDArray[Any]]) -> Outputs:
        matched.append(len(outputs["match_logits"]))
        return outputs

    spoiled = changed(changed(runs, "image_encoder", spoil), "reranker", count)
    report = gate.measure("int8", "a backend", spoiled, until_refused=True)
    cases = len(matched)
    whole = gate.measure("int8", "a backend", spoiled)

    assert not report.passed
    assert list(report.stages) == ([] if shift else ["dual"])
    assert list(whole.stages) == ["dual", "reranked"]
    assert report.failures == whole.failures[: len(report.failures)]
    assert len(matched) > 2 * cases  # the second time pairs of the split too


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int8-cpu"])
def test_a_constant_reranker_is_refused(precision: str, gate: ParityGate, runs: dict[str, Run]) -> None:
    def constant(outputs: dict[str, NDArray[Any]]) -> Outputs:
        return {"match_logits": np.zeros_like(outputs["match_logits"])}

    report = gate.measure(precision, "a backend", changed(runs, "reranker", constant))

    assert any(sentence.startswith("reranker, match_logits of the split") for sentence in report.failures)


def test_nan_on_real_images_only_is_refused_and_not_ranked(gate: ParityGate, runs: dict[str, Run]) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        outputs = {name: values.copy() for name, values in runs["image_encoder"](feed).items()}
        if len(feed["pixels"]) == 6:  # as many as the gallery, and no batch of the cases
            outputs["image_embedding"][:] = np.nan
        return outputs

    report = gate.measure("int8", "a backend", {**runs, "image_encoder": run})

    assert report.failures[0].startswith("retrieval cannot be measured: image_encoder, image ")
    assert report.stages == {}
    assert report.drop == float("inf")


def test_a_graph_that_fails_on_the_split_is_refused(gate: ParityGate, runs: dict[str, Run]) -> None:
    def run(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        raise BackendError("out of memory")

    report = gate.measure("fp32", "a backend", {**runs, "text_encoder": run})

    assert "cannot be run: out of memory" in report.failures[0]
    assert report.failures[-1] == "retrieval cannot be measured: out of memory"


def test_a_missing_graph_is_an_error_of_the_caller(gate: ParityGate, runs: dict[str, Run]) -> None:
    with pytest.raises(UsageError, match="fp32: the gate was given no text_encoder and no reranker"):
        gate.measure("fp32", "a backend", {"image_encoder": runs["image_encoder"]})


def test_the_cross_matrix_says_which_galleries_may_stay(
    gate: ParityGate, reference: Reference, runs: dict[str, Run]
) -> None:
    def turn(outputs: dict[str, NDArray[Any]]) -> Outputs:
        outputs["image_embedding"] = np.roll(outputs["image_embedding"], 1, axis=1)
        return outputs

    good, bad = (
        gate.measure("fp32", "b", runs),
        gate.measure("int8", "b", changed(runs, "image_encoder", turn)),
    )

    reranker = partial(nullcontext, runs["reranker"])
    matrix = cross_matrix(reference, [good, bad], {"fp32": reranker, "int8": reranker})

    assert matrix is not None
    assert matrix["fp32"]["int8"]["compatible"] is True  # its text encoder is whole
    assert matrix["int8"]["fp32"]["compatible"] is False
    assert matrix["int8"]["fp32"]["dual"]["r1_change"] < 0
    assert "reranked" in matrix["fp32"]["int8"]
    assert cross_matrix(reference, [good]) is None


def test_a_gpu_is_given_as_many_pairs_as_the_runtime_gives_it(
    gate: ParityGate, reference: Reference, runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cfack_export.parity import features

    monkeypatch.setattr(features, "pair_batch", lambda values, device: 2 if device == "cpu" else 5)
    pairs: list[int] = []

    def count(feed: Mapping[str, NDArray[Any]]) -> Outputs:
        pairs.append(len(feed["image_tokens"]))
        return runs["reranker"](feed)

    def most_at_once(device: str) -> list[int]:
        monkeypatch.setattr(gate, "check_graph", lambda name, run, *rest: checked[name])
        reports = [
            gate.measure(name, "b", {**runs, "reranker": count}, device=device) for name in ("fp32", "int8")
        ]
        of_gate = max(pairs)
        pairs.clear()
        opening = {name: partial(nullcontext, count) for name in ("fp32", "int8")}
        assert cross_matrix(reference, reports, opening, device=device) is not None
        of_matrix = max(pairs)
        pairs.clear()
        return [of_gate, of_matrix]

    checked = {
        name: gate.check_graph(name, runs[name], gate.limits("fp32"))
        for name in ("image_encoder", "text_encoder", "reranker")
    }
    assert most_at_once("cpu") == [2, 2]
    assert most_at_once("cuda:0") == [5, 5]


def test_a_reference_is_read_back_for_the_same_inputs_only(reference: Reference, tmp_path: Path) -> None:
    key = reference.inputs.key("weights")
    reference.save(tmp_path / "reference.npz", key)

    again = load_reference(tmp_path / "reference.npz", reference.inputs, key)

    assert again.name == reference.name
    for name, values in reference.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], values)
    with pytest.raises(UsageError, match="is the reference of other weights or data"):
        load_reference(tmp_path / "reference.npz", reference.inputs, reference.inputs.key("other weights"))


def test_a_sample_takes_whole_identities_and_is_the_same_again(bundle: Bundle, data: Path) -> None:
    from cfack.data.annotations import read_split

    split = read_split(data, "test")
    size = SampleSize(images=4, queries=3, rerank=2, reranked_queries=2)

    sample, again = (sample_split(split, bundle.tokenizer, size) for _ in range(2))

    assert (len(sample.paths), len(sample.captions), sample.candidates, sample.reranked_queries) == (
        4,
        3,
        2,
        2,
    )
    assert set(sample.query_identities) <= set(sample.image_identities)
    assert sample.sha256 == again.sha256
    assert sample.sha256 != sample_split(split, bundle.tokenizer, SampleSize()).sha256
    with pytest.raises(DataError, match="gives 1 images of one identity"):
        sample_split(split, bundle.tokenizer, SampleSize(images=1))
    with pytest.raises(UsageError, match="queries is 0, expected a positive number"):
        SampleSize(queries=0)
