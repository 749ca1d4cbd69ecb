"""X²-VLM pre-training files: what a training that starts from one gets."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cfack.config import CnnConfig, ExperimentConfig, ModelConfig, Switches, TextConfig, VisionConfig
from cfack.modeling import build_model
from cfack.modeling.importing import import_file
from cfack.modeling.position_bias import resize_position_bias
from cfack.modeling.start import start_from
from cfack_runtime.errors import CheckpointError, UsageError

GOLDEN = Path(__file__).parents[1] / "golden" / "official-tiny"
TABLE = "vision_encoder.blocks.0.attn.relative_position_bias_table"
ONLY_IN_CFACK = (
    "vision_encoder_m.",
    "text_encoder_m.",
    "vision_proj_m.",
    "text_proj_m.",
    "pret_model.",
    "cnn_encoder.",
)


@pytest.fixture
def x2vlm_state() -> dict[str, Tensor]:
    """What X²-VLM saves: the released names without CFACK's own parts, a box head and frame positions."""
    state: dict[str, Tensor] = torch.load(GOLDEN / "cfack_tiny_official.th", weights_only=True)["model"]
    state = {key: value for key, value in state.items() if not key.startswith(ONLY_IN_CFACK)}
    for layer, (rows, columns) in {0: (128, 64), 3: (4, 128)}.items():
        state[f"bbox_head.{layer}.weight"] = torch.zeros(rows, columns)
        state[f"bbox_head.{layer}.bias"] = torch.zeros(rows)
    return state | {"absolute_frame_pos_embed": torch.zeros(1, 8, 64)}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Save a state dict as X²-VLM does, with its optimiser and without a CFACK configuration."""

    def write(state: dict[str, Tensor], **more: Any) -> Path:
        torch.save({"model": state, "optimizer": {"state": {}}, "epoch": 9, **more}, tmp_path / "x2vlm.th")
        return tmp_path / "x2vlm.th"

    return write


def experiment(
    height: int = 96, width: int = 32, switches: Switches | None = None, **model: Any
) -> ExperimentConfig:
    """A training at the golden fixture's widths."""
    config = ModelConfig(
        vision=VisionConfig(image_height=height, image_width=width, width=64, depth=3, num_heads=4),
        text=TextConfig(
            vocab_size=512,
            width=64,
            num_heads=4,
            intermediate_size=128,
            num_text_layers=2,
            num_fusion_layers=2,
            max_positions=64,
        ),
        cnn=CnnConfig("test_convnext", pretrained=False),
        embed_dim=32,
    )
    return ExperimentConfig(model=replace(config, **model), switches=switches or Switches())


def test_weights_of_a_square_file_start_a_model_for_upright_images(
    x2vlm_state: dict[str, Tensor], save: Callable[..., Path]
) -> None:
    imported = import_file(save(x2vlm_state), target=experiment())
    state = imported.model.state_dict()
    assert torch.equal(state["vision_projection.weight"], x2vlm_state["vision_proj.weight"])
    assert torch.equal(
        state["fusion_encoder.layers.1.cross_attention.value.weight"],
        x2vlm_state["text_encoder.bert.encoder.layer.3.crossattention.self.value.weight"],
    )
    assert state["temperature"] == x2vlm_state["temp"]
    table = state["vision_encoder.beit.blocks.0.attn.relative_position_bias_table"]
    assert torch.equal(table, resize_position_bias(x2vlm_state[TABLE], (4, 4), (6, 2)))
    assert imported.report.resized[TABLE] == "4 x 4 patches to 6 x 2"
    assert imported.kind == "X²-VLM"


def test_every_key_is_accounted_for(x2vlm_state: dict[str, Tensor], save: Callable[..., Path]) -> None:
    report = import_file(save(x2vlm_state), target=experiment()).report
    assert sorted([*report.used, *report.unused]) == sorted(x2vlm_state)
    assert "bounding-box" in report.unused["bbox_head.3.bias"]
    assert "video" in report.unused["absolute_frame_pos_embed"]


def test_momentum_encoders_are_copied_after_loading(
    x2vlm_state: dict[str, Tensor], save: Callable[..., Path]
) -> None:
    imported = import_file(save(x2vlm_state), target=experiment())
    state = imported.model.state_dict()
    momentum = [name for name in state if name.startswith("momentum.")]
    assert len(momentum) > 50
    for name in momentum:
        assert torch.equal(state[name], state[name.removeprefix("momentum.")]), name
        assert imported.report.filled[name] == "copied from the online weights"
    assert {name.split(".")[0] for name in imported.report.missing} == {"cnn_branch"}


def test_as_released_momentum_text_and_projections_keep_their_initialisation(
    x2vlm_state: dict[str, Tensor], save: Callable[..., Path]
) -> None:
    config = experiment(switches=Switches(momentum_copied_before_loading=True))
    model = build_model(config.model)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = start_from(model, save(x2vlm_state), config)
    state = model.state_dict()
    for name in fresh:
        if name.startswith("momentum.vision_encoder."):
            assert torch.equal(state[name], state[name.removeprefix("momentum.")]), name
        elif name.startswith("momentum."):
            assert torch.equal(state[name], fresh[name]), name
            assert name in report.missing
    word = "text_encoder.embeddings.word_embeddings.weight"
    assert not torch.equal(state[f"momentum.{word}"], state[word])


