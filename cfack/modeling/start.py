"""Where a training starts: any checkpoint this project can read."""

from __future__ import annotations

from pathlib import Path

from cfack.config import ExperimentConfig
from cfack.modeling.cfack import CFACK
from cfack.modeling.checkpoint import load_experiment, read_weights
from cfack.modeling.errors_naming import naming
from cfack.modeling.imported import names_not_in_source
from cfack.modeling.load_report import LoadReport
from cfack.modeling.released.file import read_released_file
from cfack.modeling.transplant import TranslatedWeights, transplant_leniently
from cfack.modeling.x2vlm import start_from_released


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
        weights, absent = read_weights(path), names_not_in_source(path)
        return transplant_leniently(
            model,
            TranslatedWeights.own({name: tensor for name, tensor in weights.items() if name not in absent}),
            load_experiment(path).model.vision.grid,
            momentum_keeps_initialisation=experiment.switches.momentum_copied_before_loading,
        )
