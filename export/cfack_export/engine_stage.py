"""The stage that compiles engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cfack_export.engines import (
    ENGINE_PRECISIONS,
    BuiltEngine,
    EngineSource,
    EngineTarget,
    build_engines,
    require_targets,
)
from cfack_export.graph_folder import TOKEN_TYPES, GraphFolder
from cfack_export.options import EngineRequest
from cfack_runtime.backends.engine_library import EngineLibrary
from cfack_runtime.graph_contract import all_signatures
from cfack_runtime.manifest import Geometry
from cfack_runtime.progress import ProgressCallback


@dataclass(frozen=True)
class CheckedRequest:
    """A request whose library is here and whose targets it knows."""

    request: EngineRequest
    library: EngineLibrary
    targets: tuple[EngineTarget, ...]


def check_requested(requests: Sequence[EngineRequest]) -> tuple[CheckedRequest, ...]:
    """Ask for libraries, GPU and targets before minutes are spent on graphs.

    Raises:
        BackendError: a library or the GPU is not here.
        UsageError: a target or option that the library does not have.
    """
    return tuple(
        CheckedRequest(request, *require_targets(request.builder, request.targets, request.options))
        for request in requests
    )


def build_requested(
    requests: Sequence[CheckedRequest],
    graphs: Mapping[str, GraphFolder],
    geometry: Geometry,
    out: Path,
    progress: ProgressCallback,
) -> tuple[BuiltEngine, ...]:
    """Build the engines of every precision that they can be built of.

    Args:
        requests: from `check_requested`.
        graphs: precision -> its ONNX files.
        geometry: the sizes of the model.
        out: folder for the engines.
        progress: thousandths of an engine done, and in all.

    Raises:
        BackendError: a library cannot build an engine.
    """
    sources = [
        EngineSource(precision, name, folder.file(name), sha256, signatures[name][0])
        for precision, folder in graphs.items()
        if precision in ENGINE_PRECISIONS
        for signatures in [all_signatures(geometry, TOKEN_TYPES[precision])]
        for name, sha256 in folder.sha256.items()
    ]
    built: list[BuiltEngine] = []
    for number, checked in enumerate(requests):
        built += build_engines(
            sources,
            checked.library,
            checked.targets,
            checked.request.options,
            max_tokens=geometry.max_tokens,
            out=out,
            progress=lambda done, total, /, begun=number: progress(
                begun * total + done, len(requests) * total
            ),
        )
    return tuple(built)
