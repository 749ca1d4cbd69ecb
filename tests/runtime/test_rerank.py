"""Re-ranking of many queries: plan, exactness, cache and memory; with the toy model."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfack_runtime.backends import open_backend
from cfack_runtime.encoders import EncodedTexts, length_buckets
from cfack_runtime.errors import UsageError
from cfack_runtime.rerank import Reranker
from cfack_runtime.rerank_candidates import match_candidates
from cfack_runtime.rerank_plan import PairCost, Pairs, plan_pairs
from cfack_runtime.rerank_tokens import TokenCache, read_ahead

BASE = {"tokens": 577, "width": 768, "image_width": 768}


@pytest.fixture
def reranker(toy_graphs: Path) -> Iterator[Reranker]:
    backend = open_backend(toy_graphs / "reranker.onnx", threads=1)
    yield Reranker(backend, None, backend)
    backend.close()


def places(*rows: list[int]) -> list[np.ndarray]:
    return [np.array(row, np.int64) for row in rows]


def test_at_base_size_three_texts_of_24_tokens_pay_for_an_images_keys() -> None:
    folded = PairCost(**BASE, folded=True)
    assert 2 < folded.texts_that_pay(24) <= 3
    assert folded.texts_that_pay(8) > folded.texts_that_pay(24) > folded.texts_that_pay(40)
    assert 1 < PairCost(**BASE, folded=False).texts_that_pay(24) <= 2


def test_a_small_model_goes_query_by_query() -> None:
    assert PairCost(33, 64, 64, folded=True).texts_that_pay(20) > 64


def test_a_plan_takes_every_pair_once_and_groups_what_is_shared() -> None:
    pairs = Pairs.of(places([5, 1, 7], [7, 5], [], [7, 2]))
    plan = plan_pairs(pairs, 3)
    assert [pairs.images[group].tolist() for group in plan.by_image] == [[7, 7, 7]]
    assert [pairs.queries[group].tolist() for group in plan.by_query] == [[0, 0], [1], [3]]
    assert pairs.images[plan.by_query[0]].tolist() == [1, 5]  # as they lie on the disk
    everything = np.sort(np.concatenate([*plan.by_image, *plan.by_query]))
    assert everything.tolist() == list(range(7))


def test_nothing_to_match_is_an_empty_plan() -> None:
    plan = plan_pairs(Pairs.of(places([], [])), 2)
    assert (plan.by_image, plan.by_query) == ([], [])


@pytest.mark.parametrize("folded", [True, False])
def test_by_image_and_by_query_give_the_logits_of_single_pairs(
    reranker: Reranker, monkeypatch: pytest.MonkeyPatch, folded: bool
) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((6, 4, 4)).astype(np.float16)
    mask = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
    texts = EncodedTexts(np.zeros((4, 3), np.float32), rng.random((4, 3, 4), np.float32), mask)
    candidates = places([0, 3, 5], [3, 0, 1, 2], [], [3])
    monkeypatch.setattr(PairCost, "texts_that_pay", lambda self, length: 2)
    read: list[int] = []

    def read_tokens(wanted: np.ndarray) -> np.ndarray:
        read.extend(wanted.tolist())
        return images[wanted]

    reported: list[tuple[int, int]] = []
    logits = match_candidates(
        reranker,
        texts,
        candidates,
        read_tokens,
        PairCost(4, 4, 4, folded),
        progress=lambda *call: reported.append(call),
    )
    assert [len(part) for part in logits] == [3, 4, 0, 1]
    for query, (wanted, got) in enumerate(zip(candidates, logits, strict=True)):
        for place, pair in zip(wanted, got, strict=True):
            s = texts.tokens[query, mask[query] == 1].sum(axis=0) @ images[place, 3]
            np.testing.assert_allclose(pair, [2 - 4 * s, 4 * s - 2], atol=1e-4)
    assert sorted(read) == [0, 1, 2, 3, 5]  # the shared ones once
    assert reported[-1] == (8, 8)


def test_captions_of_very_different_length_do_not_share_a_batch() -> None:
    lengths = np.array([40, 5, 6, 40, 5])
    assert [bucket.tolist() for bucket in length_buckets(lengths, 64)] == [[1, 4, 2], [0, 3]]
    assert [bucket.tolist() for bucket in length_buckets(lengths, 2)] == [[1, 4], [2, 0], [3]]
    assert length_buckets(np.empty(0, np.int64), 4) == []


class Tokens:
    """A gallery of which only tokens are asked; counts what is read."""

    def __init__(self, count: int) -> None:
        self.all = np.arange(count * 8, dtype=np.float16).reshape(count, 2, 4)
        self.reads: list[int] = []

    def tokens(self, wanted: np.ndarray) -> np.ndarray:
        self.reads.extend(wanted.tolist())
        return self.all[wanted]


def test_the_cache_reads_again_only_what_it_dropped() -> None:
    gallery: Any = Tokens(5)
    cache = TokenCache(limit_bytes=3 * 16)
    for wanted in ([0, 1, 2], [2, 0], [3, 0]):
        np.testing.assert_array_equal(cache.read(gallery, np.array(wanted)), gallery.all[wanted])
    assert gallery.reads == [0, 1, 2, 3]
    assert cache.used_bytes == 48
    cache.read(gallery, np.array([1]))  # the one that was not used for longest
    assert gallery.reads == [0, 1, 2, 3, 1]
    cache.clear()
    assert cache.used_bytes == 0


def test_the_cache_tells_galleries_apart_and_forgets_which_are_gone() -> None:
    cache = TokenCache(1 << 10)
    first: Any = Tokens(2)
    second: Any = Tokens(2)
    second.all += 100
    cache.read(first, np.array([1]))
    np.testing.assert_array_equal(cache.read(second, np.array([1])), second.all[[1]])
    del first
    gc.collect()
    third: Any = Tokens(2)
    third.all += 50
    np.testing.assert_array_equal(cache.read(third, np.array([1])), third.all[[1]])


def test_a_cache_of_nothing_reads_every_time() -> None:
    gallery: Any = Tokens(2)
    cache = TokenCache(0)
    for _ in range(2):
        cache.read(gallery, np.array([1]))
    assert gallery.reads == [1, 1]
    with pytest.raises(UsageError, match="0 or more bytes, got -1"):
        TokenCache(-1)


def test_threads_share_the_cache() -> None:
    gallery: Any = Tokens(40)
    cache = TokenCache(10 * 16)
    wrong: list[int] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(200):
            wanted = rng.integers(0, 40, 6)
            if not np.array_equal(cache.read(gallery, wanted), gallery.all[wanted]):
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.used_bytes <= 160


def test_reading_ahead_keeps_the_order_and_passes_errors_on() -> None:
    assert list(read_ahead([1, 2, 3], lambda item: item * 2)) == [(1, 2), (2, 4), (3, 6)]

    def fail(item: int) -> int:
        if item == 2:
            raise UsageError("two is broken")
        return item

    with pytest.raises(UsageError, match="two is broken"):
        list(read_ahead([1, 2, 3], fail))
