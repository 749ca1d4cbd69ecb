"""What engines are built for: the GPU that is here, or compute capabilities that the library knows by name.

Asked before anything else is done, so that a missing library or GPU costs a second and not an export.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cfack_export.engines.options import EngineOptions
from cfack_runtime.backends.engine_gpu import find_gpu
from cfack_runtime.backends.engine_library import EngineLibrary, load_library
from cfack_runtime.engine import TENSORRT
from cfack_runtime.errors import BackendError, UsageError

PORTABLE = "ampere+"
"""TensorRT-RTX's own default: one engine for every GPU from compute capability 8.0."""


@dataclass(frozen=True)
class EngineTarget:
    """What one engine runs on."""

    compute_capability: str
    gpu: str = ""
    """Name of the GPU that it is built on; empty if none is needed."""
    compatibility: str = "none"

    @property
    def folder(self) -> str:
        """Name of a folder that no other target has."""
        name = re.sub(r"[^a-z0-9]+", "-", self.gpu.lower()).strip("-")
        parts = (f"sm{self.compute_capability.replace('.', '')}", name, self.compatibility)
        return "-".join(part.replace("+", "-plus") for part in parts if part not in ("", "none"))


def require_targets(
    builder: str, names: Sequence[str] = (), options: EngineOptions | None = None, *, gpu: int = 0
) -> tuple[EngineLibrary, tuple[EngineTarget, ...]]:
    """Import the library and settle on what to build for.

    Args:
        builder: "tensorrt" or "tensorrt-rtx".
        names: TensorRT-RTX: compute capabilities such as "8.9", or "ampere+"; none: "ampere+".
            TensorRT builds for the GPU that is here and takes none.
        options: asked for what the library cannot do.
        gpu: TensorRT: index of the GPU to build on.

    Raises:
        BackendError: the library or the GPU is not here.
        UsageError: no such target, or an option that the library does not have.
    """
    options = options or EngineOptions()
    library = load_library(builder)
    if library.builds_without_gpu and builder != TENSORRT:
        _refuse_tensorrt_options(options)
        return library, tuple(_named_target(library, name) for name in dict.fromkeys(names or (PORTABLE,)))
    if names:
        raise UsageError(
            f"{builder} builds for the GPU that is here; leave the targets {', '.join(names)} out"
        )
    try:
        found = find_gpu(gpu)
    except BackendError as error:
        raise BackendError(
            f"{builder} engines are built on the GPU that will run them, and {error}; without a GPU, "
            "TensorRT-RTX engines can be built (--tensorrt-rtx)"
        ) from error
    return library, (EngineTarget(found.compute_capability, found.name, options.compatibility),)


def _named_target(library: EngineLibrary, name: str) -> EngineTarget:
    known = library.targets
    if name == PORTABLE:
        return EngineTarget("8.0", compatibility=PORTABLE)
    if name not in known:
        raise UsageError(
            f"{library.name} {library.version} knows no target {name[:80]!r}, expected {PORTABLE} or one of "
            f"{', '.join(known)}"
        )
    return EngineTarget(name)


def _refuse_tensorrt_options(options: EngineOptions) -> None:
    """It ignores these without a word; an engine that is not what was asked for is worse than none."""
    asked = {
        "compatibility": options.compatibility != "none",
        "version_compatible": options.version_compatible,
        "timing_cache": options.timing_cache is not None,
    }
    wrong = [name for name, given in asked.items() if given]
    if wrong:
        raise UsageError(
            f"TensorRT-RTX has no {' and no '.join(wrong)}; leave it out, or for engines of many GPUs name "
            f"several targets or {PORTABLE}"
        )
