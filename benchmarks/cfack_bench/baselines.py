"""What a user would have without this project, and whether it can run here."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

from cfack_bench.candidates import (
    AUTOCAST,
    COMPILED,
    MEASURED,
    NEED_CHECKPOINT,
    PLAIN,
    Account,
    Candidate,
    Lineup,
    NotRun,
)
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import UsageError
from cfack_runtime.files import sha256_file

_FP32 = "fp32"
_WEIGHTS = "model.safetensors"
_NOTES = {
    AUTOCAST: "accuracy as measured here",
    COMPILED: "the model that parity is measured against, compiled",
}


def add_baseline(
    lineup: Lineup,
    bundle: Bundle,
    candidate: Candidate,
    checkpoint: Path | None,
    *,
    fp32: bool,
    has_data: bool,
) -> None:
    """Put a baseline into the lineup, or the reason why it cannot run.

    Args:
        lineup: gets it.
        bundle: whose speed it is compared with.
        candidate: backend, device and threads; the precision follows from the backend.
        checkpoint: that the bundle was exported from.
        fp32: whether FP32 was asked for.
        has_data: whether accuracy is going to be measured.

    Raises:
        UsageError: the checkpoint is none, or not the bundle's.
    """
    backend = candidate.backend
    if not fp32:
        reason = "only other precisions were asked for"
    elif backend == PLAIN:
        reason = "" if _FP32 in bundle.manifest.passed else "the bundle holds no fp32 graphs that passed"
    else:
        reason = _obstacle(bundle, backend, checkpoint, has_data=has_data)
    if reason:
        options = " --checkpoint CHECKPOINT" if backend in NEED_CHECKPOINT else ""
        options += " --data DATA" if backend == AUTOCAST else ""
        command = f"cfack bench BUNDLE --backend {backend}{options}"
        lineup.not_run.append(NotRun(f"baseline {backend}", reason, command))
        return
    if backend == PLAIN:
        parity = dict(bundle.manifest.parity[_FP32])
        size = sum(graph.file.size for graph in bundle.manifest.graphs[_FP32].values())
        account = Account(
            replace(candidate, precision=_FP32), MEASURED, parity, "the bundle's FP32 graphs", size
        )
    else:
        assert checkpoint is not None  # an obstacle otherwise
        precision = "autocast" if backend == AUTOCAST else _FP32
        note = _NOTES.get(backend, "the model that parity is measured against")
        size = (checkpoint / _WEIGHTS).stat().st_size
        account = Account(replace(candidate, precision=precision), MEASURED, None, note, size)
    lineup.accounts.append(account)


def _obstacle(bundle: Bundle, backend: str, checkpoint: Path | None, *, has_data: bool) -> str:
    """Why PyTorch cannot run; "" if it can."""
    if checkpoint is None:
        return "it needs the checkpoint that the bundle was exported from"
    weights = checkpoint / _WEIGHTS
    if not weights.is_file():
        raise UsageError(f"{checkpoint}: holds no {_WEIGHTS}; give a checkpoint folder")
    if sha256_file(weights) != bundle.manifest.checkpoint_sha256:
        raise UsageError(
            f"{checkpoint}: is not the checkpoint that {bundle.path.name} was exported from; "
            "speeds of different models cannot stand in one table"
        )
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed; `pip install 'cfack[train]'`"
    if backend == AUTOCAST and not has_data:
        return "its accuracy is known only if it is measured, and no speed is given without it"
    return ""
