"""Small data sets made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cfack.config import AugmentConfig, CnnConfig, ExperimentConfig, load_config, with_overrides
from cfack.data.annotations import ImageRecord, Split
from cfack.data.dataset import TrainingSample
from cfack.data.vocabulary import build_tokenizer
from cfack_runtime.tokenizer import CaptionTokenizer

RawDataSet = Callable[..., Path]

CAPTIONS = (
    "A man wearing a red jacket, blue jeans and white sneakers carries a black backpack.",
    "The woman has long brown hair; she is walking with a large green handbag in her hand.",
    "A tall person in a grey coat is standing near the road and looking at a phone.",
)


@pytest.fixture
def raw_data_set(tmp_path: Path) -> RawDataSet:
    """Write an annotation and an image for every entry that names one."""

    def write(annotation: str, entries: Any, folder: str = "raw") -> Path:
        root = tmp_path / folder
        (root / "imgs").mkdir(parents=True, exist_ok=True)
        for index, entry in enumerate(entries):
            image = entry.get("file_path", entry.get("img_path")) if isinstance(entry, dict) else None
            if isinstance(image, str) and image and ".." not in image and not image.startswith("/"):
                path = root / "imgs" / image
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (20, 50 + index), (index * 20 % 256, 90, 200)).save(path)
        (root / annotation).write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
        return root

    return write


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Six images of three identities, 11 captions; every image is noise of its own."""
    rng = np.random.default_rng(0)
    records = []
    for index in range(6):
        name = f"{index}.png"
        pixels = rng.integers(0, 256, (60 + index, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
        captions = CAPTIONS[:1] if index == 0 else (CAPTIONS[index % 3], CAPTIONS[(index + 1) % 3])
        records.append(ImageRecord(name, (40, 7, 12)[index // 2], captions))
    return Split("train", "cuhk", tmp_path, tuple(records))


@pytest.fixture
def config() -> ExperimentConfig:
    """The tiny preset without cached images, with every view and the default augmentation."""
    config = with_overrides(load_config("tiny"), data={"cache_images": False})
    cnn = CnnConfig(name="test_convnext", image_height=96, image_width=48, pretrained=False)
    text = replace(config.model.text, max_tokens=40)
    model = replace(config.model, cnn=cnn, text=text, mlm=True)
    return replace(config, model=model, augment=AugmentConfig())


@pytest.fixture
def content() -> Callable[[TrainingSample], tuple[object, ...]]:
    """Everything that a sample holds, as values that can be compared."""

    def flat(value: object) -> tuple[object, ...]:
        if is_dataclass(value):
            return tuple(part for field in fields(value) for part in flat(getattr(value, field.name)))
        return (value.tobytes(),) if isinstance(value, np.ndarray) else (value,)

    return flat


@pytest.fixture
def tokenizer() -> CaptionTokenizer:
    """Knows the words of `CAPTIONS`."""
    return build_tokenizer(CAPTIONS, 600, 40)
