import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cfack.modeling import CFACK, normalize_pixels
from cfack_export import export_run, graphs
from cfack_export.export import export_bundle
from cfack_export.options import ExportOptions
from cfack_runtime.backends import open_backend
from cfack_runtime.bundle import Bundle
from cfack_runtime.encoders import ImageEncoder, TextEncoder
from cfack_runtime.errors import BackendError, CheckpointError, ParityError, UsageError
from cfack_runtime.files import move_folder
from cfack_runtime.graph_contract import GRAPHS
from cfack_runtime.rerank import Reranker
from cfack_runtime.tokenizer import CaptionTokenizer


def test_the_runtime_finds_in_the_bundle_what_pytorch_computes(
    bundle: Bundle, model: CFACK, tokenizer: CaptionTokenizer, rng: np.random.Generator
) -> None:
    backends = [open_backend(bundle.graph_path("fp32", name), threads=1) for name in GRAPHS]
    pixels = rng.integers(0, 256, (3, 32, 16, 3), dtype=np.uint8)
    captions = ["a man in a red coat", "the woman with white hair", "girl"]

    images = ImageEncoder(backends[0], bundle.manifest.geometry).encode(pixels)
    texts = TextEncoder(backends[1], bundle.tokenizer).encode(captions)
    logits = Reranker(backends[2]).match(texts.tokens[:1], texts.mask[:1], images.tokens)

    encoded = tokenizer.encode(captions)
    ids, mask = torch.from_numpy(encoded.input_ids), torch.from_numpy(encoded.attention_mask)
    with torch.inference_mode():
        expected_images = model.encode_image(normalize_pixels(torch.from_numpy(pixels)))
        expected_texts = model.encode_text(ids, mask)
        expected_logits = model.match(expected_texts.tokens[:1], mask[:1], expected_images.tokens)
    np.testing.assert_allclose(images.embedding, expected_images.embedding.numpy(), atol=1e-5)
    np.testing.assert_allclose(texts.embedding, expected_texts.embedding.numpy(), atol=1e-5)
    np.testing.assert_allclose(logits, expected_logits.numpy(), atol=1e-4)


def test_progress_counts_every_step_once(bundle: Bundle, progress_calls: list[tuple[int, int]]) -> None:
    totals = {total for _, total in progress_calls}
    assert len(totals) == 1
    assert progress_calls[0][0] == 0
    assert progress_calls[-1][0] == totals.pop()
    assert progress_calls == sorted(progress_calls)


def test_the_work_leaves_nothing_beside_the_bundle(bundle: Bundle) -> None:
    assert [path.name for path in bundle.path.parent.iterdir()] == ["tiny.cfack"]


def test_parity_is_recorded_for_every_output_and_summed_up_in_the_manifest(bundle: Bundle) -> None:
    document = json.loads((bundle.path / "parity.json").read_text())
    report = document["precisions"]["fp32"]

    assert document["reference"].startswith("PyTorch 2.")
    assert report["passed"] is True
    assert report["failures"] == []
    ((backend, measured),) = report["backends"].items()
    assert backend.startswith("ONNX Runtime 1.")
    assert {graph: list(outputs) for graph, outputs in measured["graphs"].items()} == {
        "image_encoder": ["image_embedding", "image_tokens"],
        "text_encoder": ["text_embedding", "text_tokens"],
        "reranker": ["match_logits"],
        "reranker_one_text": ["match_logits"],
        "reranker_one_image": ["match_logits"],
    }
    for graph, outputs in measured["graphs"].items():
        error = max(figures["error"] for figures in outputs.values())
        assert 0 <= error < 3e-6, graph
        assert bundle.manifest.parity["fp32"][f"{graph}_error"] == error
    assert bundle.manifest.parity["fp32"]["retrieval_measured"] is False


def test_the_readme_says_how_to_search_and_what_the_model_is(bundle: Bundle) -> None:
    text = (bundle.path / "README.md").read_text()

    assert text.startswith("# tiny.cfack\n")
    assert "cfack index photos/ --bundle tiny.cfack --out gallery/" in text
    assert 'Retriever.open("tiny.cfack")' in text
    assert "32 x 16 pixels (height x width)" in text
    assert bundle.embedding_space in text
    assert bundle.manifest.checkpoint_sha256 in text
    assert "| fp32 | passed |" in text
    assert "Retrieval was not measured" in text
    assert "{" not in text


