"""Encoders and re-ranker: batching, lengths and types."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfack_runtime.backends import Backend, open_backend
from cfack_runtime.encoders import IMAGE_BATCH, ImageEncoder, TextEncoder, images_per_call, pair_batch
from cfack_runtime.errors import BackendError, DataError, UsageError
from cfack_runtime.manifest import Geometry, TensorSpec
from cfack_runtime.rerank import Reranker
from cfack_runtime.tokenizer import CaptionTokenizer


class Recording:
    """A backend that notes the shapes of what it is fed."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.fed: list[dict[str, tuple[int, ...]]] = []

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self.backend.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self.backend.outputs

    def run(self, feed: Mapping[str, Any]) -> dict[str, Any]:
        self.fed.append({name: value.shape for name, value in feed.items()})
        return self.backend.run(feed)

    def close(self) -> None:
        self.backend.close()


@pytest.fixture
def opened(toy_graphs: Path) -> Iterator[dict[str, Recording]]:
    names = ("image_encoder", "text_encoder", "reranker")
    backends = {name: Recording(open_backend(toy_graphs / f"{name}.onnx", threads=1)) for name in names}
    yield backends
    for backend in backends.values():
        backend.close()


@pytest.fixture
def tokenizer(toy_tokenizer_json: str) -> CaptionTokenizer:
    return CaptionTokenizer.from_json(toy_tokenizer_json, 10)


def random_pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 12, 8, 3), dtype=np.uint8)


def test_a_graph_gets_no_more_images_at_once_than_it_is_good_at(
    opened: dict[str, Recording], toy_geometry: Geometry
) -> None:
    encoder = ImageEncoder(opened["image_encoder"], toy_geometry, 2)
    assert encoder.encode(random_pixels(5)).embedding.shape[0] == 5
    assert [fed["pixels"][0] for fed in opened["image_encoder"].fed] == [2, 2, 1]
    assert images_per_call(toy_geometry) == IMAGE_BATCH
    base = replace(toy_geometry, image_token_count=577, image_token_width=768)
    assert images_per_call(base) == 2
    assert images_per_call(replace(base, image_token_count=193)) == 7
    assert images_per_call(replace(base, image_token_count=4097)) == 1


def test_image_tokens_bound_how_many_pairs_go_into_a_call() -> None:
    assert pair_batch(577 * 768) == 33
    assert pair_batch(33 * 64) == pair_batch(10) == 256
    assert pair_batch(1 << 30) == pair_batch(1 << 30, "cuda") == 1
    assert pair_batch(577 * 768, "cuda") == 75


def test_images_are_encoded_in_batches_with_the_same_result(
    opened: dict[str, Recording], toy_geometry: Geometry
) -> None:
    encoder = ImageEncoder(opened["image_encoder"], toy_geometry)
    pixels = random_pixels(5)
    embedding, tokens = encoder.encode(pixels, batch_size=2)
    assert [fed["pixels"][0] for fed in opened["image_encoder"].fed] == [2, 2, 1]
    mean = pixels.mean(axis=(1, 2))
    np.testing.assert_allclose(embedding, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(tokens[:, 3, :3], pixels[:, 8:].mean(axis=(1, 2)) / 255, atol=1e-5)
    assert tokens.shape == (5, 4, 4)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 12, 8, 3), np.float32),
        np.zeros((12, 8, 3), np.uint8),
        np.zeros((1, 8, 12, 3), np.uint8),
        np.zeros((0, 12, 8, 3), np.uint8),
    ],
    ids=["float", "no batch", "transposed", "none"],
)
def test_pixels_of_another_form_are_refused(
    opened: dict[str, Recording], toy_geometry: Geometry, pixels: Any
) -> None:
    with pytest.raises(UsageError, match=r"expected uint8 \(B, 12, 8, 3\)"):
        ImageEncoder(opened["image_encoder"], toy_geometry).encode(pixels)


def test_captions_keep_their_order_and_are_padded_to_the_longest_of_their_batch(
    opened: dict[str, Recording], tokenizer: CaptionTokenizer
) -> None:
    encoder = TextEncoder(opened["text_encoder"], tokenizer)
    captions = ["a person in a green coat", "red", "a person in a blue coat", "green"]
    embedding, tokens, mask = encoder.encode(captions, batch_size=2)
    # [CLS] word [SEP] twice, then six words: nothing is padded to ten.
    assert [fed["input_ids"] for fed in opened["text_encoder"].fed] == [(2, 3), (2, 8)]
    np.testing.assert_allclose(embedding, [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]], atol=1e-5)
    assert mask.sum(axis=1).tolist() == [8, 3, 8, 3]
    assert tokens.shape == (4, 8, 4)
    np.testing.assert_array_equal(tokens[1, 3:], 0)
    np.testing.assert_array_equal(tokens[1, 1], [1, 0, 0, 0])


