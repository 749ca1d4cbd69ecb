from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cfack.config import ExperimentConfig, Switches, load_config
from cfack.data.annotations import read_split
from cfack.evaluation import evaluate
from cfack.modeling.checkpoint import load_checkpoint, load_tokenizer
from cfack.training import loop
from cfack.training.metrics_log import read_metrics
from cfack.training.reports import EvaluationReport, StepReport
from cfack.training.state import load_state
from cfack.training.train import TrainResult, train
from cfack_runtime.errors import CheckpointError, ConfigError, DataError, TrainingError, UsageError

Change = Callable[..., ExperimentConfig]


@pytest.fixture(scope="module")
def finished(
    config: ExperimentConfig, data_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainResult]:
    """A run from random weights that ended well: 2 epochs of 4 steps."""
    out = tmp_path_factory.mktemp("finished")
    return out, train(config, data_root, out, device="cpu")


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_state(out / "training_state.pt").model


def test_a_run_ends_with_two_checkpoints_and_says_where(finished: tuple[Path, TrainResult]) -> None:
    out, result = finished

    assert (result.steps, result.epochs) == (8, 2)
    assert (result.best_checkpoint, result.last_checkpoint) == (out / "best", out / "last")
    for folder in (out / "best", out / "last"):
        assert load_checkpoint(folder).config.text.vocab_size == load_tokenizer(folder).vocab_size
    assert {entry.name for entry in out.iterdir()} >= {
        "best",
        "last",
        "config.toml",
        "metrics.jsonl",
        "training_state.pt",
    }
    assert not list(out.glob(".*"))


def test_the_last_checkpoint_holds_the_last_weights(finished: tuple[Path, TrainResult]) -> None:
    out, _ = finished
    saved = load_checkpoint(out / "last").state_dict()

    assert all(torch.equal(saved[name], value) for name, value in weights(out).items())


def test_the_written_configuration_is_complete(
    finished: tuple[Path, TrainResult], config: ExperimentConfig, data_root: Path
) -> None:
    out, _ = finished
    written = load_config(out / "config.toml")

    assert written.data.root == str(data_root)
    assert written.model.text.vocab_size == load_tokenizer(out / "last").vocab_size
    assert written.schedule == config.schedule


def test_every_step_and_every_evaluation_is_logged(finished: tuple[Path, TrainResult]) -> None:
    out, result = finished
    records = read_metrics(out / "metrics.jsonl")
    steps = [record for record in records if record["kind"] == "train"]
    evaluations = [record for record in records if record["kind"] == "evaluation"]

    assert [(record["step"], record["epoch"]) for record in steps] == [
        *((step, 1) for step in (1, 2, 3, 4)),
        *((step, 2) for step in (5, 6, 7, 8)),
    ]
    assert set(steps[0]["terms"]) == {"contrastive", "matching", "masked_language"}
    assert steps[0]["loss"] == pytest.approx(sum(steps[0]["terms"].values()), rel=1e-5)
    assert [(record["step"], record["epoch"], record["split"]) for record in evaluations] == [
        (4, 1, "val"),
        (8, 2, "val"),
    ]
    assert max(record["reranked"]["r1"] for record in evaluations) == result.best_r1


def test_the_learning_rate_follows_the_schedule(finished: tuple[Path, TrainResult]) -> None:
    out, _ = finished
    rates = [record["learning_rate"] for record in read_metrics(out / "metrics.jsonl") if "loss" in record]

    # int(0.1 * 8) = 0 steps of warm-up, then a cosine over 8 steps.
    assert rates == pytest.approx([1e-3 * 0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)])


def test_the_best_checkpoint_gives_the_reported_figure(
    finished: tuple[Path, TrainResult], data_root: Path
) -> None:
    out, result = finished
    measured = evaluate(
        load_checkpoint(out / "best"), load_tokenizer(out / "best"), read_split(data_root, "val"), rerank=2
    )

    assert measured.reranked is not None
    assert measured.reranked.r1 == result.best_r1


def test_the_caller_hears_of_every_step_and_evaluation(
    changed: Change, data_root: Path, tmp_path: Path
) -> None:
    steps: list[StepReport] = []
    evaluations: list[EvaluationReport] = []
    done: list[tuple[int, int]] = []

    train(
        changed(schedule={"epochs": 1}),
        data_root,
        tmp_path / "out",
        device="cpu",
        progress=lambda step, total, /: done.append((step, total)),
        on_step=steps.append,
        on_evaluation=evaluations.append,
    )

    assert done == [(step, 4) for step in range(5)]
    assert [(report.step, report.total_steps, report.epoch) for report in steps] == [
        (step, 4, 1) for step in range(1, 5)
    ]
    assert [(report.epoch, report.is_best) for report in evaluations] == [(1, True)]


def test_the_same_seed_gives_the_same_weights_and_another_one_others(
    finished: tuple[Path, TrainResult],
    config: ExperimentConfig,
    changed: Change,
    data_root: Path,
    tmp_path: Path,
) -> None:
    train(config, data_root, tmp_path / "same", device="cpu")
    train(changed(train={"seed": 7}), data_root, tmp_path / "other", device="cpu", pick_best_r1=False)
    first, same, other = weights(finished[0]), weights(tmp_path / "same"), weights(tmp_path / "other")

    assert all(torch.equal(same[name], value) for name, value in first.items())
    assert not torch.equal(other["vision_projection.weight"], first["vision_projection.weight"])


