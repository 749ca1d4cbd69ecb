"""Where a training starts: any checkpoint this project can read."""

from __future__ import annotations

from pathlib import Path

from cfack.config import ExperimentConfig, ModelConfig
from cfack.modeling.cfack import CFACK
from cfack.modeling.checkpoint import CONFIG_FILE, load_experiment, read_weights
from cfack.modeling.errors_naming import naming
from cfack.modeling.imported import names_not_in_source
from cfack.modeling.load_report import LoadReport
from cfack.modeling.released.file import read_released_file
from cfack.modeling.transplant import TranslatedWeights, transplant_leniently
from cfack.modeling.x2vlm import start_from_released
from cfack_runtime.errors import CheckpointError


def start_from(model: CFACK, path: str | Path, experiment: ExperimentConfig) -> LoadReport:
    """Put a checkpoint's weights into a model about to be trained.

    Relative-position tables are interpolated to the model's image size. Momentum encoders that the checkpoint
    does not hold are copied from the online ones (O4: the text encoder and the projections are not). An
    imported folder starts a training exactly as the file it was imported from would.

    Args:
        model: changed in place, its geometry decides; untouched if an error is raised.
        path: a checkpoint folder, a released CFACK file or an X²-VLM file.
        experiment: its switches.

    Returns:
        The account; `missing` are the names that get the learning-rate factor of new parameters.

    Raises:
        CheckpointError: the checkpoint cannot be read, or does not fit the model (names every key).
    """
    path = Path(path)
    if not path.is_dir():
        return start_from_released(model, read_released_file(path), experiment)
    with naming(path):
        source = load_experiment(path).model
        _refuse_other_sizes(source, model.config)
        weights, absent = read_weights(path), names_not_in_source(path)
        return transplant_leniently(
            model,
            TranslatedWeights.own({name: tensor for name, tensor in weights.items() if name not in absent}),
            source.vision.grid,
            momentum_keeps_initialisation=experiment.switches.momentum_copied_before_loading,
        )


_SAME_SIZE = (
    ("vision", ("patch_size", "width", "depth", "num_heads")),
    (
        "text",
        ("width", "num_heads", "intermediate_size", "num_text_layers", "num_fusion_layers", "vocab_size"),
    ),
)


def _refuse_other_sizes(source: ModelConfig, target: ModelConfig) -> None:
    """Say which setting differs, which a list of a thousand weights hides."""
    faults = [
        f"model.{table}.{name}: {theirs} in the checkpoint, {ours} in the configuration"
        for table, names in _SAME_SIZE
        for name in names
        if (theirs := getattr(getattr(source, table), name))
        != (ours := getattr(getattr(target, table), name))
    ]
    if faults:
        lines = "".join(f"\n  - {fault}" for fault in faults)
        raise CheckpointError(
            f"the checkpoint is a model of another size:{lines}\n"
            f"Train with the checkpoint's own configuration, --config {CONFIG_FILE} in its folder, or start "
            "from other weights"
        )
