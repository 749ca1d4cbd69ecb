import os
import pickle
import signal
from collections.abc import Callable

import numpy as np
import pytest
import torch

from cfack.config import ExperimentConfig, with_overrides
from cfack.data.annotations import Split
from cfack.data.batch import TrainingBatch
from cfack.data.dataset import TrainingSample, TrainingSet
from cfack.data.loader import batches_per_epoch, build_loader
from cfack_runtime.errors import ConfigError, ImageError, TrainingError
from cfack_runtime.tokenizer import CaptionTokenizer

Content = Callable[[TrainingSample], tuple[object, ...]]


class CountingSet(TrainingSet):
    """Remembers which samples were drawn in this process."""

    drawn: list[int]

    def __getitem__(self, index: int) -> TrainingSample:
        self.drawn.append(index)
        return super().__getitem__(index)


@pytest.fixture
def data(split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer) -> CountingSet:
    data = CountingSet(split, config, tokenizer)
    data.drawn = []
    return data


def same(first: TrainingBatch, second: TrainingBatch) -> bool:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_an_epoch_draws_each_pair_at_most_once_and_drops_the_rest(data: CountingSet) -> None:
    loader = build_loader(data, 4, 0, seed=1, epoch=0)
    assert len(loader) == batches_per_epoch(len(data), 4) == 2
    assert [len(batch) for batch in loader] == [4, 4]
    assert len(set(data.drawn)) == len(data.drawn) == 8


def test_the_order_follows_from_seed_and_epoch(data: CountingSet) -> None:
    orders = []
    for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0)):
        data.drawn.clear()
        list(build_loader(data, 3, 0, seed, epoch))
        orders.append(list(data.drawn))
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != orders[3]


def test_the_loader_sets_the_epoch_of_the_views(data: CountingSet) -> None:
    first = next(iter(build_loader(data, 4, 0, seed=1, epoch=0)))
    list(build_loader(data, 4, 0, seed=1, epoch=1))
    assert same(next(iter(build_loader(data, 4, 0, seed=1, epoch=0))), first)


def test_a_resumed_epoch_goes_on_without_loading_what_was_done(data: CountingSet) -> None:
    whole = list(build_loader(data, 2, 0, seed=3, epoch=2))
    data.drawn.clear()
    rest = build_loader(data, 2, 0, seed=3, epoch=2, start_batch=3)
    assert len(rest) == 2
    assert all(same(a, b) for a, b in zip(rest, whole[3:], strict=True))
    assert len(data.drawn) == 4
    assert len(build_loader(data, 2, 0, seed=3, epoch=2, start_batch=5)) == 0


def test_worker_processes_give_the_same_batches(data: CountingSet) -> None:
    alone = list(build_loader(data, 3, 0, seed=1, epoch=4))
    data.drawn.clear()
    together = list(build_loader(data, 3, 2, seed=1, epoch=4))
    assert data.drawn == []
    assert len(together) == 3
    assert all(same(a, b) for a, b in zip(together, alone, strict=True))


def test_processes_share_each_global_batch(data: CountingSet) -> None:
    one = list(build_loader(data, 4, 0, seed=1, epoch=0))
    shares = [list(build_loader(data, 2, 0, seed=1, epoch=0, rank=r, world_size=2)) for r in range(2)]
    assert [len(share) for share in shares] == [2, 2]
    for whole, left, right in zip(one, *shares, strict=True):
        assert torch.equal(whole.original_ids, torch.cat([left.original_ids, right.original_ids]))
        assert torch.equal(whole.image_strong, torch.cat([left.image_strong, right.image_strong]))


def test_too_few_pairs_for_a_batch_are_refused(data: CountingSet) -> None:
    with pytest.raises(
        ConfigError, match=r"11 pairs do not fill a batch of 6 on 2 processes; make data\.batch"
    ):
        build_loader(data, 6, 0, seed=1, epoch=0, world_size=2)


def test_neither_order_nor_views_touch_the_global_generators(data: CountingSet) -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002  the global generator is what is looked at
    before = torch.random.get_rng_state(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    list(build_loader(data, 4, 0, seed=1, epoch=0))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert pickle.dumps(np.random.get_state()) == before[1]  # noqa: NPY002


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_names_its_file_and_two_ways_on(
    data: CountingSet, split: Split, workers: int
) -> None:
    split.path(2).unlink()
    with pytest.raises(ImageError) as caught:
        list(build_loader(data, 5, workers, seed=1, epoch=0))
    message = str(caught.value)
    assert message.startswith(f"{split.path(2)}: no such file. Put the image right and go on with --resume")
    assert "--skip-bad" in message


@pytest.mark.gpu
def test_batches_for_a_gpu_lie_in_pinned_memory(data: CountingSet) -> None:
    batch = next(iter(build_loader(data, 4, 2, seed=1, epoch=0)))
    assert all(tensor.is_pinned() for tensor in vars(batch).values())
    assert same(batch.to("cuda").to("cpu"), batch)


class DyingSet(TrainingSet):
    """Kills the process that draws from it, as the system does when memory runs out."""

    def __getitem__(self, index: int) -> TrainingSample:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_a_killed_worker_is_explained(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    with pytest.raises(TrainingError, match=r"one of 1 data-loading processes died.*data\.num_workers"):
        list(build_loader(DyingSet(split, config, tokenizer), 4, 1, seed=1, epoch=0))


def test_a_training_set_can_be_sent_to_a_process_that_is_not_forked(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer, content: Content
) -> None:
    config = with_overrides(config, data={"cache_images": True})
    data = TrainingSet(split, config, tokenizer)
    copy = pickle.loads(pickle.dumps(data))
    assert content(copy[3]) == content(data[3])