def test_a_model_without_an_mlm_head_leaves_the_files_unused(
    x2vlm_state: dict[str, Tensor], save: Callable[..., Path]
) -> None:
    report = import_file(save(x2vlm_state), target=experiment(mlm=False)).report
    assert report.unused["text_encoder.cls.predictions.bias"] == "the configuration has no mlm head"


def test_heads_that_the_file_lacks_are_new(x2vlm_state: dict[str, Tensor], save: Callable[..., Path]) -> None:
    state = {key: value for key, value in x2vlm_state.items() if not key.startswith("itm_head.")}
    report = import_file(save(state), target=experiment()).report
    assert "matching_head.dense.weight" in report.missing
    assert report.filled["matching_head.dense.weight"] == "not in the file: keeps its initialisation"


@pytest.mark.parametrize(
    "key",
    [
        "vision_encoder.fc_norm.weight",
        "text_encoder.bert.embeddings.token_type_embeddings.weight",
        "text_encoder.bert.encoder.layer.2.crossattention.self.query.bias",
        "itm_head.3.bias",
    ],
)
def test_a_missing_key_is_named(key: str, x2vlm_state: dict[str, Tensor], save: Callable[..., Path]) -> None:
    del x2vlm_state[key]
    with pytest.raises(CheckpointError, match=rf"x2vlm\.th: .*\n  - missing: {key} "):
        import_file(save(x2vlm_state), target=experiment())


def test_another_depth_is_an_error(x2vlm_state: dict[str, Tensor], save: Callable[..., Path]) -> None:
    text = replace(experiment().model.text, num_fusion_layers=1)
    with pytest.raises(CheckpointError, match=r"not in the model: text_encoder\.bert\.encoder\.layer\.3\."):
        import_file(save(x2vlm_state), target=experiment(text=text))


def test_another_width_is_an_error_with_both_shapes(
    x2vlm_state: dict[str, Tensor], save: Callable[..., Path]
) -> None:
    with pytest.raises(
        CheckpointError, match=r"vision_proj\.weight \(.*\) is 32 x 64; the model has 16 x 64"
    ):
        import_file(save(x2vlm_state), target=experiment(embed_dim=16))


def test_the_image_size_comes_from_the_file_or_is_asked_for(
    x2vlm_state: dict[str, Tensor], save: Callable[..., Path]
) -> None:
    state = {key: value for key, value in x2vlm_state.items() if "relative_position_index" not in key}
    assert import_file(save(state), target=experiment()).report.resized  # 7 * 7 + 3 rows: a square grid
    for block in range(3):
        state[TABLE.replace("0", str(block))] = torch.randn(5 * 7 + 3, 4)
    with pytest.raises(CheckpointError, match=r"38 rows, which no square grid has.*--config"):
        import_file(save(state), target=experiment())
    report = import_file(save(state), target=experiment(), given={"image_res": [48, 64]}).report
    assert report.resized[TABLE] == "3 x 4 patches to 6 x 2"
    with pytest.raises(CheckpointError, match="38 rows, but the file's grid of 4 x 4 patches needs 52"):
        import_file(save(state, config={"image_res": 64}), target=experiment())


def test_without_a_preset_the_import_says_what_to_give(
    x2vlm_state: dict[str, Tensor], save: Callable[..., Path]
) -> None:
    with pytest.raises(UsageError, match="--preset, the geometry to start from"):
        import_file(save(x2vlm_state))


def test_a_file_without_cross_attention_is_not_x2vlm(tmp_path: Path) -> None:
    torch.save({"model": {"fc.weight": torch.zeros(2, 2)}}, tmp_path / "resnet.th")
    with pytest.raises(CheckpointError, match=r"resnet\.th: no key text_encoder"):
        import_file(tmp_path / "resnet.th", target=experiment())


def test_an_imported_folder_starts_a_training_like_the_file_itself(
    x2vlm_state: dict[str, Tensor], save: Callable[..., Path], tmp_path: Path
) -> None:
    file = save(x2vlm_state)
    import_file(file, target=experiment()).save(tmp_path / "folder", None)
    for switches in (Switches(), Switches.official()):
        config = experiment(height=64, width=64, switches=switches)
        torch.manual_seed(1)
        from_file, from_folder = build_model(config.model), build_model(config.model)
        from_folder.load_state_dict(from_file.state_dict())
        first = start_from(from_file, file, config)
        second = start_from(from_folder, tmp_path / "folder", config)
        assert first.missing == second.missing
        for name, tensor in from_file.state_dict().items():
            if "relative_position_bias_table" not in name:  # the folder's were interpolated once before
                assert torch.equal(tensor, from_folder.state_dict()[name]), name
