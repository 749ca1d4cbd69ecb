"""New engines for a bundle that is already there: another GPU, another version of the library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cfack_export.engines.build import ENGINE_PRECISIONS, EngineSource, build_engines
from cfack_export.engines.options import EngineOptions
from cfack_export.engines.targets import require_targets
from cfack_export.scratch import scratch_folder
from cfack_runtime.bundle import Bundle
from cfack_runtime.engine_files import store_engines
from cfack_runtime.errors import UsageError
from cfack_runtime.progress import ProgressCallback, no_progress


def rebuild_engines(
    bundle: str | Path,
    builder: str,
    targets: Sequence[str] = (),
    options: EngineOptions | None = None,
    *,
    precisions: Sequence[str] | None = None,
    gpu: int = 0,
    progress: ProgressCallback = no_progress,
) -> Bundle:
    """Build engines from the ONNX files of a bundle and put them into it; PyTorch is not needed.

    Engines of this library take the place of all that it had built for these precisions; those of the other
    library stay. Nothing in the bundle changes until every engine is built.

    Args:
        bundle: the bundle's folder.
        builder: "tensorrt" or "tensorrt-rtx".
        targets: see `require_targets`.
        options: see `EngineOptions`.
        precisions: which ones; None: all of the bundle that passed their parity gate and that engines can be
            built of.
        gpu: TensorRT: index of the GPU to build on.
        progress: thousandths of an engine done, and in all.

    Returns:
        The bundle, opened again. Its new engines are not verified: `cfack verify` runs them.

    Raises:
        BundleError: the bundle is wrong.
        UsageError: a precision, target or option that cannot be had.
        BackendError: the library or the GPU is not here, or the library cannot build an engine.
    """
    options = options or EngineOptions()
    library, wanted = require_targets(builder, targets, options, gpu=gpu)
    opened = Bundle.open(bundle, check_graphs=False)
    chosen = _precisions(opened, precisions)
    for precision in chosen:
        opened.check_graphs(precision)
    # In the bundle's own folder: on the same disk, where there is room for engines or there is none.
    remedy = "engines are put into the bundle itself; copy it to where files can be written"
    with scratch_folder(opened.path, ".engines-", remedy) as scratch:
        built = build_engines(
            [source for precision in chosen for source in bundle_sources(opened, precision)],
            library,
            wanted,
            options,
            max_tokens=opened.manifest.geometry.max_tokens,
            out=scratch,
            progress=progress,
        )
        return store_engines(
            opened,
            [(engine.entry, engine.file) for engine in built],
            replaces=lambda entry: entry.builder == builder and entry.precision in chosen,
        )


def bundle_sources(bundle: Bundle, precision: str) -> list[EngineSource]:
    """Return the graphs of one precision as sources of engines."""
    return [
        EngineSource(precision, name, bundle.graph_path(precision, name), graph.file.sha256, graph.inputs)
        for name, graph in bundle.graphs(precision).items()
    ]


def _precisions(bundle: Bundle, wanted: Sequence[str] | None) -> list[str]:
    possible = [name for name in bundle.manifest.passed if name in ENGINE_PRECISIONS]
    if wanted is None:
        if not possible:
            raise UsageError(f"{bundle.path}: has no precision that engines are built of; export again")
        return possible
    wrong = [name for name in wanted if name not in possible]
    if wrong:
        raise UsageError(
            f"{bundle.path}: engines of {', '.join(wrong)} cannot be built, only of "
            f"{', '.join(possible)}: of "
            f"{', '.join(ENGINE_PRECISIONS)}, those in the bundle that passed their parity gate"
        )
    return list(dict.fromkeys(wanted))
