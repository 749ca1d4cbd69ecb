"""Who takes part: precisions whose parity gate passed, baselines, and what is missing and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cfack_bench.baselines import add_baseline
from cfack_bench.candidates import (
    BASELINES,
    BUILDERS,
    ENGINES,
    MEASURED,
    ONNXRUNTIME,
    REFUSED,
    Account,
    Candidate,
    Lineup,
    NotRun,
)
from cfack_runtime.backends.engine_gpu import list_gpus
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import BackendError, BundleError, UsageError

_FOR_CPU = "int8-cpu"


@dataclass(frozen=True)
class Wanted:
    """What was asked for; empty lists mean: whatever can run."""

    backends: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    device: str = "cpu"
    """Engines run on a GPU whatever is said here; "cpu" means the first one for them."""
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
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", wanted.device):
        raise UsageError(f'device is {wanted.device!r}, expected "cpu", "cuda" or "cuda:N"')
    lineup = Lineup()
    for backend in wanted.backends or _usual_backends(bundle, wanted):
        if backend in ENGINES:
            _add_precisions(lineup, bundle, wanted, backend)
    if wanted.backends:
        baselines: Sequence[str] = [name for name in wanted.backends if name in BASELINES]
    else:
        baselines = BASELINES if wanted.baselines else ()
    for backend in baselines:
        add_baseline(
            lineup,
            bundle,
            Candidate(backend, "", wanted.device, wanted.threads),
            wanted.checkpoint,
            fp32=_asks_fp32(wanted),
            has_data=wanted.has_data,
        )
    if not wanted.backends and wanted.device == "cpu":
        lineup.not_run += _on_a_gpu(bundle)
    return lineup


def _usual_backends(bundle: Bundle, wanted: Wanted) -> tuple[str, ...]:
    return (ONNXRUNTIME,) if wanted.device == "cpu" else (ONNXRUNTIME, *_builders(bundle))


def _builders(bundle: Bundle) -> list[str]:
    return sorted({engine.builder for engine in bundle.manifest.engines})


def _asks_fp32(wanted: Wanted) -> bool:
    """Whether baselines, which are FP32, are asked for: by name, or beside that precision."""
    return bool(wanted.backends) or not wanted.precisions or "fp32" in wanted.precisions


def _add_precisions(lineup: Lineup, bundle: Bundle, wanted: Wanted, backend: str) -> None:
    sizes = _file_sizes(bundle, backend)
    if not sizes:
        lineup.not_run.append(_no_engines(backend))
    device = "cuda" if backend in BUILDERS and wanted.device == "cpu" else wanted.device
    for precision, size in sizes.items():
        if wanted.precisions and precision not in wanted.precisions:
            continue
        candidate = Candidate(backend, precision, device, wanted.threads)
        if device != "cpu" and precision == _FOR_CPU and precision not in wanted.precisions:
            reason = "its 8-bit products are for the CPU, and would run there in the middle of a GPU's graph"
            command = f"cfack bench BUNDLE --backend {backend} --precision {precision}"
            lineup.not_run.append(NotRun(candidate.id, reason, command))
            continue
        parity = dict(bundle.manifest.parity[precision])
        if parity["passed"] is True:
            lineup.accounts.append(Account(candidate, MEASURED, parity, model_bytes=size))
        else:
            note = "the parity gate did not pass, so no speed is given; see parity.json in the bundle"
            lineup.accounts.append(Account(candidate, REFUSED, parity, note, size))


def _file_sizes(bundle: Bundle, backend: str) -> dict[str, int]:
    """Precision -> bytes of what the backend loads: the graphs, or the engines that it made of them."""
    if backend not in BUILDERS:
        return {
            precision: sum(graph.file.size for graph in graphs.values())
            for precision, graphs in bundle.manifest.graphs.items()
        }
    sizes: dict[str, int] = {}
    for engine in bundle.manifest.engines:
        if engine.builder == backend:
            sizes[engine.precision] = sizes.get(engine.precision, 0) + engine.file.size
    return sizes


def _no_engines(builder: str) -> NotRun:
    command = (
        f"cfack export --rebuild-engines BUNDLE --{builder} && cfack verify BUNDLE --data DATA && "
        f"cfack bench BUNDLE --backend {builder}"
    )
    return NotRun(f"{builder} engines", "the bundle holds none", command)


def _on_a_gpu(bundle: Bundle) -> list[NotRun]:
    """What a reader of a table about a CPU may miss."""
    reason = _why_no_gpu()
    missing = [NotRun("ONNX Runtime on a GPU", reason, "cfack bench BUNDLE --device cuda")]
    for builder in _builders(bundle):
        command = f"cfack bench BUNDLE --backend {builder}"
        missing.append(NotRun(f"{builder} engines of the bundle", reason, command))
    if len(missing) == 1:
        none = _no_engines(BUILDERS[0])
        missing.append(NotRun("TensorRT", f"the bundle holds no engines, and {reason}", none.command))
    return missing


def _why_no_gpu() -> str:
    try:
        gpus = list_gpus()
    except BackendError:
        return "this machine has no NVIDIA driver"
    return f"not asked for, though there is a {gpus[0].name}" if gpus else "this machine has no CUDA device"
