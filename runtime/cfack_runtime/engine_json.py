"""The manifest's member `engines`: strict reading, and writing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from cfack_runtime.engine import BUILDERS, COMPATIBILITIES, EngineEntry, Profile, ShapeRange
from cfack_runtime.errors import BundleError
from cfack_runtime.manifest import FileEntry
from cfack_runtime.strict_json import Fields

LARGEST_ENGINE = 1 << 36
"""In bytes."""
MOST_ENGINES = 1024
MOST_PROFILES = 64
_LARGEST_AXIS = (1 << 31) - 1
_MOST_AXES = 8

_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
_VERSION = r"\d{1,6}(\.\d{1,6}){1,4}"
_COMPUTE_CAPABILITY = r"\d{1,3}\.\d"
_GPU = r"[^\x00-\x1f\x7f]{0,200}"


def read_engines(top: Fields) -> tuple[EngineEntry, ...]:
    """Read the member `engines` of a manifest; a manifest without it has none.

    Args:
        top: the manifest's object.

    Returns:
        The engines; `cfack_runtime.engine.check_engines` says whether they belong to the graphs.

    Raises:
        BundleError: a member is missing, of another type or outside its range.
    """
    if "engines" not in top.values:
        return ()
    entries = top.objects("engines")
    if len(entries) > MOST_ENGINES:
        raise BundleError(f"{top.where}: engines has {len(entries)} entries, at most {MOST_ENGINES} are read")
    return tuple(_engine(entry) for entry in entries)


def engines_json(engines: Iterable[EngineEntry]) -> list[dict[str, Any]]:
    """Write engines as the manifest holds them."""
    return [_engine_json(engine) for engine in engines]


def _engine(entry: Fields) -> EngineEntry:
    return EngineEntry(
        file=FileEntry(entry.text("path"), entry.sha256("sha256"), entry.integer("size", 1, LARGEST_ENGINE)),
        precision=entry.text("precision", _NAME),
        graph=entry.text("graph", _NAME),
        builder=_one_of(entry, "builder", BUILDERS),
        builder_version=entry.text("builder_version", _VERSION),
        compute_capability=entry.text("compute_capability", _COMPUTE_CAPABILITY),
        gpu=entry.text("gpu", _GPU),
        compatibility=_one_of(entry, "compatibility", COMPATIBILITIES),
        version_compatible=entry.boolean("version_compatible"),
        stripped=entry.boolean("stripped"),
        profiles=_profiles(entry),
        onnx_sha256=entry.sha256("onnx_sha256"),
        verified=entry.boolean("verified"),
    )


def _one_of(entry: Fields, name: str, known: tuple[str, ...]) -> str:
    value = entry.text(name)
    if value not in known:
        raise BundleError(
            f"{entry.where}: {name} is {value[:80]!r}, but this version only knows {', '.join(known)}; "
            "install the CFACK that wrote the bundle"
        )
    return value


def _profiles(entry: Fields) -> tuple[Profile, ...]:
    profiles = entry.objects("profiles")
    if not 0 < len(profiles) <= MOST_PROFILES:
        raise BundleError(
            f"{entry.where}: profiles has {len(profiles)} entries, expected 1 to {MOST_PROFILES}"
        )
    return tuple({name: _shapes(profile.object(name)) for name in profile.values} for profile in profiles)


def _shapes(shapes: Fields) -> ShapeRange:
    return ShapeRange(*(_sizes(shapes, name) for name in ("min", "opt", "max")))


def _sizes(shapes: Fields, name: str) -> tuple[int, ...]:
    values = shapes.list(name)
    if len(values) > _MOST_AXES or not all(type(v) is int and 0 < v <= _LARGEST_AXIS for v in values):
        raise BundleError(
            f"{shapes.where}: {name} is {str(values)[:80]}, expected at most {_MOST_AXES} positive whole "
            f"numbers up to {_LARGEST_AXIS}"
        )
    return tuple(values)


def _engine_json(engine: EngineEntry) -> dict[str, Any]:
    return {
        **asdict(engine.file),
        "precision": engine.precision,
        "graph": engine.graph,
        "builder": engine.builder,
        "builder_version": engine.builder_version,
        "compute_capability": engine.compute_capability,
        "gpu": engine.gpu,
        "compatibility": engine.compatibility,
        "version_compatible": engine.version_compatible,
        "stripped": engine.stripped,
        "profiles": [
            {
                name: {"min": list(s.min), "opt": list(s.opt), "max": list(s.max)}
                for name, s in profile.items()
            }
            for profile in engine.profiles
        ],
        "onnx_sha256": engine.onnx_sha256,
        "verified": engine.verified,
    }