def test_weights_that_only_training_uses_stay_behind(bundle: Bundle, checkpoint: Path) -> None:
    graphs_size = sum(bundle.graph("fp32", name).file.size for name in GRAPHS)

    # The momentum copies alone double the encoders; the graphs bring their operators along.
    assert graphs_size < (checkpoint / "model.safetensors").stat().st_size


def test_pixels_scaled_a_little_wrong_are_refused_and_nothing_is_written(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "normalize_pixels", lambda pixels: 1.002 * normalize_pixels(pixels))

    said = r"\(CPU\): image_encoder, case 'batch 1', image_embedding: differs from .* allowed is 2e-05"
    with pytest.raises(ParityError, match=said):
        export_bundle(checkpoint, tmp_path / "tiny.cfack", ExportOptions(cache=None))
    assert not list(tmp_path.iterdir())


def test_a_dropped_mask_is_refused_and_an_older_bundle_stays(
    checkpoint: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(
        self: graphs.TextEncoderGraph, input_ids: Tensor, attention_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        features = self.model.encode_text(input_ids, attention_mask * 0 + 1)
        return features.embedding, features.tokens

    monkeypatch.setattr(graphs.TextEncoderGraph, "forward", forward)
    shutil.copytree(bundle.path, tmp_path / "tiny.cfack")

    said = r"\(CPU\): text_encoder, case 'garbage in padded slots', text_embedding: what lies in padded slots"
    with pytest.raises(ParityError, match=said):
        export_bundle(checkpoint, tmp_path / "tiny.cfack", ExportOptions(cache=None), overwrite=True)
    assert Bundle.open(tmp_path / "tiny.cfack").manifest == bundle.manifest
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.cfack"]


def test_what_is_at_the_name_already_is_refused_before_the_work(
    checkpoint: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_run, "load_experiment", lambda path: pytest.fail("the checkpoint was read"))

    with pytest.raises(UsageError, match=r"tiny\.cfack exists; choose another name, or .* --overwrite"):
        export_bundle(checkpoint, bundle.path)


def test_a_file_at_the_name_is_never_replaced(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.cfack").write_text("notes")

    with pytest.raises(UsageError, match="exists"):
        export_bundle(checkpoint, tmp_path / "tiny.cfack", overwrite=True)
    assert (tmp_path / "tiny.cfack").read_text() == "notes"


def test_a_checkpoint_without_tokenizer_says_how_to_add_one(checkpoint: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint, tmp_path / "bare")
    (copy / "tokenizer.json").unlink()

    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json: put .* there, or .* --tokenizer"):
        export_bundle(copy, tmp_path / "tiny.cfack")
    assert not (tmp_path / "tiny.cfack").exists()


def test_a_place_that_takes_no_files_is_one_sentence(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("a file")

    with pytest.raises(UsageError, match=r"notes: takes no files .*; name another place with --out"):
        export_bundle(checkpoint, tmp_path / "notes" / "tiny.cfack", ExportOptions(cache=None))
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_a_killed_export_leaves_nothing_for_longer_than_the_next(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned = tmp_path / ".tiny.cfack.export-killed"
    abandoned.mkdir()
    (abandoned / "running").touch()
    beside: list[list[str]] = []

    def move(folder: Path, out: Path, *, overwrite: bool) -> None:
        beside.append([path.name for path in tmp_path.iterdir()])
        move_folder(folder, out, overwrite=overwrite)

    monkeypatch.setattr(export_run, "move_folder", move)
    export_bundle(checkpoint, tmp_path / "tiny.cfack")

    (scratch,) = beside[0]  # everything that is not finished is in it
    assert scratch.startswith(".tiny.cfack.export-")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.cfack"]


def test_a_missing_onnx_runtime_is_named_before_the_work(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(export_run, "load_experiment", lambda path: pytest.fail("the checkpoint was read"))

    with pytest.raises(BackendError, match=r"onnxruntime cannot be imported; `pip install 'cfack\[cpu\]'`"):
        export_bundle(checkpoint, tmp_path / "tiny.cfack")
