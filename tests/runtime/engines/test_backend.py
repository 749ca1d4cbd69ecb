"""Engines on a stand-in of TensorRT: what is fed, what comes back, and who may use what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from cfack_runtime.backends import Backend, open_backend
from cfack_runtime.backends.engine_open import open_engines
from cfack_runtime.bundle import Bundle
from cfack_runtime.encoders import ImageEncoder, TextEncoder
from cfack_runtime.errors import BackendError


@pytest.fixture
def bundle(add_engines: Callable[..., Bundle]) -> Bundle:
    return add_engines()


@pytest.fixture
def engines(bundle: Bundle, tensorrt: Any) -> Iterator[dict[str, Backend]]:
    opened = open_engines(bundle, "fp32", "tensorrt")
    yield opened
    for engine in opened.values():
        engine.close()


def text(batch: int, length: int) -> dict[str, np.ndarray]:
    ids = np.tile(np.arange(length, dtype=np.int64) % 13, (batch, 1))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def test_engines_give_what_their_graphs_give(bundle: Bundle, engines: dict[str, Backend]) -> None:
    rng = np.random.default_rng(0)
    feeds = {
        "image_encoder": {"pixels": rng.integers(0, 256, (3, 12, 8, 3), dtype=np.uint8)},
        "text_encoder": text(2, 7),
        "reranker": {
            "text_tokens": rng.normal(size=(1, 5, 4)).astype(np.float32),
            "attention_mask": np.ones((1, 5), np.int64),
            "image_tokens": rng.normal(size=(6, 4, 4)).astype(np.float32),
        },
    }
    for name, feed in feeds.items():
        plain = open_backend(bundle.graph_path("fp32", name))
        got, expected = engines[name].run(feed), plain.run(feed)
        assert got.keys() == expected.keys()
        for output in expected:
            np.testing.assert_array_equal(got[output], expected[output])
        assert engines[name].inputs == plain.inputs
        assert engines[name].outputs == plain.outputs


def test_the_encoders_of_the_runtime_run_on_engines(bundle: Bundle, engines: dict[str, Backend]) -> None:
    images = ImageEncoder(engines["image_encoder"], bundle.manifest.geometry)
    red = np.zeros((9, 12, 8, 3), np.uint8)
    red[..., 0] = 255
    assert images.encode(red).embedding.round(3).tolist() == [[1, 0, 0]] * 9
    texts = TextEncoder(engines["text_encoder"], bundle.tokenizer)
    encoded = texts.encode(["a person in a blue coat", "red"], batch_size=4)
    assert encoded.embedding.round(3).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_each_profile_has_contexts_of_its_own(engines: dict[str, Backend], tensorrt: Any) -> None:
    for length in (3, 9, 4, 10, 2):
        engines["text_encoder"].run(text(1, length))
    assert [profile for _, profile in tensorrt.ran] == [0, 1, 0, 1, 0]
    assert len({context for context, _ in tensorrt.ran}) == tensorrt.contexts == 2


def test_threads_share_an_engine_but_never_a_context(engines: dict[str, Backend], tensorrt: Any) -> None:
    together = threading.Barrier(4)
    wrong: list[object] = []

    def work(word: int) -> None:
        together.wait()
        for _ in range(20):
            feed = {"input_ids": np.full((1, 3), word, np.int64), "attention_mask": np.ones((1, 3), np.int64)}
            embedding = engines["text_encoder"].run(feed)["text_embedding"]
            if embedding.round(2).tolist() != [[float(word == 9), float(word == 10), float(word == 11)]]:
                wrong.append(embedding)

    threads = [threading.Thread(target=work, args=(word,)) for word in (9, 10, 11, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(tensorrt.ran) == 80
    assert 1 <= tensorrt.contexts <= 4


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        (
            text(5, 4),
            r"got input_ids \[5, 4\].*outside of what the engine was built for.*\[1, 2\] to \[4, 4\]",
        ),
        (text(1, 11), r"got input_ids \[1, 11\].*\[1, 5\] to \[4, 10\].*use batches of that size, or build"),
        ({"input_ids": text(1, 3)["input_ids"]}, "input attention_mask is nothing, expected int64"),
        (
            {**text(1, 3), "more": text(1, 3)["input_ids"]},
            "takes input_ids, attention_mask, got attention_mask",
        ),
        (
            {name: values.astype(np.int32) for name, values in text(1, 3).items()},
            "input input_ids is int32, expected int64",
        ),
    ],
)
def test_a_feed_that_does_not_fit_is_refused(
    engines: dict[str, Backend], tensorrt: Any, feed: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(BackendError, match=message):
        engines["text_encoder"].run(feed)
    assert not tensorrt.ran


def test_a_failed_call_says_why_and_leaves_its_context_to_nobody(
    engines: dict[str, Backend], tensorrt: Any, memory: Any
) -> None:
    before = len(memory.blocks)
    tensorrt.failures = 1
    with pytest.raises(BackendError, match=r"tensorrt failed on input_ids \[1, 3\].*the GPU is on fire"):
        engines["text_encoder"].run(text(1, 3))
    assert len(memory.blocks) == before
    engines["text_encoder"].run(text(1, 3))
    assert tensorrt.contexts == 2


def test_closing_frees_the_memory_and_ends_the_calls(bundle: Bundle, tensorrt: Any, memory: Any) -> None:
    engine = open_engines(bundle, "fp32", "tensorrt")["text_encoder"]
    engine.run(text(2, 4))
    assert memory.blocks
    engine.close()
    engine.close()
    assert not memory.blocks
    with pytest.raises(BackendError, match="the engine was closed; open it again"):
        engine.run(text(2, 4))
