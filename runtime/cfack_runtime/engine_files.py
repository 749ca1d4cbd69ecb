"""Engines of a bundle that is already there: added, replaced, and marked as verified.

A bundle is never half changed. Engine files have names that no other file has (their hash is in them), so
they are put beside the old ones first; then the manifest changes in one rename; then old files go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from cfack_runtime.bundle import Bundle
from cfack_runtime.bundle_files import copy_into
from cfack_runtime.engine import EngineEntry, check_engines
from cfack_runtime.errors import BundleError
from cfack_runtime.files import atomic_write
from cfack_runtime.manifest_json import MANIFEST_NAME, manifest_bytes

ENGINES_FOLDER = "engines"


def store_engines(
    bundle: Bundle,
    engines: Sequence[tuple[EngineEntry, Path]],
    *,
    replaces: Callable[[EngineEntry], bool] = lambda entry: False,
) -> Bundle:
    """Put engines into a bundle.

    Args:
        bundle: the bundle; its graphs are those that the engines were built from.
        engines: what the manifest will say of each, and the file to copy.
        replaces: which of the engines that are there go. One of the same graph, library, version and target
            as a new one always goes.

    Returns:
        The bundle, opened again.

    Raises:
        BundleError: an engine does not belong to the bundle, or a file could not be written; the bundle is
            as it was.
    """
    new = {_identity(entry) for entry, _ in engines}
    kept = [e for e in bundle.manifest.engines if not replaces(e) and _identity(e) not in new]
    manifest = replace(bundle.manifest, engines=(*kept, *(entry for entry, _ in engines)))
    check_engines(manifest.engines, manifest.graphs, f"{bundle.path}: engines")
    for entry, source in engines:
        copy_into(bundle.path, entry.file, source)
    atomic_write(bundle.path / MANIFEST_NAME, manifest_bytes(manifest))
    named = {entry.file.path for entry in manifest.engines}
    _remove(bundle.path, (e.file.path for e in bundle.manifest.engines if e.file.path not in named))
    return Bundle.open(bundle.path, check_graphs=False)


def mark_verified(bundle: Bundle, paths: Iterable[str], *, verified: bool = True) -> Bundle:
    """Write down that the engines at these paths passed the parity gate on a GPU, or that they did not.

    Raises:
        BundleError: the bundle has no such engine.
    """
    wanted = set(paths)
    unknown = wanted - {entry.file.path for entry in bundle.manifest.engines}
    if unknown:
        raise BundleError(f"{bundle.path}: has no engine {', '.join(sorted(unknown))}")
    engines = tuple(
        replace(entry, verified=verified) if entry.file.path in wanted else entry
        for entry in bundle.manifest.engines
    )
    atomic_write(bundle.path / MANIFEST_NAME, manifest_bytes(replace(bundle.manifest, engines=engines)))
    return Bundle.open(bundle.path, check_graphs=False)


def _identity(entry: EngineEntry) -> tuple[str, ...]:
    return (
        entry.precision,
        entry.graph,
        entry.builder,
        entry.builder_version,
        entry.compute_capability,
        entry.gpu,
        entry.compatibility,
    )


def _remove(folder: Path, paths: Iterable[str]) -> None:
    """Delete engines that the manifest no longer names; one that cannot be deleted does no harm."""
    for relative in paths:
        path = folder / relative
        if not path.resolve().is_relative_to(folder.resolve() / ENGINES_FOLDER):
            continue
        try:
            path.unlink(missing_ok=True)
            for parent in path.parents:
                if parent == folder or any(parent.iterdir()):
                    break
                parent.rmdir()
        except OSError:
            continue
