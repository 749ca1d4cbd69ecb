"""`cfack train`: from a configuration and a data folder to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfack_runtime.errors import UsageError

if TYPE_CHECKING:
    from cfack.config import ExperimentConfig
    from cfack.training.train import TrainResult


# The released script spells its options with underscores; both spellings are accepted.
@click.command("train", context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.option(
    "--config",
    "config_source",
    required=True,
    help="A preset (base-384, base-384x128, large-384, tiny), a TOML file or a released YAML file.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Starting weights: a checkpoint folder, a released CFACK file or an X²-VLM file.",
)
@click.option(
    "--output-dir", required=True, type=click.Path(path_type=Path), help="Folder for checkpoints and metrics."
)
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data folder.  [default: data.root of the configuration]"
)
@click.option(
    "--resume", is_flag=True, help="Continue the run in the output folder; start it if there is none."
)
@click.option(
    "--pick-best-r1/--no-pick-best-r1",
    default=True,
    help="Keep the weights with the best R@1.  [default: yes]",
)
@click.option(
    "--select-on",
    type=click.Choice(["val", "test"]),
    help="Split that chooses the best weights; test is what the released code does.  [default: val]",
)
@click.option("--tokenizer", help="Folder, tokenizer.json, vocab.txt or hub name; goes before all others.")
@click.option("--epochs", type=click.IntRange(min=1), help="Short for --set schedule.epochs=N.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a key: --set data.batch_size=16."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def command(
    config_source: str,
    checkpoint: Path | None,
    output_dir: Path,
    data: Path | None,
    resume: bool,
    pick_best_r1: bool,
    select_on: str | None,
    tokenizer: str | None,
    epochs: int | None,
    settings: tuple[str, ...],
    device: str,
) -> None:
    """Train a model, from a checkpoint or from random weights.

    A run that was stopped, also by a kill or a power cut, goes on with --resume to the same weights. Several
    GPUs: torchrun --nproc-per-node N -m cfack train ...
    """
    from cfack.cli.settings import apply_settings
    from cfack.cli.training_display import show_training
    from cfack.config import with_overrides
    from cfack.config.released import load_any_config
    from cfack.training.distributed import processes_from_environment
    from cfack.training.train import train

    is_main = processes_from_environment().is_main
    config, notes = load_any_config(config_source)
    if is_main:
        for note in notes:
            click.echo(f"note: {note}", err=True)
    config = apply_settings(config, settings)
    if epochs is not None:
        config = with_overrides(config, schedule={"epochs": epochs})
    if select_on is not None:
        config = with_overrides(config, switches={"select_on_test": select_on == "test"})
    if data is None and not config.data.root:
        raise UsageError("no data folder: give --data (what `cfack data prepare` wrote), or set data.root")
    data_root = data or Path(config.data.root)
    with show_training(config.train.log_every, is_main) as show:
        result = train(
            config,
            data_root,
            output_dir,
            checkpoint,
            tokenizer,
            resume=resume,
            pick_best_r1=pick_best_r1,
            device=device,
            progress=show.progress,
            on_step=show.step,
            on_evaluation=show.evaluation,
        )
    if is_main:
        click.echo("\n".join(_summary(config, data_root, result)))


def _summary(config: ExperimentConfig, data: Path, result: TrainResult) -> list[str]:
    minutes = result.seconds / 60
    lines = [f"epochs {result.epochs}, steps {result.steps}; {minutes:.1f} minutes this time"]
    chosen = result.last_checkpoint
    if result.best_checkpoint is not None and result.best_r1 is not None:
        chosen = result.best_checkpoint
        split = "test" if config.switches.select_on_test else "val"
        how = f"re-ranked {config.train.rerank}" if config.train.rerank else "dual encoder"
        lines.append(f"best R@1 on {split} {result.best_r1:.2f} % ({how}): {chosen}")
    else:
        lines.append(f"last weights: {chosen}")
    return [
        *lines,
        f"next: cfack evaluate {chosen} --data {data}",
        f"      cfack export {chosen} --out model.cfack",
    ]
