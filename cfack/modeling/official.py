"""Released CFACK checkpoints, in both key layouts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from cfack.modeling.build import build_model
from cfack.modeling.errors_naming import naming
from cfack.modeling.imported import Imported
from cfack.modeling.key_translation import released_key, translate
from cfack.modeling.released.file import ReleasedFile
from cfack.modeling.released.geometry import released_experiment
from cfack.modeling.transplant import transplant_strictly
from cfack_runtime.errors import ConfigError


def import_official(file: ReleasedFile, given: Mapping[str, Any] | None = None) -> Imported:
    """Build the model of a released CFACK checkpoint, at the image size it was trained for.

    Args:
        file: the content of the file.
        given: the keys of `--config`; see `released_experiment`.

    Raises:
        CheckpointError: weights and configuration contradict each other, the geometry is not known, or a key
            is missing or misshaped; the message names it.
        ConfigError: a key of either configuration is unknown or wrong, or timm has no CNN of that name.
    """
    with naming(file.path):
        try:
            config, notes = released_experiment(file.state, file.config, given or {})
            model = build_model(config.model)
        except ConfigError as error:
            raise ConfigError(
                f"{error}\nA wrong key of the file's configuration is corrected by --config"
            ) from error
        report = transplant_strictly(model, translate(file.state), partial(released_key, state=file.state))
    return Imported(file.path, "CFACK", model.eval(), config, report, tuple(notes))
