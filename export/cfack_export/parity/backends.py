"""The graphs of a bundle, opened for the gate; a precision that was refused before is opened too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cfack_export.parity.feeds import Run, backend_run
from cfack_runtime.backends import Backend, open_backend
from cfack_runtime.bundle import Bundle
from cfack_runtime.engine import BUILDERS, EngineEntry, Profile
from cfack_runtime.errors import BackendError, BundleError, UsageError
from cfack_runtime.graph_contract import check_tensors

ONNX_RUNTIME = "onnxruntime"
BACKENDS = (ONNX_RUNTIME, *BUILDERS)


@dataclass(frozen=True)
class OpenGraphs:
    """One precision, loaded."""

    backend: str
    """What runs it, for people and `parity.json`."""
    runs: Mapping[str, Run]
    profiles: Mapping[str, Sequence[Profile]] = field(default_factory=dict)
    """Of engines."""
    engines: tuple[EngineEntry, ...] = ()


@contextmanager
def open_graphs(
    bundle: Bundle, precision: str, *, backend: str, device: str, threads: int | None
) -> Iterator[OpenGraphs]:
    """Load every graph of a precision, the re-ranker's rewrites too; they are closed with the block.

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
def open_folder(folder: Path, precision: str) -> Iterator[OpenGraphs]:
    """Load the ONNX files of a folder, NAME.onnx each, into ONNX Runtime on the CPU.

    What an export measures before there is a bundle. They are closed with the block.

    Raises:
        BackendError: ONNX Runtime is missing, or refuses a graph.
    """
    with ExitStack() as closing:
        runs = {}
        for file in sorted(folder.glob("*.onnx")):
            opened = open_backend(file)
            closing.callback(opened.close)
            runs[file.stem] = backend_run(opened)
        yield OpenGraphs(onnx_runtime_name("cpu", precision), runs)


def onnx_runtime_name(device: str, precision: str) -> str:
    """What `parity.json` calls ONNX Runtime.

    Raises:
        BackendError: it is not installed.
    """
    try:
        from onnxruntime import __version__ as version
    except ImportError as error:
        raise BackendError(f"onnxruntime cannot be imported; `pip install 'cfack[cpu]'` ({error})") from error
    name = f"ONNX Runtime {version} ({device.upper() if device == 'cpu' else device})"
    # Half of its operators have no FP16 form there, and the others are computed wider.
    return f"{name}, FP16 computed as FP32" if precision == "fp16" and device == "cpu" else name


def _onnx_runtime(
    closing: ExitStack, bundle: Bundle, precision: str, device: str, threads: int | None
) -> OpenGraphs:
    runs = {}
    for name, entry in bundle.graphs(precision).items():
        path = bundle.graph_path(precision, name)
        opened: Backend = open_backend(path, device=device, threads=threads)
        closing.callback(opened.close)
        check_tensors(opened.inputs, entry.inputs, f"{path}: inputs")
        check_tensors(opened.outputs, entry.outputs, f"{path}: outputs")
        runs[name] = backend_run(opened)
    return OpenGraphs(onnx_runtime_name(device, precision), runs)


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
