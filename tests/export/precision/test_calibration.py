from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cfack.data.annotations import ImageRecord, Split, write_split
from cfack.modeling import CFACK
from cfack_export.graphs import geometry
from cfack_export.precision.calibration import CalibrationSamples, read_calibration
from cfack_export.precision.calibration_feeds import CalibrationFeeds
from cfack_export.precision.histograms import Histogram, read_histograms, write_histograms
from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.tokenizer import CaptionTokenizer


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten noisy images with two captions each."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    (folder / "imgs").mkdir()
    records = []
    for number in range(10):
        Image.fromarray(rng.integers(0, 256, (32, 16, 3), dtype=np.uint8)).save(folder / f"imgs/{number}.png")
        records.append(
            ImageRecord(f"{number}.png", number, ("a man in red", f"the woman {'with ' * number} bag"))
        )
    write_split(folder, Split("train", "noise", folder / "imgs", tuple(records)))
    return folder


@pytest.fixture(scope="session")
def draw(data: Path, model: CFACK, tokenizer: CaptionTokenizer) -> Callable[[int], CalibrationSamples]:
    return lambda count: read_calibration(data, geometry(model.config), tokenizer, count=count)


def test_samples_are_drawn_once_and_for_all(draw: Callable[[int], CalibrationSamples]) -> None:
    samples = draw(6)

    assert samples.to_json() == {
        "source": "train split of noise",
        "images": 6,
        "captions": 6,
        "sha256": draw(6).sha256,
    }
    assert draw(5).sha256 != samples.sha256
    assert draw(99).count == 10
    assert len(np.unique(samples.pixels.reshape(6, -1), axis=0)) == 6


def test_a_data_set_without_training_split_and_no_samples_are_errors(
    data: Path, model: CFACK, tokenizer: CaptionTokenizer, draw: Callable[[int], CalibrationSamples]
) -> None:
    with pytest.raises(UsageError, match="calibration with 0 samples"):
        draw(0)
    with pytest.raises(DataError, match="there is no val split, only train"):
        read_calibration(data, geometry(model.config), tokenizer, split="val")


def test_the_reranker_meets_what_the_encoders_rank_first(
    fp32: Path, draw: Callable[[int], CalibrationSamples], run_file: Callable[..., Callable[..., dict]]
) -> None:
    samples = draw(6)
    feeds = CalibrationFeeds(
        samples, {name: fp32 / f"{name}.onnx" for name in ("image_encoder", "text_encoder")}
    )
    images = run_file(fp32 / "image_encoder.onnx")({"pixels": samples.pixels})
    texts = run_file(fp32 / "text_encoder.onnx")(
        {"input_ids": samples.input_ids, "attention_mask": samples.attention_mask}
    )
    scores = texts["text_embedding"] @ images["image_embedding"].T
    first = np.argsort(-scores, axis=1)[:, :4]
    assert len(np.unique(first, axis=0)) > 1  # not the same images for every caption

    for graph in ("reranker", "reranker_one_text"):
        calls = feeds.of(graph)
        assert len(calls) == 6
        for row, call in enumerate(calls):
            np.testing.assert_allclose(call["image_tokens"], images["image_tokens"][first[row]], atol=1e-5)
            assert call["text_tokens"].shape[:2] == (
                1 if "one" in graph else 4,
                samples.attention_mask[row].sum(),
            )
            run_file(fp32 / f"{graph}.onnx")(call)
    call = feeds.of("reranker_one_image")[2]
    texts_first = np.argsort(-scores[:, 2])[:4]
    np.testing.assert_array_equal(
        call["attention_mask"].sum(axis=1), samples.attention_mask[texts_first].sum(axis=1)
    )


def test_histograms_are_read_back(tmp_path: Path, rng: np.random.Generator) -> None:
    histograms = {"a/MatMul": Histogram(), "b": Histogram()}
    histograms["a/MatMul"].add(rng.normal(size=100))
    write_histograms(tmp_path / "graph.npz", histograms)

    again = read_histograms(tmp_path / "graph.npz")
    assert list(again) == ["a/MatMul", "b"]
    np.testing.assert_array_equal(again["a/MatMul"].counts, histograms["a/MatMul"].counts)
    assert again["a/MatMul"].largest == histograms["a/MatMul"].largest
    assert (again["b"].width, again["b"].largest) == (0, 0)
