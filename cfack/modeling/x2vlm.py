"""X²-VLM pre-training files, from which CFACK's training starts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from cfack.config import ExperimentConfig
from cfack.modeling.build import build_model
from cfack.modeling.cfack import CFACK
from cfack.modeling.errors_naming import naming
from cfack.modeling.imported import Imported
from cfack.modeling.key_translation import released_key, translate
from cfack.modeling.load_report import LoadReport
from cfack.modeling.released.file import ReleasedFile
from cfack.modeling.released.patch_grid import source_grid
from cfack.modeling.transplant import transplant_leniently


def start_from_released(
    model: CFACK, file: ReleasedFile, experiment: ExperimentConfig, given: Mapping[str, Any] | None = None
) -> LoadReport:
    """Put the weights of an X²-VLM or CFACK file into a model of possibly another image size.

    Args:
        model: changed in place.
        file: the content of the file.
        experiment: its switch O4 decides how momentum encoders start that the file does not hold.
        given: `image_res` of the file, where the file does not say it.

    Raises:
        CheckpointError: the file does not fit the model; names every key.
    """
    with naming(file.path):
        return transplant_leniently(
            model,
            translate(file.state),
            source_grid(file.state, {**file.config, **(given or {})}),
            momentum_keeps_initialisation=experiment.switches.momentum_copied_before_loading,
            file_key=partial(released_key, state=file.state),
        )


def import_x2vlm(
    file: ReleasedFile, experiment: ExperimentConfig, given: Mapping[str, Any] | None = None
) -> Imported:
    """Build the model that a training described by `experiment` would start from.

    Args:
        file: the content of the file.
        experiment: target geometry, for example the preset "base-384".
        given: as for `start_from_released`.

    Raises:
        CheckpointError: the file does not fit the geometry; names every key.
    """
    model = build_model(experiment.model)
    report = start_from_released(model, file, experiment, given)
    return Imported(file.path, "X²-VLM", model.eval(), experiment, report)
