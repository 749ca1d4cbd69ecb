"""The geometry of released checkpoints: read off weights, names and a given file, and never guessed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cfack.config import load_config
from cfack.modeling.importing import import_file, read_geometry_file
from cfack.modeling.official import import_official
from cfack.modeling.released.file import ReleasedFile, read_released_file
from cfack.modeling.released.geometry import released_experiment
from cfack.modeling.released.patch_grid import indexed_grid
from cfack_runtime.errors import CheckpointError, ConfigError, UsageError

GOLDEN = Path(__file__).parents[1] / "golden" / "official-tiny"
FULL, NO_MLM = GOLDEN / "cfack_tiny_official.th", GOLDEN / "cfack_tiny_official_nomlm.th"
HEADS = {"vision": {}, "text": {"num_attention_heads": 4}, "cnn": "test_convnext"}


@pytest.fixture
def changed() -> Callable[..., ReleasedFile]:
    """The full checkpoint without some keys, or with another configuration inside."""

    def change(without: str = "", config: dict[str, Any] | None = None) -> ReleasedFile:
        file = read_released_file(FULL)
        state = {k: v for k, v in file.state.items() if not (without and k.startswith(without))}
        return replace(file, state=state, config=file.config if config is None else config)

    return change


def test_a_known_name_that_the_weights_contradict_is_an_error_that_says_both() -> None:
    with pytest.raises(CheckpointError) as caught:
        import_file(FULL)
    message = str(caught.value)
    assert (
        "text.width: 64 by text_encoder.bert.embeddings.word_embeddings.weight (512, 64); 768 by" in message
    )
    assert "text_encoder = 'bert-base-uncased' in the file's own configuration" in message
    assert "vision.depth: 3 by the weights" in message
    assert '{"vision": {}, "text": {"num_attention_heads": N}}' in message


def test_heads_are_all_that_must_be_given() -> None:
    model = import_file(NO_MLM, given={"vision": {}, "text": {"num_attention_heads": 4}}).config.model
    assert (model.vision.image_height, model.vision.width, model.vision.depth, model.vision.num_heads) == (
        64,
        64,
        3,
        4,
    )
    assert (model.text.num_text_layers, model.text.num_fusion_layers, model.text.num_heads) == (2, 2, 4)
    assert (model.text.intermediate_size, model.text.vocab_size, model.text.max_positions) == (128, 512, 64)
    assert (model.embed_dim, model.mlm, model.momentum, model.cnn) == (32, False, False, None)


def test_heads_of_bert_are_never_guessed() -> None:
    with pytest.raises(CheckpointError, match=r"heads of BERT \(text.num_attention_heads\) is in no weight"):
        import_file(NO_MLM, given={"vision": {}, "text": {}})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"text": {"num_attention_heads": 4, "hidden_size": 96}},
            r"text\.width: 64 by .*\(512, 64\); 96 by text\.hidden_size in --config",
        ),
        (
            {"image_res": 96},
            "image_height: 64 by the file's relative_position_index .*; 96 by image_res in --config",
        ),
        (
            {"vision": {"num_heads": 8}},
            r"vision\.num_heads: 4 by .*bias_table \(52, 4\); 8 by vision\.num_heads in --config",
        ),
        ({"embed_dim": 64}, r"embed_dim: 32 by vision_proj\.weight \(32, 64\); 64 by embed_dim in --config"),
        ({"text_fusion_start_at": 3}, "num_text_layers: 2 by the weights, where text layers 2 to 3 .*; 3 by"),
    ],
)
def test_a_given_number_that_contradicts_a_shape_is_an_error_that_names_both(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        import_file(NO_MLM, given={**HEADS, **given})


def test_a_flag_of_the_file_wins_over_a_given_one_and_is_noted() -> None:
    imported = import_file(NO_MLM, given=read_geometry_file(GOLDEN / "config.json"))
    assert "mlm = True in --config gives way to False in the file's own configuration" in imported.notes


def test_a_part_that_the_configuration_promises_must_be_there(changed: Callable[..., ReleasedFile]) -> None:
    with pytest.raises(CheckpointError, match="mlm: False by the weights, which have no text_encoder.cls"):
        import_official(changed(without="text_encoder.cls."), HEADS)


def test_an_unknown_key_of_a_given_table_is_named() -> None:
    with pytest.raises(
        ConfigError, match="unknown key text.heads; known here: fusion_layer, hidden_dropout_prob"
    ):
        import_file(NO_MLM, given={"vision": {}, "text": {"heads": 4}})


def test_a_cnn_without_a_name_asks_for_one(changed: Callable[..., ReleasedFile]) -> None:
    with pytest.raises(CheckpointError, match='holds a CNN branch.*"cnn_net"'):
        import_official(changed(config={"use_momentum": True}), {"text": {"num_attention_heads": 4}})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cnn": "no_such_net"}, 'timm .* has no model "no_such_net"'),
        ({"max_tokens": 100}, "max_tokens must lie between 3 and max_positions = 64, got 100"),
        ({"temp": "warm"}, "temp: expected float, got 'warm'"),
    ],
)
def test_a_wrong_value_says_where_to_correct_it(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        import_file(FULL, given={**HEADS, **given})
    assert str(caught.value).startswith(str(FULL))
    assert str(caught.value).endswith("is corrected by --config")


def test_a_bare_state_dict_needs_a_given_geometry(tmp_path: Path) -> None:
    torch.save(torch.load(NO_MLM, weights_only=True)["model"], tmp_path / "bare.th")
    with pytest.raises(UsageError, match="--preset"):
        import_file(tmp_path / "bare.th")
    imported = import_file(tmp_path / "bare.th", given={"text": {"num_attention_heads": 4}})
    assert imported.config.model.vision.image_width == 64


def test_a_published_base_configuration_gives_the_published_geometry() -> None:
    config = {
        "image_res": 384,
        "patch_size": 16,
        "vision_config": "configs/config_beit2_base.json",
        "text_encoder": "data/bert-base-uncased",
        "text_num_hidden_layers": 18,
        "text_fusion_start_at": 12,
        "embed_dim": 256,
        "mlm": False,
        "use_momentum": False,
        "use_cnn_feats": False,
        "use_id_loss": False,
        "k_test": 64,
    }
    state = {
        "vision_encoder.patch_embed.proj.weight": torch.empty(768, 3, 16, 16, device="meta"),
        "vision_encoder.blocks.0.attn.relative_position_bias_table": torch.empty(2212, 12, device="meta"),
        "text_encoder.embeddings.word_embeddings.weight": torch.empty(30522, 768, device="meta"),
    }
    state |= {f"vision_encoder.blocks.{i}.norm1.bias": torch.empty(768, device="meta") for i in range(12)}
    for layer in range(18):
        part = "crossattention.self.key.bias" if layer >= 12 else "output.dense.bias"
        state[f"text_encoder.encoder.layer.{layer}.{part}"] = torch.empty(768, device="meta")
    experiment, _ = released_experiment(state, config, {})
    published = load_config("base-384").model
    assert experiment.model == replace(published, cnn=None, momentum=False, mlm=False)
    assert experiment.train.rerank == 64


@pytest.mark.parametrize("grid", [(2, 6), (6, 2), (3, 4), (4, 3), (5, 5)])
def test_the_position_index_tells_height_from_width(grid: tuple[int, int]) -> None:
    assert indexed_grid({"vision_encoder.blocks.0.attn.relative_position_index": _index(*grid)}) == grid


def _index(height: int, width: int) -> Tensor:
    """Row of the table for (to, from): row offset, then column offset; the class token's rows are last."""
    rows = (2 * height - 1) * (2 * width - 1)
    patches = [(y, x) for y in range(height) for x in range(width)]
    inner = [
        [(a - c + height - 1) * (2 * width - 1) + b - d + width - 1 for c, d in patches] for a, b in patches
    ]
    return torch.tensor([[rows + 2] + [rows] * len(patches), *([rows + 1, *row] for row in inner)])


def test_an_index_of_no_grid_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no position index of BEiT"):
        indexed_grid({"vision_encoder.blocks.0.attn.relative_position_index": torch.zeros(7, 7).long()})


def test_a_table_that_allows_two_grids_is_not_read(changed: Callable[..., ReleasedFile]) -> None:
    file = changed()
    state = {k: v for k, v in file.state.items() if not k.endswith("relative_position_index")}
    for block in range(3):  # 3 x 4 patches or 4 x 3
        state[f"vision_encoder.blocks.{block}.attn.relative_position_bias_table"] = torch.zeros(38, 4)
    config = {k: v for k, v in file.config.items() if k != "image_res"}
    with pytest.raises(CheckpointError, match="38 rows, which no square grid has"):
        import_official(replace(file, state=state, config=config), HEADS)
    with pytest.raises(CheckpointError, match=r"38 x 4; the model has 24 x 4"):
        import_official(replace(file, state=state, config=config), HEADS | {"image_res": [32, 64]})
