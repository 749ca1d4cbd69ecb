import numpy as np
import pytest
import torch

from cfack.config import ExperimentConfig, with_overrides
from cfack.data.annotations import Split
from cfack.data.batch import IMAGENET_MEAN, IMAGENET_STD, TrainingBatch, collate
from cfack.data.dataset import TrainingSet
from cfack_runtime.images import PIXEL_MEAN, PIXEL_STD
from cfack_runtime.tokenizer import CaptionTokenizer


@pytest.fixture
def data(split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer) -> TrainingSet:
    return TrainingSet(split, config, tokenizer)


def test_a_batch_has_the_shapes_and_types_that_training_takes(data: TrainingSet) -> None:
    batch = collate([data[i] for i in range(5)])
    assert len(batch) == 5
    for name in ("image_weak", "image_strong", "image_cnn"):
        images = getattr(batch, name)
        assert (images.shape, images.dtype) == ((5, 3, 96, 48), torch.float32), name
        assert images.is_contiguous()
    for name in ("original_ids", "original_mask", "augmented_ids", "augmented_mask", "masked_ids"):
        assert (getattr(batch, name).shape, getattr(batch, name).dtype) == ((5, 40), torch.int64), name
    for name in ("masked_positions", "masked_labels"):
        assert (getattr(batch, name).shape, getattr(batch, name).dtype) == ((5, 12), torch.int64), name
    assert (batch.identity.shape, batch.identity.dtype) == ((5,), torch.int64)


def test_images_are_normalised_by_the_constants_of_their_encoder(data: TrainingSet) -> None:
    sample = data[3]
    batch = collate([data[0], sample])
    scaled = sample.weak.astype(np.float64) / 255
    expected = ((scaled - PIXEL_MEAN) / PIXEL_STD).transpose(2, 0, 1)
    np.testing.assert_allclose(batch.image_weak[1].numpy(), expected, atol=2e-6)
    assert batch.image_cnn is not None
    expected = ((scaled - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)
    np.testing.assert_allclose(batch.image_cnn[1].numpy(), expected, atol=2e-6)


def test_erased_boxes_are_zero_and_nothing_else_is(data: TrainingSet) -> None:
    samples = [data[i] for i in range(11)]
    batch = collate(samples)
    erased = 0
    for image, sample in zip(batch.image_strong, samples, strict=True):
        box, zero = sample.strong.erased, image == 0
        if box is None:
            assert not zero.any()
            continue
        erased += 1
        assert zero[:, box.top : box.top + box.height, box.left : box.left + box.width].all()
        assert zero.sum() == 3 * box.height * box.width
    assert 2 <= erased <= 10
    assert not (batch.image_weak == 0).any()


def test_masks_are_one_on_tokens(data: TrainingSet, tokenizer: CaptionTokenizer) -> None:
    batch = collate([data[i] for i in range(11)])
    assert torch.equal(batch.original_mask, (batch.original_ids != tokenizer.pad_id).long())
    assert torch.equal(batch.augmented_mask, (batch.augmented_ids != tokenizer.pad_id).long())


def test_masked_captions_can_be_restored_from_their_labels(data: TrainingSet) -> None:
    batch = collate([data[i] for i in range(11)])
    assert batch.masked_ids is not None
    assert batch.masked_positions is not None
    assert batch.masked_labels is not None
    restored = batch.masked_ids.clone()
    for row in range(11):
        real = batch.masked_labels[row] != -100
        restored[row, batch.masked_positions[row][real]] = batch.masked_labels[row][real]
    assert torch.equal(restored, batch.original_ids)
    assert not torch.equal(batch.masked_ids, batch.original_ids)


def test_what_the_model_does_not_have_is_none(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    config = with_overrides(config, model={"cnn": None, "mlm": False})
    data = TrainingSet(split, config, tokenizer)
    batch = collate([data[0], data[1]]).to("cpu")
    assert batch.image_cnn is None
    assert batch.masked_ids is None
    assert batch.masked_positions is None
    assert batch.masked_labels is None


def test_a_batch_moves_as_a_whole(data: TrainingSet) -> None:
    moved = collate([data[0]]).to("meta")
    assert isinstance(moved, TrainingBatch)
    assert {tensor.device.type for tensor in vars(moved).values()} == {"meta"}