def test_weights_do_not_depend_on_how_often_there_was_an_evaluation(
    finished: tuple[Path, TrainResult], config: ExperimentConfig, data_root: Path, tmp_path: Path
) -> None:
    result = train(config, data_root, tmp_path / "out", device="cpu", pick_best_r1=False)
    unevaluated = weights(tmp_path / "out")

    assert all(torch.equal(unevaluated[name], value) for name, value in weights(finished[0]).items())
    assert (result.best_checkpoint, result.best_r1) == (None, None)
    assert not (tmp_path / "out" / "best").exists()


def test_evaluations_are_counted_back_from_the_last_epoch(
    changed: Change, data_root: Path, tmp_path: Path
) -> None:
    config = changed(schedule={"epochs": 4}, train={"eval_every": 3, "rerank": 0}, data={"batch_size": 7})
    train(config, data_root, tmp_path / "out", device="cpu")
    records = read_metrics(tmp_path / "out" / "metrics.jsonl")

    assert [(r["epoch"], "reranked" in r) for r in records if r["kind"] == "evaluation"] == [
        (1, False),
        (4, False),
    ]


def test_the_official_mode_chooses_on_the_test_split(
    changed: Change, data_root: Path, tmp_path: Path
) -> None:
    config = changed(schedule={"epochs": 1}, switches={"select_on_test": True})
    train(config, data_root, tmp_path / "out", device="cpu")

    assert read_metrics(tmp_path / "out" / "metrics.jsonl")[-1]["split"] == "test"


