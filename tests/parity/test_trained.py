"""The gate on a model that was really trained."""

from pathlib import Path

import pytest

from cfack.data.annotations import read_split
from cfack.evaluation import evaluate
from cfack.modeling.checkpoint import load_checkpoint
from cfack_export.parity import ParityGate, SampleSize, sample_split
from cfack_export.parity.backends import open_graphs
from cfack_export.parity.torch_reference import torch_reference
from cfack_runtime.bundle import Bundle


@pytest.mark.slow
def test_the_reference_measures_what_evaluation_measures_and_fp32_keeps_every_rank(
    trained_tiny: Path,
) -> None:
    bundle = Bundle.open(trained_tiny / "person.cfack")
    model = load_checkpoint(trained_tiny / "run" / "best").eval()
    split = read_split(trained_tiny / "data", "val")
    gate = ParityGate(
        torch_reference(model, bundle.tokenizer, sample_split(split, bundle.tokenizer, SampleSize(rerank=16)))
    )

    with open_graphs(bundle, "fp32", backend="onnxruntime", device="cpu", threads=1) as graphs:
        report = gate.measure("fp32", graphs.backend, graphs.runs, profiles=graphs.profiles)

    expected = evaluate(model, bundle.tokenizer, split, rerank=16)
    assert report.failures == ()
    for stage, metrics in (("dual", expected.dual), ("reranked", expected.reranked)):
        found = report.stages[stage]
        assert metrics is not None
        assert found.reference.r1 == pytest.approx(metrics.r1)
        assert found.reference.mean_ap == pytest.approx(metrics.mean_ap, abs=0.05)
        assert len(found.flips.queries) <= 1
