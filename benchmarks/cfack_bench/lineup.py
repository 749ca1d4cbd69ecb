"""Who takes part: precisions whose parity gate passed, baselines, and what is missing and why."""

from __future__ import annotations

import ctypes.util
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cfack_bench.candidates import (
    AUTOCAST,
    BASELINES,
    COMPILED,
    ENGINES,
    MEASURED,
    NEED_CHECKPOINT,
    ONNXRUNTIME,
    PLAIN,
    REFUSED,
    Account,
    Candidate,
    Lineup,
    NotRun,
)
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import BundleError, UsageError
from cfack_runtime.files import sha256_file

_FP32 = "fp32"
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Wanted:
    """What was asked for; empty lists mean: whatever can run."""

    backends: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    device: str = "cpu"
    threads: int = 1
    checkpoint: Path | None = None
    baselines: bool = True
    has_data: bool = False
    """Whether accuracy is going to be measured, without which autocast has none to show."""


def choose_lineup(bundle: Bundle, wanted: Wanted) -> Lineup:
    """Decide who takes part.

    Raises:
        UsageError: a backend has no such name, or the checkpoint is not the one the bundle comes from.
        BundleError: the bundle does not hold a precision that was asked for.
    """
    known = (*ENGINES, *BASELINES)
    for name in wanted.backends:
        if name not in known:
            raise UsageError(f"no backend {name!r}; expected one of {', '.join(known)}")
    for name in wanted.precisions:
        if name not in bundle.manifest.graphs:
            raise BundleError(
                f"{bundle.path.name}: holds no precision {name!r}, only {', '.join(bundle.manifest.graphs)}"
            )
    lineup = Lineup()
    for backend in wanted.backends or (ONNXRUNTIME,):
        if backend in ENGINES:
            _add_precisions(lineup, bundle, wanted, backend)
    if wanted.backends:
        baselines: Sequence[str] = [name for name in wanted.backends if name in BASELINES]
    else:
        baselines = BASELINES if wanted.baselines else ()
    for backend in baselines:
        _add_baseline(lineup, bundle, wanted, backend, asked=bool(wanted.backends))
    if not wanted.backends:
        lineup.not_run += _missing_devices(bundle, wanted)
    return lineup


def has_cuda() -> bool:
    """Whether the NVIDIA driver is here and finds a device."""
    name = ctypes.util.find_library("cuda")
    if not name:
        return False
    try:
        driver = ctypes.CDLL(name)
        count = ctypes.c_int()
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def _add_precisions(lineup: Lineup, bundle: Bundle, wanted: Wanted, backend: str) -> None:
    for precision, graphs in bundle.manifest.graphs.items():
        if wanted.precisions and precision not in wanted.precisions:
            continue
        candidate = Candidate(backend, precision, wanted.device, wanted.threads)
        parity = dict(bundle.manifest.parity[precision])
        size = sum(graph.file.size for graph in graphs.values())
        if parity["passed"] is True:
            lineup.accounts.append(Account(candidate, MEASURED, parity, model_bytes=size))
        else:
            note = "the parity gate did not pass, so no speed is given; see parity.json in the bundle"
            lineup.accounts.append(Account(candidate, REFUSED, parity, note, size))


def _add_baseline(lineup: Lineup, bundle: Bundle, wanted: Wanted, backend: str, *, asked: bool) -> None:
    reason = _obstacle(bundle, wanted, backend, asked=asked)
    if reason:
        extra = " --checkpoint CHECKPOINT" if backend in NEED_CHECKPOINT else ""
        data = " --data DATA" if backend == AUTOCAST else ""
        command = f"cfack bench BUNDLE --backend {backend}{extra}{data}"
        lineup.not_run.append(NotRun(f"baseline {backend}", reason, command))
        return
    precision = "autocast" if backend == AUTOCAST else _FP32
    candidate = Candidate(backend, precision, wanted.device, wanted.threads)
    if backend == PLAIN:
        parity = dict(bundle.manifest.parity[_FP32])
        size = sum(graph.file.size for graph in bundle.manifest.graphs[_FP32].values())
        lineup.accounts.append(Account(candidate, MEASURED, parity, "the bundle's FP32 graphs", size))
        return
    assert wanted.checkpoint is not None  # an obstacle otherwise
    notes = {
        AUTOCAST: "accuracy as measured here",
        COMPILED: "the model that parity is measured against, compiled",
    }
    note = notes.get(backend, "the model that parity is measured against")
    size = (wanted.checkpoint / _WEIGHTS).stat().st_size
    lineup.accounts.append(Account(candidate, MEASURED, None, note, size))


def _obstacle(bundle: Bundle, wanted: Wanted, backend: str, *, asked: bool) -> str:
    """Why a baseline cannot run; "" if it can."""
    if wanted.precisions and _FP32 not in wanted.precisions and not asked:
        return "only other precisions were asked for"
    if backend == PLAIN:
        if wanted.device != "cpu":
            return "it is a baseline for the CPU"
        return "" if _FP32 in bundle.manifest.passed else "the bundle holds no fp32 graphs that passed"
    if wanted.checkpoint is None:
        return "it needs the checkpoint that the bundle was exported from"
    weights = wanted.checkpoint / _WEIGHTS
    if not weights.is_file():
        raise UsageError(f"{wanted.checkpoint}: holds no {_WEIGHTS}; give a checkpoint folder")
    if sha256_file(weights) != bundle.manifest.checkpoint_sha256:
        raise UsageError(
            f"{wanted.checkpoint}: is not the checkpoint that {bundle.path.name} was exported from; "
            "speeds of different models cannot stand in one table"
        )
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed; `pip install 'cfack[train]'`"
    if backend == AUTOCAST and not wanted.has_data:
        return "its accuracy is known only if it is measured, and no speed is given without it"
    return ""


def _missing_devices(bundle: Bundle, wanted: Wanted) -> list[NotRun]:
    """What a reader of a table about a CPU may miss."""
    if wanted.device != "cpu":
        return []
    cuda = has_cuda()
    reason = "not asked for" if cuda else "this machine has no CUDA device"
    missing = [
        NotRun(
            "ONNX Runtime on a GPU",
            reason,
            "cfack bench BUNDLE --device cuda",
        )
    ]
    builders = sorted({engine.builder for engine in getattr(bundle.manifest, "engines", ())})
    for builder in builders:
        command = f"cfack bench BUNDLE --backend {builder} --device cuda"
        missing.append(NotRun(f"{builder} engines of the bundle", reason, command))
    if not builders:
        missing.append(
            NotRun(
                "TensorRT",
                f"the bundle holds no engines, and {reason}",
                "cfack export CHECKPOINT --out BUNDLE --tensorrt && "
                "cfack bench BUNDLE --backend tensorrt --device cuda",
            )
        )
    return missing
