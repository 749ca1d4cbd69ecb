"""Our own checkpoint folders, written and read, and trainings that start from them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cfack.config import CnnConfig, ExperimentConfig, ModelConfig, TextConfig, VisionConfig, with_overrides
from cfack.modeling import CFACK, build_model
from cfack.modeling.checkpoint import (
    checkpoint_hash,
    load_checkpoint,
    load_experiment,
    load_tokenizer,
    save_checkpoint,
)
from cfack.modeling.start import start_from
from cfack_runtime.errors import CheckpointError, UsageError
from cfack_runtime.tokenizer import SPECIAL_TOKENS, CaptionTokenizer

MODEL = ModelConfig(
    vision=VisionConfig(image_height=32, image_width=16, patch_size=8, width=16, depth=2, num_heads=2),
    text=TextConfig(
        tokenizer="captions",
        vocab_size=20,
        width=16,
        num_heads=2,
        intermediate_size=32,
        num_text_layers=1,
        num_fusion_layers=1,
        max_positions=12,
        max_tokens=10,
    ),
    cnn=None,
    embed_dim=8,
    num_identities=3,
)
EXPERIMENT = with_overrides(ExperimentConfig(model=MODEL), train={"seed": 7})


@pytest.fixture
def tokenizer() -> CaptionTokenizer:
    return CaptionTokenizer.from_tokens([*SPECIAL_TOKENS, *"abcdefghijklmno"], 10)


@pytest.fixture
def model() -> CFACK:
    torch.manual_seed(0)
    return build_model(MODEL)


@pytest.fixture
def checkpoint(tmp_path: Path, model: CFACK, tokenizer: CaptionTokenizer) -> Path:
    save_checkpoint(tmp_path / "checkpoint", model, EXPERIMENT, tokenizer)
    return tmp_path / "checkpoint"


@pytest.fixture
def alter(checkpoint: Path) -> Callable[..., Path]:
    """Rewrite the checkpoint's weights without a key, or with one of another shape."""

    def rewrite(without: str = "", **tensors: torch.Tensor) -> Path:
        weights = {k: v for k, v in load_file(checkpoint / "model.safetensors").items() if k != without}
        save_file(weights | tensors, checkpoint / "model.safetensors")
        return checkpoint

    return rewrite


