"""Putting foreign weights into a model, and accounting for each of them.

Strict: every entry of the model comes from the file. Lenient: parts that only training uses may be absent
from either side, and relative-position tables of another image size are interpolated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from cfack.modeling.cfack import CFACK
from cfack.modeling.load_report import LoadReport
from cfack.modeling.position_bias import resize_position_bias, table_rows
from cfack_runtime.errors import CheckpointError

AT_INITIALISATION = "not in the file: keeps its initialisation"
FROM_ONLINE = "copied from the online weights"

_MOMENTUM = tuple(
    f"momentum.{part}." for part in ("vision_encoder", "text_encoder", "vision_projection", "text_projection")
)
_HEADS = ("vision_projection.", "text_projection.", "matching_head.", "mlm_head.", "temperature")
_REPLACEABLE = ("cnn_branch.", "identity_classifier.")
"""Parts that another data set or configuration may need in another shape."""

_OPTIONAL = _MOMENTUM + _HEADS + _REPLACEABLE
_TABLE = "relative_position_bias_table"
_NAMES_SHOWN = 6


@dataclass(frozen=True)
class TranslatedWeights:
    """The tensors of a file under our names."""

    weights: dict[str, Tensor]
    """Our key -> tensor."""
    file_keys: dict[str, str]
    """Our key -> the file's key."""
    unused: dict[str, str]
    """Key of the file -> why it has no name here."""

    @classmethod
    def own(cls, weights: Mapping[str, Tensor]) -> TranslatedWeights:
        """Weights that have our names already."""
        return cls(dict(weights), {name: name for name in weights}, {})


def transplant_strictly(
    model: CFACK, source: TranslatedWeights, file_key: Callable[[str], str] = str
) -> LoadReport:
    """Load weights that must be exactly the model's.

    Args:
        model: changed in place; untouched if an error is raised.
        source: the weights under our names.
        file_key: our name of an absent parameter -> the name it would have in the file, for messages.

    Raises:
        CheckpointError: names every key that is missing, left over or of another shape.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in source.weights]
    left_over = [name for name in source.weights if name not in own]
    _refuse(own, source, missing, left_over, file_key)
    model.load_state_dict(source.weights)
    return LoadReport(used=tuple(source.file_keys.values()), unused=source.unused)


def transplant_leniently(
    model: CFACK,
    source: TranslatedWeights,
    source_grid: tuple[int, int],
    *,
    momentum_keeps_initialisation: bool = False,
    file_key: Callable[[str], str] = str,
) -> LoadReport:
    """Start a model from weights that may lack what only training uses.

    Both encoders and the fusion layers must be whole. Heads, momentum encoders, CNN branch and identity
    classifier are taken as a whole or not at all. What the file does not hold keeps its initialisation, but
    momentum encoders are copied from the online ones.

    Args:
        model: changed in place; untouched if an error is raised.
        source: the weights under our names.
        source_grid: (height, width) in patches of the weights' vision encoder.
        momentum_keeps_initialisation: O4: copy the momentum vision encoder only.
        file_key: as for `transplant_strictly`.

    Raises:
        CheckpointError: names every key that does not fit.
    """
    own = model.state_dict()
    target_grid = model.config.vision.grid
    weights, resized = _resize_tables(own, source, source_grid, target_grid)
    unused = dict(source.unused)
    for name, reason in _unwanted(own, weights).items():
        unused[source.file_keys[name]] = reason
        del weights[name]
    absent = {part for part in _OPTIONAL if not any(name.startswith(part) for name in weights)}
    missing = [name for name in own if name not in weights]
    refused = [name for name in missing if not name.startswith(tuple(absent))]
    _refuse(own, TranslatedWeights(weights, source.file_keys, unused), refused, [], file_key)
    filled = dict.fromkeys(missing, AT_INITIALISATION)
    copied = _MOMENTUM[:1] if momentum_keeps_initialisation else _MOMENTUM
    for name in missing:
        if name.startswith(copied):
            filled[name] = FROM_ONLINE
            online = name.removeprefix("momentum.")
            weights[name] = weights.get(online, own[online])
    used = tuple(source.file_keys[name] for name in weights if name not in filled)
    model.load_state_dict({**own, **weights})
    return LoadReport(
        used=used,
        unused=unused,
        filled=filled,
        missing=frozenset(name for name, reason in filled.items() if reason == AT_INITIALISATION),
        resized={source.file_keys[name]: change for name, change in resized.items() if name in weights},
    )


def _resize_tables(
    own: Mapping[str, Tensor],
    source: TranslatedWeights,
    source_grid: tuple[int, int],
    target_grid: tuple[int, int],
) -> tuple[dict[str, Tensor], dict[str, str]]:
    weights = dict(source.weights)
    resized: dict[str, str] = {}
    if source_grid == target_grid:
        return weights, resized
    change = "{} x {} patches to {} x {}".format(*source_grid, *target_grid)
    for name, table in source.weights.items():
        if name.endswith(_TABLE) and name in own and table.shape[0] == table_rows(source_grid):
            weights[name] = resize_position_bias(table, source_grid, target_grid)
            resized[name] = change
    return weights, resized


def _unwanted(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Weights that the model has no place for, with the reason."""
    unwanted: dict[str, str] = {}
    for part in _REPLACEABLE:
        theirs = {name: weights[name].shape for name in weights if name.startswith(part)}
        ours = {name: own[name].shape for name in own if name.startswith(part)}
        if theirs and ours and theirs != ours:
            unwanted |= dict.fromkeys(theirs, f"the configuration has another {part[:-1].replace('_', ' ')}")
    parts = {name.split(".")[0] for name in own}
    for name in weights:
        if name.split(".")[0] not in parts:
            unwanted[name] = f"the configuration has no {name.split('.')[0].replace('_', ' ')}"
        elif name not in own and name not in unwanted and not _is_in_a_layer(name):
            unwanted[name] = f"our {name.split('.')[0].replace('_', ' ')} has no such parameter"
    return unwanted


def _is_in_a_layer(name: str) -> bool:
    """Whether a name counts a layer: one that the model lacks means another depth, which is an error."""
    return re.search(r"\.(blocks|layers)\.\d+\.", name) is not None


def _refuse(
    own: Mapping[str, Tensor],
    source: TranslatedWeights,
    missing: list[str],
    left_over: list[str],
    file_key: Callable[[str], str],
) -> None:
    """Raise one error that names everything that does not fit."""
    left_over = left_over or [name for name in source.weights if name not in own]
    faults = [f"missing: {_both_names(name, file_key(name))}" for name in missing]
    faults += [f"not in the model: {_both_names(name, source.file_keys[name])}" for name in left_over]
    faults += [
        f"{_both_names(name, source.file_keys[name])} is {_shape(tensor)}; the model has {_shape(own[name])}"
        for name, tensor in source.weights.items()
        if name in own and tensor.shape != own[name].shape
    ]
    if faults:
        more = [f"... and {len(faults) - _NAMES_SHOWN} more"] if len(faults) > _NAMES_SHOWN else []
        lines = "".join(f"\n  - {line}" for line in faults[:_NAMES_SHOWN] + more)
        raise CheckpointError(f"the weights do not fit the model:{lines}")


def _both_names(name: str, file_key: str) -> str:
    return name if name == file_key else f"{file_key} ({name} here)"


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a scalar"
