"""The gate on a GPU, where FP16 is computed and not emulated, and the figures of a whole split."""

from pathlib import Path

import pytest
import torch

from cfack.data.annotations import read_split
from cfack.evaluation import evaluate, evaluate_bundle
from cfack.modeling.checkpoint import load_checkpoint
from cfack_export.export import export_bundle
from cfack_export.options import ExportOptions
from cfack_export.parity.verify import checkpoint_reference, read_sample, verify_bundle
from cfack_runtime.bundle import Bundle
from cfack_runtime.retriever import Retriever

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def two_precisions(trained_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model's bundle with FP16."""
    out = tmp_path_factory.mktemp("gpu") / "half.cfack"
    export_bundle(trained_tiny / "run" / "best", out, ExportOptions(precisions=["fp16"]))
    return out


def test_both_precisions_pass_against_pytorch(two_precisions: Path, trained_tiny: Path) -> None:
    bundle = Bundle.open(two_precisions)
    sample = read_sample(bundle, trained_tiny / "data", "test")
    reference = checkpoint_reference(bundle, trained_tiny / "run" / "best", sample)

    found = verify_bundle(bundle, reference, device="cuda")

    assert {report.precision: report.failures for report in found.reports} == {"fp32": (), "fp16": ()}
    assert all("emulated" not in report.backend for report in found.reports)


def test_an_evaluation_gives_the_figures_of_a_cpu(two_precisions: Path, trained_tiny: Path) -> None:
    split = read_split(trained_tiny / "data", "test")
    bundle = Bundle.open(two_precisions)
    model = load_checkpoint(trained_tiny / "run" / "best")
    expected = evaluate(model, bundle.tokenizer, split, rerank=32, device="cpu")
    found = {"pytorch": evaluate(model, bundle.tokenizer, split, rerank=32, device="cuda")}
    for precision in ("fp32", "fp16"):
        with Retriever.open(two_precisions, device="cuda", precision=precision) as retriever:
            found[precision] = evaluate_bundle(retriever, split, rerank=32).result

    assert torch.cuda.memory_allocated() > 0
    assert expected.reranked is not None
    for name, result in found.items():
        assert result.reranked is not None
        # One of some 600 queries is 0.16 points.
        tolerance = 0.5 if name == "fp16" else 0.2
        assert result.dual.r1 == pytest.approx(expected.dual.r1, abs=tolerance), name
        assert result.reranked.r1 == pytest.approx(expected.reranked.r1, abs=tolerance), name
        assert result.reranked.mean_ap == pytest.approx(expected.reranked.mean_ap, abs=tolerance), name
