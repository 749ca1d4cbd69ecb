from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cfack.cli.settings import apply_settings
from cfack.cli.train import command
from cfack.config import ExperimentConfig, Switches, load_config
from cfack.data.annotations import ImageRecord, Split, write_split
from cfack.modeling.checkpoint import load_checkpoint
from cfack_runtime.errors import ConfigError, UsageError

SMALL = """
[model]
embed_dim = 8
cnn = false

[model.vision]
image_height = 16
image_width = 8
patch_size = 8
width = 16
depth = 1
num_heads = 2

[model.text]
tokenizer = "captions"
vocab_size = 160
width = 16
num_heads = 2
intermediate_size = 32
num_text_layers = 1
num_fusion_layers = 1
max_positions = 16
max_tokens = 12

[data]
batch_size = 2
num_workers = 0

[schedule]
epochs = 5

[train]
rerank = 2
log_every = 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small configuration, `small.toml`, and a small data set, `data`."""
    root = tmp_path_factory.mktemp("train")
    (root / "small.toml").write_text(SMALL)
    (root / "data").mkdir()
    for split in ("train", "val", "test"):
        records = []
        for identity, colour in enumerate(("red", "green")):
            for number in range(2):
                name = f"{split}_{identity}_{number}.png"
                pixels = np.full((16, 8, 3), 60 * identity + 9 * number, np.uint8)
                Image.fromarray(pixels).save(root / "data" / name)
                records.append(ImageRecord(name, identity, (f"a person in a {colour} coat",)))
        write_split(root / "data", Split(split, "small", root / "data", tuple(records)))
    return root


def run(*arguments: object) -> tuple[str, str]:
    """What the command wrote to stdout and stderr; its errors travel."""
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_training_ends_with_the_best_figure_and_what_to_do_next(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stdout, stderr = run(
        *("--config", folder / "small.toml", "--output_dir", out, "--data", folder / "data"),
        *(
            "--pick_best_r1",
            "--select_on",
            "test",
            "--epochs",
            1,
            "--set",
            "train.rerank=0",
            "--device",
            "cpu",
        ),
    )

    lines = stdout.splitlines()
    assert lines[0].startswith("epochs 1, steps 2; ")
    assert lines[1].startswith("best R@1 on test ")
    assert lines[1].endswith(f" % (dual encoder): {out / 'best'}")
    assert lines[2:] == [
        f"next: cfack evaluate {out / 'best'} --data {folder / 'data'}",
        f"      cfack export {out / 'best'} --out model.cfack",
    ]
    assert "step 2/2  epoch 1  loss " in stderr
    assert "after epoch 1: R@1 " in stderr
    load_checkpoint(out / "best")


def test_no_pick_best_r1_keeps_the_last_weights(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stdout, _ = run(
        *("--config", folder / "small.toml", "--output-dir", out, "--data", folder / "data"),
        *("--no-pick-best-r1", "--set", "schedule.epochs=1"),
    )

    assert stdout.splitlines()[1] == f"last weights: {out / 'last'}"
    assert not (out / "best").exists()


def test_the_written_configuration_resumes_the_run_without_more_options(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("--config", folder / "small.toml", "--output-dir", out, "--data", folder / "data", "--epochs", 1)

    stdout, stderr = run("--config", out / "config.toml", "--output-dir", out, "--resume")

    assert load_config(out / "config.toml").data.root == str(folder / "data")
    assert stdout.startswith("epochs 1, steps 2; ")
    assert "step " not in stderr


def test_a_training_without_data_says_how_to_give_some(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no data folder: give --data \(what `cfack data prepare` wrote\)"):
        run("--config", folder / "small.toml", "--output-dir", tmp_path / "out")


def test_keys_of_a_released_file_that_are_not_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "released.yaml").write_text("batch_size_train: 8\nalpha: 0.4\n")

    result = CliRunner().invoke(
        command, ["--config", str(tmp_path / "released.yaml"), "--output-dir", str(tmp_path / "out")]
    )

    assert isinstance(result.exception, UsageError)
    assert "note: alpha is not used: never read by the released code (O30)" in result.stderr


def test_a_setting_is_a_key_with_dots_and_a_toml_value() -> None:
    config = apply_settings(
        ExperimentConfig(), ["schedule.epochs=3", "optimizer.learning_rate = 1e-4", "model.mlm=false"]
    )

    assert (config.schedule.epochs, config.optimizer.learning_rate, config.model.mlm) == (3, 1e-4, False)


def test_text_needs_no_quotation_marks() -> None:
    config = apply_settings(ExperimentConfig(), ["model.text.tokenizer=captions", 'augment.text="none"'])

    assert (config.model.text.tokenizer, config.augment.text) == ("captions", "none")


def test_optional_tables_and_numbers_can_be_left_out() -> None:
    config = apply_settings(ExperimentConfig(), ["model.cnn=false", "optimizer.clip_norm=none"])

    assert config.model.cnn is None
    assert config.optimizer.clip_norm is None


def test_the_mode_sets_all_switches_and_later_settings_single_ones() -> None:
    config = apply_settings(ExperimentConfig(), ["mode=official", "switches.select_on_test=false"])

    assert config.mode == "official"
    assert config.switches.local_negatives
    assert not config.switches.select_on_test
    assert apply_settings(config, ["mode=clean"]).switches == Switches()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("schedule.epochs", "--set schedule.epochs: expected KEY=VALUE, for example schedule.epochs=3"),
        ("schedul.epochs=3", "--set schedul.epochs=3: schedul is no table here; known: augment, data,"),
        ("schedule.epoch=3", "unknown key schedule.epoch; known here: epochs"),
        ("schedule.epochs=three", "schedule.epochs: expected int, got 'three'"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply_settings(ExperimentConfig(), [setting])
