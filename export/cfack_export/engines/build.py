"""The engines of a bundle: every graph, precision and target, each with what the manifest says of it."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cfack_export.engines.builder import build_engine
from cfack_export.engines.options import EngineOptions
from cfack_export.engines.profiles import graph_profiles
from cfack_export.engines.targets import EngineTarget
from cfack_runtime.backends.engine_library import EngineLibrary
from cfack_runtime.engine import EngineEntry
from cfack_runtime.manifest import FileEntry, TensorSpec
from cfack_runtime.progress import ProgressCallback, no_progress

ENGINE_PRECISIONS = ("fp32", "fp16", "int8")
"""Precisions that engines are built of; `int8-cpu` has operators that only ONNX Runtime knows."""

_STEPS = 1000
_HASH_DIGITS = 12

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineSource:
    """One graph to build an engine of."""

    precision: str
    graph: str
    onnx: Path
    onnx_sha256: str
    inputs: tuple[TensorSpec, ...]
    """As the manifest has them: free axes by name."""


@dataclass(frozen=True)
class BuiltEngine:
    """A finished engine."""

    entry: EngineEntry
    file: Path
    """Where it lies now; `entry.file.path` is where a bundle keeps it."""
    seconds: float


def build_engines(
    sources: Iterable[EngineSource],
    library: EngineLibrary,
    targets: Sequence[EngineTarget],
    options: EngineOptions,
    *,
    max_tokens: int,
    out: Path,
    progress: ProgressCallback = no_progress,
) -> tuple[BuiltEngine, ...]:
    """Build the engine of every source for every target.

    Args:
        sources: the graphs.
        library: from `require_targets`, as are the targets.
        targets: what to build for.
        options: see `EngineOptions`.
        max_tokens: longest text of the model.
        out: folder for the files; missing parents are made.
        progress: thousandths of an engine done, and in all.

    Returns:
        In the order of the sources; none of them is verified.

    Raises:
        BackendError: one cannot be built; files built before it stay in `out`.
    """
    jobs = [(source, target) for source in sources for target in targets]
    total = _STEPS * len(jobs)
    built = []
    for number, (source, target) in enumerate(jobs):

        def step(done: int, steps: int, start: int = number * _STEPS) -> None:
            progress(start + _STEPS * done // max(steps, 1), total)

        progress(number * _STEPS, total)
        built.append(_build(source, target, library, options, max_tokens, out, step))
    progress(total, total)
    return tuple(built)


def _build(
    source: EngineSource,
    target: EngineTarget,
    library: EngineLibrary,
    options: EngineOptions,
    max_tokens: int,
    out: Path,
    progress: ProgressCallback,
) -> BuiltEngine:
    start = time.perf_counter()
    profiles = graph_profiles(source.graph, source.inputs, max_tokens, options.profiles)
    data = build_engine(library, source.onnx, profiles, target, options, progress=progress)
    sha256 = hashlib.sha256(data).hexdigest()
    # The hash is in the name, so that a rebuilt engine never takes the place of one that is in use.
    relative = (
        f"engines/{library.name}-{library.version}/{target.folder}/{source.precision}/"
        f"{source.graph}-{sha256[:_HASH_DIGITS]}.engine"
    )
    file = out / relative
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    seconds = time.perf_counter() - start
    _logger.info("%s: %d bytes in %.1f s", relative, len(data), seconds)
    entry = EngineEntry(
        file=FileEntry(relative, sha256, len(data)),
        precision=source.precision,
        graph=source.graph,
        builder=library.name,
        builder_version=library.version,
        compute_capability=target.compute_capability,
        profiles=profiles,
        onnx_sha256=source.onnx_sha256,
        gpu=target.gpu,
        compatibility=target.compatibility,
        version_compatible=options.version_compatible,
        stripped=options.strip_weights,
    )
    return BuiltEngine(entry, file, seconds)
