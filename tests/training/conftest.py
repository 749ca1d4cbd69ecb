from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cfack.config import (
    AugmentConfig,
    CnnConfig,
    DataConfig,
    ExperimentConfig,
    LoopConfig,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
    TextConfig,
    VisionConfig,
    with_overrides,
)
from cfack.data.annotations import ImageRecord, Split, write_split

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 60, 210), "white": (240, 240, 240)}
SPLITS = {"train": ("red", "green", "blue", "white"), "val": ("red", "blue"), "test": ("green", "white")}


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared data set: people in coats of one colour, three images each, 14 pairs to train on."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for split, colours in SPLITS.items():
        records = []
        for identity, colour in enumerate(colours):
            for number in range(3):
                name = f"{split}/{identity}_{number}.png"
                (root / "imgs" / split).mkdir(parents=True, exist_ok=True)
                noise = random.integers(-20, 20, (24, 12, 3))
                pixels = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / "imgs" / name)
                captions: tuple[str, ...] = (f"A person, wearing a {colour} coat and black shoes.",)
                if split == "train" and number == 0 and identity < 2:
                    captions += (f"The {colour} coat of a man who walks.",)
                records.append(ImageRecord(name, identity, captions))
        write_split(root, Split(split, "colours", root / "imgs", tuple(records)))
    return root


@pytest.fixture(scope="session")
def config() -> ExperimentConfig:
    """Every part of the method at a size that does a step in a few hundredths of a second.

    14 pairs in batches of 2, two micro-batches to a step: 4 steps an epoch, the last one with a single
    micro-batch; 2 epochs.
    """
    return ExperimentConfig(
        model=ModelConfig(
            vision=VisionConfig(image_height=16, image_width=8, patch_size=8, width=16, depth=1, num_heads=2),
            text=TextConfig(
                tokenizer="captions",
                vocab_size=160,
                width=16,
                num_heads=2,
                intermediate_size=32,
                num_text_layers=1,
                num_fusion_layers=1,
                max_positions=16,
                max_tokens=12,
            ),
            cnn=CnnConfig(name="test_convnext", image_height=32, image_width=32, pretrained=False),
            embed_dim=8,
        ),
        data=DataConfig(batch_size=2, eval_batch_size=8, num_workers=0),
        augment=AugmentConfig(),
        optimizer=OptimizerConfig(learning_rate=1e-3),
        schedule=ScheduleConfig(epochs=2),
        train=LoopConfig(accumulate_steps=2, eval_every=1, rerank=2, log_every=1),
    )


@pytest.fixture
def changed(config: ExperimentConfig) -> Callable[..., ExperimentConfig]:
    """The small configuration with tables overridden: `changed(train={"seed": 1})`."""

    def change(**tables: dict[str, Any]) -> ExperimentConfig:
        return with_overrides(config, **tables)

    return change
