"""Released CFACK checkpoints: the file, its keys, and what is said about every one of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cfack.config import load_config
from cfack.modeling.importing import import_file, read_geometry_file
from cfack.modeling.key_translation import UNKNOWN
from cfack.modeling.official import import_official
from cfack.modeling.released.file import ReleasedFile, read_released_file
from cfack_runtime.errors import CheckpointError, ConfigError, UsageError

GOLDEN = Path(__file__).parents[1] / "golden" / "official-tiny"
FULL, NO_MLM = GOLDEN / "cfack_tiny_official.th", GOLDEN / "cfack_tiny_official_nomlm.th"
HEADS = {"vision": {}, "text": {"num_attention_heads": 4}, "cnn": "test_convnext"}


@pytest.fixture
def given() -> dict[str, Any]:
    return read_geometry_file(GOLDEN / "config.json")


@pytest.fixture
def changed() -> Callable[..., ReleasedFile]:
    """The full checkpoint without some keys, and with others added or replaced."""

    def change(without: str = "", **tensors: Tensor) -> ReleasedFile:
        file = read_released_file(FULL)
        state = {k: v for k, v in file.state.items() if not (without and k.startswith(without))}
        return replace(file, state=state | tensors)

    return change


def test_every_key_of_the_file_is_used_or_listed_with_its_reason(given: dict[str, Any]) -> None:
    file = read_released_file(FULL)
    imported = import_official(file, given)
    assert sorted([*imported.report.used, *imported.report.unused]) == sorted(file.state)
    assert {reason: len(keys) for reason, keys in imported.report.unused_by_reason().items()} == {
        "computed from the image size": 6,
        "computed: 0, 1, 2, ...": 2,
        "tied to the word embeddings, and equal to them": 1,
        "the same tensor as text_encoder.cls.predictions.bias": 1,
        "fusion layer of the momentum text encoder, which no code ever runs": 52,
    }
    assert not imported.report.missing
    assert not imported.report.filled


def test_a_stranger_is_listed(changed: Callable[..., ReleasedFile]) -> None:
    report = import_official(changed(**{"prompt_pool.weight": torch.zeros(3)}), HEADS).report
    assert report.unused["prompt_pool.weight"] == UNKNOWN


@pytest.mark.parametrize(
    "key",
    [
        "temp",
        "vision_encoder.cls_token",
        "vision_encoder.patch_embed.proj.weight",
        "vision_encoder.blocks.0.attn.relative_position_bias_table",
        "vision_encoder.blocks.1.attn.v_bias",
        "text_encoder.bert.embeddings.word_embeddings.weight",
        "text_encoder.bert.encoder.layer.1.output.LayerNorm.bias",
        "text_encoder.bert.encoder.layer.3.crossattention.output.dense.weight",
        "text_encoder.bert.encoder.layer.2.attention.output.LayerNorm.weight",
        "text_encoder.cls.predictions.transform.LayerNorm.weight",
        "text_encoder.cls.predictions.bias",
        "vision_proj.weight",
        "itm_head.1.bias",
        "itm_head.3.weight",
        "vision_encoder_m.fc_norm.weight",
        "text_encoder_m.encoder.layer.0.intermediate.dense.bias",
        "text_proj_m.bias",
        "pret_model.head.norm.weight",
        "cnn_encoder.weight",
    ],
)
def test_a_missing_key_is_named_as_the_file_would_name_it(
    key: str, changed: Callable[..., ReleasedFile], given: dict[str, Any]
) -> None:
    with pytest.raises(CheckpointError) as caught:
        import_official(changed(without=key), given)
    assert f"missing: {key}" in str(caught.value)
    assert str(FULL) in str(caught.value)


def test_a_key_of_another_shape_is_named_with_both_shapes(changed: Callable[..., ReleasedFile]) -> None:
    with pytest.raises(
        CheckpointError, match=r"itm_head\.0\.weight \(matching_head.*\) is 128 x 63; .* 128 x 64"
    ):
        import_official(changed(**{"itm_head.0.weight": torch.zeros(128, 63)}), HEADS)


def test_a_decoder_that_is_not_tied_is_refused(changed: Callable[..., ReleasedFile]) -> None:
    file = changed(**{"text_encoder.cls.predictions.decoder.weight": torch.zeros(512, 64)})
    with pytest.raises(CheckpointError, match=r"decoder\.weight differs from .*word_embeddings\.weight"):
        import_official(file, HEADS)


def test_two_layouts_in_one_file_are_refused(changed: Callable[..., ReleasedFile]) -> None:
    file = changed(**{"text_encoder.embeddings.LayerNorm.bias": torch.zeros(64)})
    with pytest.raises(CheckpointError, match="both mean text_encoder.embeddings.LayerNorm.bias"):
        import_official(file, HEADS)


def test_a_missing_layer_in_the_middle_is_named(changed: Callable[..., ReleasedFile]) -> None:
    with pytest.raises(CheckpointError, match=r"missing: vision_encoder\.blocks\.1\.\*"):
        import_official(changed(without="vision_encoder.blocks.1."), HEADS)


def test_a_timm_model_with_a_head_of_its_own_is_read(
    changed: Callable[..., ReleasedFile], given: dict[str, Any]
) -> None:
    file = changed(without="pret_model.")
    weights = {f"cnn_encoder.{k}": v for k, v in _cnn_with_head().items()}
    state = {k: v for k, v in file.state.items() if not k.startswith("cnn_encoder.")} | weights
    imported = import_official(replace(file, state=state), given)
    assert imported.config.model.cnn is not None
    assert imported.config.model.cnn.head == "timm"
    assert set(weights) <= set(imported.report.used)


def _cnn_with_head() -> dict[str, Tensor]:
    import timm

    return dict(timm.create_model("test_convnext", num_classes=32).state_dict())


def test_a_training_state_is_recognised_as_the_wrong_file(tmp_path: Path) -> None:
    torch.save({"optimizer": {"state": {}}, "epoch": 3}, tmp_path / "training_state_latest.th")
    with pytest.raises(
        CheckpointError, match="'optimizer' is a dict with the keys 'state'.*model_state_epoch_best"
    ):
        read_released_file(tmp_path / "training_state_latest.th")


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.ones(2).half(), "i": torch.ones(2).long()}}, tmp_path / "a.th")
    state = read_released_file(tmp_path / "a.th").state
    assert (state["w"].dtype, state["i"].dtype) == (torch.float32, torch.int64)


def test_a_preset_is_refused_for_a_cfack_checkpoint() -> None:
    with pytest.raises(UsageError, match="its own configuration decides"):
        import_file(FULL, target=load_config("base-384"))


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_geometry_file_that_is_no_table_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text(text)
    with pytest.raises(ConfigError, match=r"g\.json: (not a readable JSON|expected a table)"):
        read_geometry_file(tmp_path / "g.json")