def test_a_checkpoint_comes_back_as_it_was_saved(
    checkpoint: Path, model: CFACK, tokenizer: CaptionTokenizer
) -> None:
    loaded = load_checkpoint(checkpoint)
    assert not loaded.training
    assert loaded.config == MODEL
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert load_experiment(checkpoint) == EXPERIMENT
    assert load_tokenizer(checkpoint).to_json() == tokenizer.to_json()
    assert load_tokenizer(checkpoint).max_tokens == 10
    assert sorted(file.name for file in checkpoint.iterdir()) == [
        "config.toml",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_the_hash_follows_the_weights_only(
    checkpoint: Path, model: CFACK, tokenizer: CaptionTokenizer, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "same", model, MODEL)
    assert checkpoint_hash(tmp_path / "same") == checkpoint_hash(checkpoint)
    with torch.no_grad():
        model.temperature.add_(0.01)
    save_checkpoint(tmp_path / "other", model, EXPERIMENT, tokenizer)
    assert checkpoint_hash(tmp_path / "other") != checkpoint_hash(checkpoint)


def test_the_models_own_geometry_is_saved(model: CFACK, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", model, ExperimentConfig())
    assert load_experiment(tmp_path / "c").model == MODEL


def test_an_existing_folder_is_kept_unless_it_may_be_replaced(checkpoint: Path, model: CFACK) -> None:
    with pytest.raises(UsageError, match="exists and is not empty"):
        save_checkpoint(checkpoint, model, MODEL)
    save_checkpoint(checkpoint, model, MODEL, overwrite=True)
    assert not (checkpoint / "tokenizer.json").exists()


def test_a_missing_key_is_named(alter: Callable[..., Path]) -> None:
    with pytest.raises(
        CheckpointError, match=r"checkpoint: .*\n  - missing: vision_encoder\.beit\.cls_token$"
    ):
        load_checkpoint(alter(without="vision_encoder.beit.cls_token"))


def test_a_left_over_key_is_named(alter: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match=r"not in the model: adapter\.weight$"):
        load_checkpoint(alter(**{"adapter.weight": torch.zeros(2)}))


def test_a_misshaped_key_is_named_with_both_shapes(alter: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match=r"text_projection\.weight is 8 x 17; the model has 8 x 16$"):
        load_checkpoint(alter(**{"text_projection.weight": torch.zeros(8, 17)}))


def test_a_configuration_of_another_model_is_an_error(checkpoint: Path) -> None:
    text = (checkpoint / "config.toml").read_text().replace("num_text_layers = 1", "num_text_layers = 2")
    (checkpoint / "config.toml").write_text(text)
    with pytest.raises(CheckpointError, match=r"missing: text_encoder\.layers\.1\."):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_weights_are_named_with_their_size(keep: int, checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"model\.safetensors \([\d,]+ bytes\) is truncated"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize("name", ["model.safetensors", "config.toml"])
def test_a_missing_file_is_named(name: str, checkpoint: Path) -> None:
    (checkpoint / name).unlink()
    with pytest.raises(CheckpointError, match=rf"checkpoint has no {name}"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize("text", ["[model", "[model]\nwidth = 3", "\x00"])
def test_a_damaged_configuration_is_named(text: str, checkpoint: Path) -> None:
    (checkpoint / "config.toml").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.toml: cannot be read"):
        load_experiment(checkpoint)


def test_a_released_file_is_sent_to_the_import(tmp_path: Path) -> None:
    (tmp_path / "best.th").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"is a file; .*`cfack import .*best\.th --out FOLDER`"):
        load_checkpoint(tmp_path / "best.th")
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        load_checkpoint(tmp_path / "absent")


def test_a_checkpoint_without_a_tokenizer_says_how_to_add_one(model: CFACK, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", model, MODEL)
    with pytest.raises(
        CheckpointError, match=r"c has no tokenizer\.json: put that of captions there, or import"
    ):
        load_tokenizer(tmp_path / "c")


def test_another_models_tokenizer_is_refused(model: CFACK, tmp_path: Path) -> None:
    large = CaptionTokenizer.from_tokens([*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvw"], 10)
    save_checkpoint(tmp_path / "c", model, MODEL, large)
    with pytest.raises(CheckpointError, match="has 28 tokens, but the model knows 20"):
        load_tokenizer(tmp_path / "c")


# --- starting a training from a folder ---------------------------------------------------------------------


def test_a_training_starts_from_a_checkpoint_of_another_size_and_other_identities(checkpoint: Path) -> None:
    vision = replace(MODEL.vision, image_height=48, image_width=24)
    target = build_model(replace(MODEL, vision=vision, num_identities=5, mlm=False))
    fresh = target.state_dict()["identity_classifier.weight"].clone()
    report = start_from(target, checkpoint, EXPERIMENT)
    saved = load_file(checkpoint / "model.safetensors")
    state = target.state_dict()
    assert torch.equal(state["matching_head.output.weight"], saved["matching_head.output.weight"])
    assert torch.equal(state["momentum.text_projection.bias"], saved["momentum.text_projection.bias"])
    assert state["momentum.vision_encoder.beit.blocks.1.attn.relative_position_bias_table"].shape == (58, 2)
    assert set(report.resized.values()) == {"4 x 2 patches to 6 x 3"}
    assert report.missing == {"identity_classifier.weight", "identity_classifier.bias"}
    assert torch.equal(state["identity_classifier.weight"], fresh)
    assert report.unused["identity_classifier.bias"] == "the configuration has another identity classifier"
    assert report.unused["mlm_head.bias"] == "the configuration has no mlm head"


def test_parts_that_only_training_uses_may_be_new(model: CFACK, tmp_path: Path) -> None:
    small = build_model(replace(MODEL, momentum=False, num_identities=0))
    save_checkpoint(tmp_path / "small", small, MODEL)
    target = build_model(replace(MODEL, cnn=CnnConfig("test_convnext", pretrained=False)))
    report = start_from(target, tmp_path / "small", EXPERIMENT)
    assert {name.split(".")[0] for name in report.missing} == {"cnn_branch", "identity_classifier"}
    state = target.state_dict()
    assert torch.equal(state["momentum.text_projection.weight"], small.text_projection.weight)


def test_a_part_is_taken_as_a_whole_or_not_at_all(alter: Callable[..., Path], model: CFACK) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"missing: momentum\.vision_projection\.bias$"):
        start_from(model, alter(without="momentum.vision_projection.bias"), EXPERIMENT)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_damaged_note_on_the_origin_is_named(checkpoint: Path, model: CFACK) -> None:
    (checkpoint / "import.json").write_text(json.dumps({"filled": 3}))
    with pytest.raises(CheckpointError, match=r"import\.json is damaged"):
        start_from(model, checkpoint, EXPERIMENT)
