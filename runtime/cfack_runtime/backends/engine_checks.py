"""May this engine run here? Asked of the manifest, before the library sees a byte of the engine.

Every mismatch is named with the one thing to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cfack_runtime.backends.engine_gpu import Gpu
from cfack_runtime.engine import EngineEntry
from cfack_runtime.errors import BackendError


def check_engine(
    entry: EngineEntry, bundle: Path, version: str, gpu: Gpu, *, allow_unverified: bool = False
) -> None:
    """Check what the manifest says of an engine against what is here.

    Args:
        entry: the engine.
        bundle: path of its bundle, for messages.
        version: of the installed library, the one that `entry.builder` names.
        gpu: what would run it.
        allow_unverified: take an engine that no GPU has run yet.

    Raises:
        BackendError: it may not run here.
    """
    reason = refusal(entry, bundle, version, gpu, allow_unverified=allow_unverified)
    if reason is not None:
        raise BackendError(f"{bundle / entry.file.path}: {reason}")


def refusal(
    entry: EngineEntry, bundle: Path, version: str, gpu: Gpu, *, allow_unverified: bool = False
) -> str | None:
    """Say why an engine may not run here, and what to do; None if it may. See `check_engine`."""
    rebuild = f"run `{rebuild_command(bundle, entry.builder)}` on this machine"
    if not _version_fits(entry, version):
        return f"was built by {entry.builder} {entry.builder_version}, but here is {version}; {rebuild}"
    if not _capability_fits(entry, gpu.compute_capability):
        return (
            f"was built for {entry.target}, but GPU {gpu.index} ({gpu.name}) has {gpu.compute_capability}; "
            f"{rebuild}"
        )
    if entry.compatibility == "none" and entry.gpu and entry.gpu != gpu.name:
        return (
            f"was built on a {entry.gpu} and for no other GPU, but GPU {gpu.index} is a {gpu.name}; {rebuild}"
        )
    if not entry.verified and not allow_unverified:
        return (
            "was built without running it, so nobody knows whether it gives PyTorch's results; run "
            f"`cfack verify {bundle} --data DATA` on this machine, which tries it and writes the verdict down"
        )
    return None


def rebuild_command(bundle: Path, builder: str) -> str:
    """Return the command that builds engines for the machine it runs on."""
    return f"cfack export --rebuild-engines {bundle} --{builder}"


def choose_engine(
    entries: Sequence[EngineEntry],
    precision: str,
    graph: str,
    builder: str,
    *,
    bundle: Path,
    version: str,
    gpu: Gpu,
    allow_unverified: bool = False,
) -> EngineEntry:
    """Pick the engine of a graph that may run here, the one built for exactly this GPU first.

    Args:
        entries: the engines of the bundle.
        precision: of the graph.
        graph: its name.
        builder: "tensorrt" or "tensorrt-rtx"; never the other one.
        bundle: path, for messages.
        version: of the installed library.
        gpu: what would run it.
        allow_unverified: take one that no GPU has run yet.

    Raises:
        BackendError: there is none; the message has the reason of each candidate.
    """
    candidates = [e for e in entries if (e.precision, e.graph, e.builder) == (precision, graph, builder)]
    if not candidates:
        raise BackendError(
            f"{bundle}: holds no {builder} engine of {precision} {graph}; run "
            f"`{rebuild_command(bundle, builder)}` on this machine"
        )
    reasons = [refusal(e, bundle, version, gpu, allow_unverified=allow_unverified) for e in candidates]
    fitting = [entry for entry, reason in zip(candidates, reasons, strict=True) if reason is None]
    if not fitting:
        lines = zip(candidates, reasons, strict=True)
        raise BackendError("; ".join(f"{bundle / e.file.path}: {reason}" for e, reason in lines))
    return min(fitting, key=lambda entry: (entry.compatibility != "none", not entry.verified))


def _version_fits(entry: EngineEntry, version: str) -> bool:
    if entry.builder_version == version:
        return True
    built, here = _numbers(entry.builder_version), _numbers(version)
    return entry.version_compatible and built[:1] == here[:1] and built <= here


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _capability_fits(entry: EngineEntry, here: str) -> bool:
    if entry.compatibility == "ampere+":
        return _numbers(here) >= (8, 0)
    return entry.compute_capability == here