def test_an_empty_caption_is_named_by_its_index(
    opened: dict[str, Recording], tokenizer: CaptionTokenizer
) -> None:
    encoder = TextEncoder(opened["text_encoder"], tokenizer)
    with pytest.raises(DataError, match="caption 1"):
        encoder.encode(["red", "..."])
    with pytest.raises(UsageError, match="no caption"):
        encoder.encode([])


def test_pairs_are_matched_in_batches(opened: dict[str, Recording]) -> None:
    rng = np.random.default_rng(0)
    text, image = rng.random((5, 3, 4), np.float32), rng.random((5, 4, 4), np.float32)
    mask = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1]])
    logits = Reranker(opened["reranker"]).match(text, mask, image, batch_size=2)
    s = np.einsum("btc,bt,bc->b", text, mask, image[:, 3])
    np.testing.assert_allclose(logits, np.stack([2 - 4 * s, 4 * s - 2], axis=1), atol=1e-4)
    assert [fed["image_tokens"][0] for fed in opened["reranker"].fed] == [2, 2, 1]


def test_one_text_meets_many_images_and_one_image_many_texts(opened: dict[str, Recording]) -> None:
    rng = np.random.default_rng(0)
    text, image = rng.random((3, 2, 4), np.float32), rng.random((3, 4, 4), np.float32)
    mask = np.ones((3, 2), np.int64)
    reranker = Reranker(opened["reranker"])
    repeated = reranker.match(np.repeat(text[:1], 3, axis=0), mask, image)
    np.testing.assert_allclose(reranker.match(text[:1], mask[:1], image, batch_size=2), repeated, atol=1e-5)
    repeated = reranker.match(text, mask, np.repeat(image[:1], 3, axis=0))
    np.testing.assert_allclose(reranker.match(text, mask, image[:1], batch_size=2), repeated, atol=1e-5)
    assert opened["reranker"].fed[1]["text_tokens"] == (1, 2, 4)


def test_float16_image_tokens_are_converted_to_what_the_graph_takes(opened: dict[str, Recording]) -> None:
    image = np.zeros((1, 4, 4), np.float16)
    image[0, 3, 0] = 0.25
    text = np.array([[[1, 0, 0, 0]]], np.float32)
    logits = Reranker(opened["reranker"]).match(text, np.ones((1, 1), np.int64), image)
    np.testing.assert_allclose(logits, [[1, -1]])
    assert logits.dtype == np.float32


@pytest.mark.parametrize(("texts", "masks", "images"), [(2, 2, 3), (2, 1, 2), (0, 0, 2), (2, 2, 0)])
def test_numbers_that_make_no_pairs_are_refused(
    opened: dict[str, Recording], texts: int, masks: int, images: int
) -> None:
    with pytest.raises(UsageError, match=f"{texts} texts, {masks} masks and {images} images do not make"):
        Reranker(opened["reranker"]).match(
            np.zeros((texts, 2, 4), np.float32), np.ones((masks, 2), np.int64), np.zeros((images, 4, 4))
        )


def test_a_batch_size_of_nothing_is_refused(
    opened: dict[str, Recording], toy_geometry: Geometry, tokenizer: CaptionTokenizer
) -> None:
    with pytest.raises(UsageError, match="batch_size must be at least 1, got 0"):
        ImageEncoder(opened["image_encoder"], toy_geometry).encode(random_pixels(1), batch_size=0)
    with pytest.raises(UsageError, match="batch_size"):
        TextEncoder(opened["text_encoder"], tokenizer).encode(["red"], batch_size=0)
    with pytest.raises(UsageError, match="batch_size"):
        Reranker(opened["reranker"]).match(
            np.zeros((1, 1, 4)), np.ones((1, 1), np.int64), np.zeros((1, 4, 4)), batch_size=-1
        )


def test_an_output_that_is_not_finite_is_an_error_that_names_the_graph(
    opened: dict[str, Recording],
) -> None:
    image = np.zeros((2, 4, 4), np.float32)
    image[1] = np.nan
    with pytest.raises(BackendError, match="reranker: output of row 1 is not finite"):
        Reranker(opened["reranker"]).match(np.ones((1, 1, 4), np.float32), np.ones((1, 1), np.int64), image)
