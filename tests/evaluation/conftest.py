from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from cfack.config import ModelConfig, TextConfig, VisionConfig
from cfack.data.annotations import ImageRecord, Split
from cfack.modeling import ImageFeatures, TextFeatures, build_model
from cfack_runtime.images import PIXEL_MEAN, PIXEL_STD
from cfack_runtime.tokenizer import CaptionTokenizer

COLORS = {"red": (255, 0, 0), "orange": (204, 153, 0), "green": (0, 255, 0), "lime": (153, 204, 0)}
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *COLORS, "a", "man", "in", "coat", "bag", "with"]


class ColorModel(nn.Module):
    """A model whose every figure is worked out by hand.

    An image is its mean colour and a caption the colour of its first word; the match logit is how green the
    image is, whatever the caption says.
    """

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(
            vision=SimpleNamespace(image_height=8, image_width=4), text=SimpleNamespace(width=3), embed_dim=3
        )
        self.temperature = nn.Parameter(torch.tensor(1.0))
        table = torch.zeros(len(TOKENS), 3)
        for word, color in COLORS.items():
            table[TOKENS.index(word)] = torch.tensor(color) / 255
        self.register_buffer("table", table)
        self.images_encoded = 0
        self.pairs = []

    def encode_image(self, images):
        self.images_encoded += len(images)
        mean, std = (torch.tensor(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
        color = (images * std + mean).mean(dim=(2, 3))
        return ImageFeatures(color[:, None].expand(-1, 2, -1), F.normalize(color, dim=1))

    def encode_text(self, input_ids, attention_mask):
        tokens = self.table[input_ids] * attention_mask[..., None]
        return TextFeatures(tokens, F.normalize(tokens[:, 1], dim=1))

    def match(self, text_tokens, attention_mask, image_tokens):
        self.pairs.append((len(text_tokens), len(image_tokens)))
        green = image_tokens[:, 0, 1].expand(len(text_tokens))
        return torch.stack([green * 0 + 7, green], dim=1)


@pytest.fixture
def color_model():
    return ColorModel()


@pytest.fixture
def tokenizer():
    return CaptionTokenizer.from_tokens(TOKENS, max_tokens=8)


@pytest.fixture
def color_split(tmp_path):
    """Gallery red, orange, green, lime of identities 1, 2, 1, 3; captions on two of them."""
    captions = {"red": ("Red coat.",), "orange": (), "green": ("orange",), "lime": ()}
    records = []
    for (name, color), identity in zip(COLORS.items(), (1, 2, 1, 3), strict=True):
        Image.new("RGB", (5, 9), color).save(tmp_path / f"{name}.png")
        records.append(ImageRecord(f"{name}.png", identity, captions[name]))
    return Split("test", "colors", tmp_path, tuple(records))


@pytest.fixture
def noise_split(tmp_path):
    """11 images of 5 identities, with 0 to 3 captions of many lengths."""
    rng = np.random.default_rng(5)
    words = TOKENS[5:]
    records = []
    for index in range(11):
        pixels = rng.integers(0, 256, (24, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        captions = tuple(
            " ".join(rng.choice(words, size=int(rng.integers(1, 9)))) for _ in range(int(index % 4))
        )
        records.append(ImageRecord(f"{index}.png", int(index % 5), captions))
    return Split("val", "noise", tmp_path, tuple(records))


@pytest.fixture
def tiny_config():
    return ModelConfig(
        vision=VisionConfig(32, 16, patch_size=8, width=16, depth=1, num_heads=2),
        text=TextConfig(
            vocab_size=len(TOKENS),
            width=16,
            num_heads=2,
            intermediate_size=32,
            num_text_layers=1,
            num_fusion_layers=1,
            max_positions=8,
            max_tokens=8,
        ),
        cnn=None,
        embed_dim=8,
        momentum=False,
        mlm=False,
    )


@pytest.fixture
def tiny_model(tiny_config):
    """A real model with weights spread wide, so that no two scores come close."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build_model(tiny_config)
        for name, parameter in model.named_parameters():
            if name != "temperature":
                nn.init.normal_(parameter, std=0.5)
    return model
