"""Data sets drawn in the three published layouts go all the way to batches."""

from pathlib import Path
from typing import Literal

import pytest

from cfack.config import load_config
from cfack.data.annotations import available_splits, read_split
from cfack.data.dataset import TrainingSet
from cfack.data.loader import build_loader
from cfack.data.prepare import prepare
from cfack.data.synthesize import synthesize
from cfack.data.vocabulary import build_tokenizer


@pytest.mark.parametrize("layout", ["cuhk", "icfg", "rstp"])
def test_a_drawn_data_set_is_prepared_and_loaded(
    tmp_path: Path, layout: Literal["cuhk", "icfg", "rstp"]
) -> None:
    root = tmp_path / layout
    drawn = synthesize(root, layout, identities=6, seed=3, workers=1)
    summary = prepare(layout, root, hold_out_val=1 if layout == "icfg" else 0)
    assert summary.skipped == ()
    assert available_splits(root) == ["train", "val", "test"]
    splits = [read_split(root, name) for name in ("train", "val", "test")]
    assert sum(split.num_identities for split in splits) == 6
    assert sum(len(split.records) for split in splits) == drawn.images
    assert sum(split.num_captions for split in splits) == drawn.captions

    config = load_config("tiny")
    captions = [caption for record in splits[0].records for caption in record.captions]
    tokenizer = build_tokenizer(captions, config.model.text.vocab_size, config.model.text.max_tokens)
    data = TrainingSet(splits[0], config, tokenizer)
    batch = next(iter(build_loader(data, 4, 0, seed=1, epoch=0)))
    assert batch.image_strong.shape == (4, 3, 96, 48)
    assert not (batch.original_ids == tokenizer.unk_id).any()
