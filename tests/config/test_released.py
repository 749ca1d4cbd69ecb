from pathlib import Path

import pytest

from cfack.config import load_config
from cfack.config.released import load_any_config
from cfack_runtime.errors import ConfigError

RELEASED = """
image_root: 'data/CUHK-PEDES/imgs'
train_file: ['data/CUHK-PEDES/processed_data/train.json']
val_file: 'data/CUHK-PEDES/processed_data/test.json'
test_file: 'data/CUHK-PEDES/processed_data/test.json'
use_cross_aug: False
use_beit_v2: True
vision_config: 'configs/config_beit2_base.json'
image_res: 384
patch_size: 16
embed_dim: 256
use_mask: False
use_momentum: True
momentum: 0.995
temp: 0.07
text_encoder: 'configs/bert-base-uncased'
text_tokenizer: 'bert-base-uncased'
text_num_hidden_layers: 18
text_fusion_start_at: 12
num_dec_layers: 6
large_lr_for_dec: True
batch_size_train: 20
accumulate_steps: 2
batch_size_test_text: 256
batch_size_test: 256
max_tokens: 40
k_test: 64
use_sdm: False
use_id_loss: False
num_classes: 11003
mlm: True
max_words: 30
mask_prob: 0.5
max_masks: 12
mask_whole_word: True
skipgram_prb: 0.2
skipgram_size: 3
erasing_p: 0.6
optimizer: {opt: adamW, lr: 1e-5, weight_decay: 0.01, lr_mult: 2, vision_lr: 3e-5, text_lr: 1e-5}
schedular: {sched: cosine, epochs: 61, num_warmup_steps: 0.025}
eval_epoch: 3  # epoch index
use_cnn_feats: True
cnn_net: resnet50
"""


@pytest.fixture
def released(tmp_path: Path) -> Path:
    path = tmp_path / "cuhk.yaml"
    path.write_text(RELEASED)
    return path


def test_a_released_file_is_read_as_it_is(released: Path) -> None:
    config, notes = load_any_config(released)
    assert config.data.root == "data/CUHK-PEDES"
    assert config.data.batch_size == 20
    assert config.train.accumulate_steps == 2
    assert config.train.rerank == 64
    assert config.schedule.epochs == 61
    assert config.schedule.warmup_fraction == 0.025
    assert config.model.cnn is not None
    assert (config.model.cnn.name, config.model.cnn.head) == ("resnet50", "timm")
    assert (config.model.text.num_text_layers, config.model.text.num_fusion_layers) == (12, 6)
    assert config.model.vision == load_config("base-384").model.vision
    assert config.mode == "clean"
    assert any(note.startswith("val_file is not used") and "--select-on test" in note for note in notes)


def test_a_number_that_yaml_reads_as_text_is_still_a_number(released: Path) -> None:
    config, _ = load_any_config(released)
    assert config.optimizer.learning_rate == 1e-5
    assert config.optimizer.vision_learning_rate == 3e-5


def test_every_key_is_used_or_reported(released: Path) -> None:
    released.write_text(RELEASED + "surprise: 1\n")
    _, notes = load_any_config(released)
    reported = {note.split(" is not used: ")[0] for note in notes}
    assert reported == {
        "train_file", "val_file", "test_file", "use_cross_aug", "use_beit_v2", "use_mask", "num_dec_layers",
        "large_lr_for_dec", "batch_size_test_text", "num_classes", "max_words", "mask_whole_word",
        "optimizer.opt", "text_num_hidden_layers", "surprise",
    }  # fmt: skip


def test_without_use_cnn_feats_there_is_no_cnn(released: Path) -> None:
    released.write_text(RELEASED.replace("use_cnn_feats: True\n", ""))
    config, _ = load_any_config(released)
    assert config.model.cnn is None


def test_convnext_base_gets_the_linear_head(released: Path) -> None:
    released.write_text(RELEASED.replace("resnet50", "convnext_base.fb_in22k_ft_in1k"))
    config, _ = load_any_config(released)
    assert config.model.cnn is not None
    assert config.model.cnn.head == "linear"


def test_a_large_vision_configuration_is_known_by_name(released: Path) -> None:
    released.write_text(RELEASED.replace("beit2_base", "beit2_large"))
    config, _ = load_any_config(released)
    assert config.model.vision == load_config("large-384").model.vision


def test_wrong_values_are_reported_together(released: Path) -> None:
    text = RELEASED.replace("embed_dim: 256", "embed_dim: wide").replace("mlm: True", "mlm: 3")
    text = text.replace("configs/config_beit2_base.json", "tiny")
    released.write_text(
        text.replace("vision_config: 'configs/config_beit2_base.json'", "vision_config: tiny")
    )
    with pytest.raises(ConfigError) as caught:
        load_any_config(released)
    assert "embed_dim: expected int, got 'wide'" in str(caught.value)
    assert "mlm: expected bool, got 3" in str(caught.value)
    assert "only BEiT-v2 base and large are known by name" in str(caught.value)


def test_presets_and_toml_pass_through(tmp_path: Path) -> None:
    assert load_any_config("tiny") == (load_config("tiny"), [])
    path = tmp_path / "mine.toml"
    path.write_text("[train]\nseed = 3")
    assert load_any_config(path)[0].train.seed == 3


@pytest.mark.parametrize(("text", "message"), [("a: [", "not valid YAML"), ("- 1", "expected a mapping")])
def test_a_broken_yaml_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_any_config(path)
