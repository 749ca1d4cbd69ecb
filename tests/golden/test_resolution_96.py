"""The released model's vision encoder carried from 64 to 96 pixels."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cfack.config import ExperimentConfig
from cfack.modeling import CFACK, build_model
from cfack.modeling.load_report import LoadReport
from cfack.modeling.start import start_from

CHECKPOINT = Path(__file__).parent / "official-tiny" / "cfack_tiny_official.th"


@pytest.fixture
def transferred(official_model: CFACK) -> tuple[CFACK, LoadReport]:
    """A model for 96 pixels that starts from the checkpoint for 64."""
    config = official_model.config
    model = build_model(replace(config, vision=replace(config.vision, image_height=96, image_width=96)))
    report = start_from(model, CHECKPOINT, ExperimentConfig(model=model.config))
    return model.eval(), report


def test_tables_are_those_of_the_released_interpolation(
    transferred: tuple[CFACK, LoadReport], golden: Callable[[str], dict[str, Tensor]]
) -> None:
    expected = golden("resolution_96")
    state = transferred[0].state_dict()
    for encoder in ("vision_encoder", "momentum.vision_encoder"):
        for block in range(3):
            table = state[f"{encoder}.beit.blocks.{block}.attn.relative_position_bias_table"]
            assert table.shape == (124, 4)
            if encoder == "vision_encoder":
                wanted = expected[f"blocks.{block}.relative_position_bias_table"]
                torch.testing.assert_close(table, wanted, atol=1e-5, rtol=0)


def test_image_tokens_are_those_of_the_released_model(
    transferred: tuple[CFACK, LoadReport], golden: Callable[[str], dict[str, Tensor]]
) -> None:
    expected = golden("resolution_96")
    with torch.no_grad():
        tokens = transferred[0].encode_image(expected["image"]).tokens
    torch.testing.assert_close(tokens, expected["image_tokens"], atol=1e-5, rtol=0)


def test_the_report_says_what_was_resized_and_that_nothing_was_missing(
    transferred: tuple[CFACK, LoadReport],
) -> None:
    report = transferred[1]
    assert len(report.resized) == 6
    assert set(report.resized.values()) == {"4 x 4 patches to 6 x 6"}
    assert not report.missing
    assert not report.filled
