import pytest

from cfack.config import (
    ExperimentConfig,
    Switches,
    dump_config,
    load_config,
    parse_config,
    preset_names,
    with_overrides,
)
from cfack_runtime.errors import ConfigError


@pytest.mark.parametrize("name", ["base-384", "base-384x128", "large-384", "tiny"])
def test_every_preset_loads_and_survives_being_written(name: str) -> None:
    config = load_config(name)
    assert parse_config(dump_config(config)) == config


def test_the_list_of_presets_is_complete() -> None:
    assert preset_names() == ["base-384", "base-384x128", "large-384", "tiny"]


def test_the_base_preset_is_the_published_model() -> None:
    model = load_config("base-384").model
    assert model.vision.grid == (24, 24)
    assert (model.vision.width, model.vision.depth, model.embed_dim) == (768, 12, 256)
    assert (model.text.num_text_layers, model.text.num_fusion_layers) == (12, 6)


def test_the_pedestrian_preset_has_a_third_of_the_patches() -> None:
    rows, columns = load_config("base-384x128").model.vision.grid
    assert rows * columns == 192


def test_all_faults_are_reported_together() -> None:
    text = 'mode = "sloppy"\n[model]\nfoo = 1\nembed_dim = "a"\n[model.vision]\nwidth = 7'
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "mine.toml")
    message = str(caught.value)
    assert message.startswith("mine.toml:")
    assert "unknown key model.foo" in message
    assert "model.embed_dim: expected int, got 'a'" in message
    assert "width 7 is not a multiple of num_heads 12" in message
    assert "mode: expected one of clean, official, got 'sloppy'" in message


def test_a_boolean_is_not_a_number() -> None:
    with pytest.raises(ConfigError, match="model.embed_dim: expected int, got True"):
        parse_config("[model]\nembed_dim = true")


def test_a_whole_number_serves_as_a_fraction() -> None:
    assert parse_config("[schedule]\nwarmup_fraction = 0").schedule.warmup_fraction == 0.0


def test_official_mode_turns_every_switch_on_and_single_ones_can_be_turned_off() -> None:
    assert parse_config('mode = "official"').switches == Switches.official()
    mended = parse_config('mode = "official"\n[switches]\nraw_original_caption = false').switches
    assert not mended.raw_original_caption
    assert mended.matching_uses_original_mask


def test_absent_tables_and_numbers_survive_being_written() -> None:
    config = parse_config('[model]\ncnn = false\n[optimizer]\nclip_norm = "none"')
    assert config.model.cnn is None
    assert config.optimizer.clip_norm is None
    assert parse_config(dump_config(config)) == config


def test_images_that_do_not_divide_into_patches_are_refused() -> None:
    with pytest.raises(ConfigError, match="384 x 100 cannot be cut into patches of 16"):
        parse_config("[model.vision]\nimage_width = 100")


def test_a_missing_file_names_the_presets() -> None:
    with pytest.raises(ConfigError, match=r"no configuration 'nowhere\.toml'.*tiny"):
        load_config("nowhere.toml")


def test_text_that_is_not_toml_names_the_line() -> None:
    with pytest.raises(ConfigError, match="line 1"):
        parse_config("= 3")


def test_overrides_replace_single_values() -> None:
    changed = with_overrides(ExperimentConfig(), train={"seed": 7})
    assert changed.train.seed == 7
    assert changed.model == ExperimentConfig().model
