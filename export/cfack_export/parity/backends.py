"""The graphs of a bundle, opened for the gate; a precision that was refused before is opened too."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cfack_export.parity.feeds import Feed, Run, backend_run
from cfack_export.parity.limits import FP16, INT8, INT8_CPU
from cfack_export.scratch import scratch_folder
from cfack_runtime.backends import Backend, open_backend
from cfack_runtime.backends.int8_products import require_exact_products
from cfack_runtime.bundle import Bundle
from cfack_runtime.engine import BUILDERS, EngineEntry, Profile
from cfack_runtime.errors import BackendError, BundleError, UsageError
from cfack_runtime.graph_contract import check_tensors
from cfack_runtime.manifest import GraphEntry

ONNX_RUNTIME = "onnxruntime"
BACKENDS = (ONNX_RUNTIME, *BUILDERS)
HALF = (FP16, INT8)
"""Precisions that `cfack export` makes of FP16 graphs."""


@dataclass(frozen=True)
class OpenGraphs:
    """One precision, loaded."""

    backend: str
    """What runs it, for people and `parity.json`."""
    runs: Mapping[str, Run]
    profiles: Mapping[str, Sequence[Profile]] = field(default_factory=dict)
    """Of engines."""
    engines: tuple[EngineEntry, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    """Graph -> hash of its file, where a measurement may be taken for another of the same file."""


@contextmanager
def open_graphs(
    bundle: Bundle, precision: str, *, backend: str, device: str, threads: int | None
) -> Iterator[OpenGraphs]:
    """Open the graphs of a precision, the re-ranker's rewrites too; they are closed with the block.

    Those of ONNX Runtime are loaded when they are first run. FP16 is emulated on a CPU, which has none.

    Args:
        bundle: its graphs' hashes have been checked.
        precision: one of the bundle's.
        backend: one of `BACKENDS`.
        device: "cpu", "cuda" or "cuda:N"; engines need one of the latter.
        threads: CPU threads of ONNX Runtime.

    Raises:
        BackendError: a library or a device is not here, or refuses a graph.
        BundleError: the bundle has no such precision, or a graph is not what the manifest says.
        UsageError: no such backend or device.
    """
    if backend not in BACKENDS:
        raise UsageError(f"no backend {backend!r}; expected one of {', '.join(BACKENDS)}")
    with ExitStack() as closing:
        if backend == ONNX_RUNTIME:
            yield _onnx_runtime(closing, bundle, precision, device, threads)
        else:
            yield _engines(closing, bundle, precision, backend, device)


@contextmanager
def open_files(
    files: Mapping[str, Path], precision: str, versions: Mapping[str, str] | None = None
) -> Iterator[OpenGraphs]:
    """Open ONNX files in ONNX Runtime on the CPU: what an export measures before there is a bundle.

    Each is loaded when it is first run, and all are closed with the block. FP16 is emulated.

    Args:
        files: graph -> file.
        precision: what they are.
        versions: graph -> hash of the file.

    Raises:
        BackendError: ONNX Runtime is missing, or this processor cannot run the precision.
    """
    emulated = precision in HALF
    if precision == INT8_CPU:
        require_exact_products()
    with ExitStack() as closing:
        runs = {
            name: _later(closing, partial(_open, file, "cpu", None, emulated=emulated))
            for name, file in files.items()
        }
        name = onnx_runtime_name("cpu", emulated=emulated)
        yield OpenGraphs(name, runs, versions=versions or {})


def onnx_runtime_name(device: str, *, emulated: bool) -> str:
    """What `parity.json` calls ONNX Runtime.

    Raises:
        BackendError: it is not installed.
    """
    try:
        from onnxruntime import __version__ as version
    except ImportError as error:
        raise BackendError(f"onnxruntime cannot be imported; `pip install 'cfack[cpu]'` ({error})") from error
    name = f"ONNX Runtime {version} ({device.upper() if device == 'cpu' else device})"
    return f"{name}, FP16 emulated" if emulated else name


def _onnx_runtime(
    closing: ExitStack, bundle: Bundle, precision: str, device: str, threads: int | None
) -> OpenGraphs:
    graphs = bundle.graphs(precision)
    if precision == INT8_CPU:
        require_exact_products()
    half = any(spec.dtype == "float16" for entry in graphs.values() for spec in entry.inputs + entry.outputs)
    emulated = half and device == "cpu"
    if emulated:
        _require_emulation(bundle, precision)

    def load(name: str, entry: GraphEntry) -> Backend:
        path = bundle.graph_path(precision, name)
        opened = _open(path, device, threads, emulated=emulated)
        check_tensors(opened.inputs, entry.inputs, f"{path}: inputs")
        check_tensors(opened.outputs, entry.outputs, f"{path}: outputs")
        return opened

    runs = {name: _later(closing, partial(load, name, entry)) for name, entry in graphs.items()}
    return OpenGraphs(onnx_runtime_name(device, emulated=emulated), runs)


def _require_emulation(bundle: Bundle, precision: str) -> None:
    try:
        import cfack_export.precision.emulation  # noqa: F401 - asked before minutes of measuring
    except ImportError as error:
        raise BackendError(
            f"{bundle.path}: precision {precision} computes in FP16, which a CPU has not and which cannot be "
            f"emulated without the onnx packages ({error}); `pip install 'cfack[export]'`, name other "
            "precisions with --precision, or take a GPU with --device cuda"
        ) from error


def _open(path: Path, device: str, threads: int | None, *, emulated: bool) -> Backend:
    # Without an arena: a precision's graphs stay open together, and each would keep its largest call.
    if not emulated:
        return open_backend(path, device=device, threads=threads, arena=False)
    from cfack_export.precision.emulation import emulate_fp16

    # Twice the size of the graph, and gone as soon as it is loaded.
    remedy = "name a folder with room in TMPDIR"
    with scratch_folder(Path(tempfile.gettempdir()), "cfack-emulated-", remedy) as scratch:
        emulate_fp16(path, scratch / path.name)
        return open_backend(scratch / path.name, device=device, threads=threads, arena=False)


def _later(closing: ExitStack, load: Callable[[], Backend]) -> Run:
    """Make a backend a `Run` that loads it when it is first called."""
    opened: list[Run] = []

    def run(feed: Feed) -> Mapping[str, NDArray[Any]]:
        if not opened:
            backend = load()
            closing.callback(backend.close)
            opened.append(backend_run(backend))
        return opened[0](feed)

    return run


def _engines(closing: ExitStack, bundle: Bundle, precision: str, builder: str, device: str) -> OpenGraphs:
    from cfack_runtime.backends.engine_checks import choose_engine
    from cfack_runtime.backends.engine_gpu import find_gpu
    from cfack_runtime.backends.engine_library import load_library
    from cfack_runtime.backends.engine_open import open_engine

    index = int(device.partition(":")[2] or 0)
    library, gpu = load_library(builder), find_gpu(index)
    built = {entry.graph for entry in bundle.manifest.engines if entry.precision == precision}
    if not built:
        raise BundleError(f"{bundle.path}: holds no engine of precision {precision}; build some first")
    runs, chosen = {}, {}
    for name in sorted(built):
        chosen[name] = choose_engine(
            bundle.manifest.engines,
            precision,
            name,
            builder,
            bundle=bundle.path,
            version=library.version,
            gpu=gpu,
            allow_unverified=True,
        )
        opened = open_engine(bundle, chosen[name], device=device, allow_unverified=True)
        closing.callback(opened.close)
        runs[name] = backend_run(opened)
    profiles = {name: entry.profiles for name, entry in chosen.items()}
    return OpenGraphs(f"{builder} {library.version} ({gpu.name})", runs, profiles, tuple(chosen.values()))