def test_the_best_checkpoint_is_not_replaced_by_a_worse_one(
    config: ExperimentConfig, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([50.0, 40.0])
    monkeypatch.setattr("cfack.training.run.Run._evaluate", lambda run, split, epoch, log: next(figures))
    kept: list[EvaluationReport] = []

    result = train(config, data_root, tmp_path / "out", device="cpu", on_evaluation=kept.append)

    assert [report.is_best for report in kept] == [True, False]
    assert result.best_r1 == 50.0
    best, last = (load_checkpoint(tmp_path / "out" / name) for name in ("best", "last"))
    assert not torch.equal(best.vision_projection.weight, last.vision_projection.weight)


@pytest.mark.parametrize(
    ("tables", "terms"),
    [
        (
            {"switches": dict.fromkeys(Switches.__dataclass_fields__, True)},
            {"contrastive", "matching", "masked_language"},
        ),
        ({"model": {"momentum": False, "cnn": None}}, {"contrastive", "matching", "masked_language"}),
        ({"model": {"mlm": False}, "loss": {"pairs": "sdm"}}, {"contrastive", "matching"}),
        ({"model": {"num_identities": 1}}, {"contrastive", "matching", "masked_language", "identity"}),
        (
            {"train": {"precision": "bf16", "gradient_checkpointing": True}},
            {"contrastive", "matching", "masked_language"},
        ),
    ],
    ids=["official", "plain", "sdm", "identity", "bf16"],
)
def test_each_variant_of_the_method_trains(
    changed: Change, data_root: Path, tmp_path: Path, tables: dict[str, dict[str, object]], terms: set[str]
) -> None:
    config = changed(**{**tables, "schedule": {"epochs": 1}})
    reports: list[StepReport] = []
    train(config, data_root, tmp_path / "out", device="cpu", on_step=reports.append)

    assert set(reports[-1].values.terms) == terms
    assert load_config(tmp_path / "out" / "config.toml").model.num_identities == (
        4 if "identity" in terms else 0
    )


def test_a_run_that_starts_from_a_checkpoint_has_its_weights_and_tokenizer(
    finished: tuple[Path, TrainResult], changed: Change, data_root: Path, tmp_path: Path
) -> None:
    config = changed(optimizer={"learning_rate": 0.0}, schedule={"epochs": 1}, loss={"momentum": 1.0})
    train(config, data_root, tmp_path / "out", checkpoint=finished[0] / "last", device="cpu")
    before, after = weights(finished[0]), weights(tmp_path / "out")

    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert (
        load_tokenizer(tmp_path / "out" / "last").to_json() == load_tokenizer(finished[0] / "last").to_json()
    )


def test_what_a_checkpoint_does_not_hold_is_noted_for_the_optimiser(
    finished: tuple[Path, TrainResult], changed: Change, data_root: Path, tmp_path: Path
) -> None:
    config = changed(schedule={"epochs": 1}, model={"num_identities": 1})
    train(config, data_root, tmp_path / "out", checkpoint=finished[0] / "last", device="cpu")
    state = load_state(tmp_path / "out" / "training_state.pt")

    assert set(state.new_parameters) == {"identity_classifier.weight", "identity_classifier.bias"}
    rates = {group["base_lr"] for group in state.optimizer["param_groups"]}
    assert rates == {1e-3, 2e-3}


def test_word_embeddings_without_their_tokenizer_are_refused(
    finished: tuple[Path, TrainResult], config: ExperimentConfig, data_root: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "bare"
    checkpoint.mkdir()
    for name in ("model.safetensors", "config.toml"):
        (checkpoint / name).write_bytes((finished[0] / "last" / name).read_bytes())

    with pytest.raises(UsageError, match=r"no tokenizer.json.*--tokenizer FOLDER_OR_VOCAB"):
        train(config, data_root, tmp_path / "out", checkpoint=checkpoint, device="cpu")
    result = train(
        config, data_root, tmp_path / "out", checkpoint, str(finished[0] / "last"), device="cpu", resume=True
    )

    assert result.steps == 8


def test_a_tokenizer_larger_than_the_model_is_refused(
    finished: tuple[Path, TrainResult], config: ExperimentConfig, data_root: Path, tmp_path: Path
) -> None:
    text = replace(config.model.text, tokenizer=str(finished[0] / "last"), vocab_size=10)
    config = replace(config, model=replace(config.model, text=text))

    with pytest.raises(ConfigError, match=r"word pieces, the model 10; .* model.text.vocab_size = "):
        train(config, data_root, tmp_path / "out", device="cpu")


def test_a_missing_val_split_is_found_before_training_starts(
    config: ExperimentConfig, data_root: Path, tmp_path: Path
) -> None:
    for name in ("train.json", "test.json"):
        (tmp_path / name).write_bytes((data_root / name).read_bytes())

    with pytest.raises(
        DataError, match=r"no val.json .*--hold-out-val N.*--select-on test.*--no-pick-best-r1"
    ):
        train(config, tmp_path, tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_training_split_smaller_than_a_batch_is_refused(
    changed: Change, data_root: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"has 14 pairs .* one batch of 15 .*make data.batch_size smaller"):
        train(changed(data={"batch_size": 15}), data_root, tmp_path / "out", device="cpu")


def test_numbers_that_are_not_finite_end_the_run_and_keep_the_last_save(
    changed: Change, data_root: Path, tmp_path: Path
) -> None:
    config = changed(optimizer={"learning_rate": 1e30}, train={"save_every": 1})

    with pytest.raises(TrainingError, match="step 2 gave no finite numbers: ") as caught:
        train(config, data_root, tmp_path / "out", device="cpu")

    assert f"{tmp_path / 'out' / 'last'} holds the weights after step 1" in str(caught.value)
    assert load_state(tmp_path / "out" / "training_state.pt").position.step == 1


def test_a_loss_that_is_not_finite_is_named_with_its_terms(
    config: ExperimentConfig, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cfack.losses.matching_loss", lambda logits, negatives: logits.sum() * float("nan"))

    with pytest.raises(TrainingError, match=r"step 1 .*: loss nan \(contrastive \d.*, matching nan, masked"):
        train(config, data_root, tmp_path / "out", device="cpu")
    assert all(value.isfinite().all() for value in weights(tmp_path / "out").values())


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "GPU"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), "machine"),
        (MemoryError(), "machine"),
    ],
)
def test_running_out_of_memory_says_what_to_lower(
    config: ExperimentConfig,
    data_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    where: str,
) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(loop, "train_step", fail)
    with pytest.raises(
        TrainingError, match=f"out of memory on the {where} with data.batch_size = 2 at 16 x 8"
    ) as e:
        train(config, data_root, tmp_path / "out", device="cpu")

    assert "data.batch_size = 1 and train.accumulate_steps = 4" in str(e.value)
    assert f"{tmp_path / 'out' / 'last'} holds the last save" in str(e.value)


def test_other_errors_are_not_taken_for_a_lack_of_memory(
    config: ExperimentConfig, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(loop, "train_step", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(config, data_root, tmp_path / "out", device="cpu")


def test_starting_weights_that_are_not_there_are_named(
    config: ExperimentConfig, data_root: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match=r"--checkpoint .*gone\.th: no such file or folder; expected a checkpoint"
    ):
        train(config, data_root, tmp_path / "out", tmp_path / "gone.th", device="cpu")


def test_a_folder_without_any_split_is_sent_to_prepare(config: ExperimentConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no prepared splits; run `cfack data prepare NAME"):
        train(config, tmp_path, tmp_path / "out", device="cpu")


def test_starting_weights_of_another_size_name_the_settings(
    finished: tuple[Path, TrainResult],
    changed: Change,
    config: ExperimentConfig,
    data_root: Path,
    tmp_path: Path,
) -> None:
    deeper = changed(model={"vision": replace(config.model.vision, depth=2)})

    with pytest.raises(
        CheckpointError, match=r"model\.vision\.depth: 1 in the checkpoint, 2 in the configuration"
    ):
        train(deeper, data_root, tmp_path / "out", finished[0] / "best", device="cpu")


def test_images_that_were_moved_are_missed_before_training(
    config: ExperimentConfig, data_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(data_root, root)
    split = read_split(root, "val")
    split.path(0).unlink()

    with pytest.raises(
        DataError, match=rf"1 of the {len(split.records)} images of the val split are not there"
    ):
        train(config, root, tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()
