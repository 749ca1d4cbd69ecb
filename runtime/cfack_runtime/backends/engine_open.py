"""Opening engines: what the manifest says is checked, then the hash, and only then the library gets a byte.

The bytes that were hashed are the bytes that are deserialised: the file is read once.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cfack_runtime.backends import Backend
from cfack_runtime.backends.engine_checks import check_engine, choose_engine, rebuild_command
from cfack_runtime.backends.engine_gpu import find_gpu
from cfack_runtime.backends.engine_library import EngineLibrary, LibraryLog, load_library
from cfack_runtime.backends.engine_memory import Device, PycudaDevice
from cfack_runtime.backends.tensorrt import EngineBackend
from cfack_runtime.bundle import Bundle
from cfack_runtime.bundle_files import check_size
from cfack_runtime.engine import EngineEntry
from cfack_runtime.errors import BackendError, BundleError, UsageError
from cfack_runtime.graph_contract import GRAPHS
from cfack_runtime.manifest import FileEntry

_BEST_PRECISIONS = ("fp16", "fp32", "int8")


def open_engines(
    bundle: Bundle,
    precision: str,
    builder: str,
    *,
    device: str = "cuda",
    allow_unverified: bool = False,
) -> dict[str, Backend]:
    """Load the engines of one precision: of the three graphs, and of the rewrites that have one.

    Args:
        bundle: an opened bundle.
        precision: one of the bundle's; whoever calls has checked that it passed (`choose_precision`).
        builder: "tensorrt" or "tensorrt-rtx"; nothing falls back to the other, or to ONNX Runtime.
        device: "cuda" or "cuda:N".
        allow_unverified: take engines that no GPU has run yet; for `cfack verify`.

    Returns:
        Graph name -> backend, all on one GPU. Whoever calls closes them.

    Raises:
        UsageError: no such device.
        BackendError: library, PyCUDA or GPU are not here, or a graph has no engine that may run here.
        BundleError: a file is not what the manifest says.
    """
    index = _gpu_index(device)
    library = load_library(builder)
    gpu = find_gpu(index)
    had = {entry.graph for entry in bundle.manifest.engines if entry.precision == precision}
    chosen = [
        choose_engine(
            bundle.manifest.engines,
            precision,
            graph,
            builder,
            bundle=bundle.path,
            version=library.version,
            gpu=gpu,
            allow_unverified=allow_unverified,
        )
        for graph in bundle.graphs(precision)
        if graph in GRAPHS or graph in had
    ]
    with ExitStack() as undo:
        backends: dict[str, Backend] = {}
        for entry in chosen:
            backends[entry.graph] = _open(bundle, entry, library, PycudaDevice(index))
            undo.callback(backends[entry.graph].close)
        undo.pop_all()
    return backends


def open_engine(
    bundle: Bundle, entry: EngineEntry, *, device: str = "cuda", allow_unverified: bool = False
) -> Backend:
    """Load one engine of a bundle; see `open_engines`."""
    index = _gpu_index(device)
    library = load_library(entry.builder)
    gpu = find_gpu(index)
    check_engine(entry, bundle.path, library.version, gpu, allow_unverified=allow_unverified)
    return _open(bundle, entry, library, PycudaDevice(index))


def choose_engine_precision(bundle: Bundle, builder: str) -> str:
    """Return the best precision that passed and of which there are engines: FP16, then FP32, then INT8.

    INT8 comes last because it is often no faster than FP16 on a GPU and never more exact; ask for it by name.

    Raises:
        BundleError: there is none.
    """
    have = {entry.precision for entry in bundle.manifest.engines if entry.builder == builder}
    best = [name for name in _BEST_PRECISIONS if name in have and name in bundle.manifest.passed]
    if not best:
        raise BundleError(
            f"{bundle.path}: holds no {builder} engine of a precision that gave PyTorch's results; run "
            f"`{rebuild_command(bundle.path, builder)}`"
        )
    return best[0]


def _open(bundle: Bundle, entry: EngineEntry, library: EngineLibrary, device: Device) -> Backend:
    """Read, hash, deserialise, refit. Every check of the manifest has been made."""
    path = bundle.path / entry.file.path
    graph = bundle.graph(entry.precision, entry.graph)
    data = read_checked(bundle.path, entry.file)
    log = LibraryLog()
    with ExitStack() as undo:
        undo.callback(device.close)
        with device.active():
            engine, kept = deserialize(library, log, path, entry, data)
            if entry.stripped:
                _refit(library, log, path, engine, read_checked(bundle.path, graph.file))
            backend = EngineBackend(str(path), library, log, engine, entry, graph, device, kept)
        undo.pop_all()
    return backend


def read_checked(folder: Path, entry: FileEntry) -> bytes:
    """Read a file of the bundle into memory and check place, size and hash of what was read.

    Raises:
        BundleError: one of them is not as the manifest says.
    """
    path = check_size(folder, entry)
    try:
        with path.open("rb") as stream:
            data = stream.read(entry.size + 1)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry.sha256:
        raise BundleError(
            f"{path}: SHA-256 is {digest}, but the manifest says {entry.sha256}; the file was damaged or "
            "exchanged, copy the bundle again"
        )
    return data


def deserialize(
    library: EngineLibrary, log: LibraryLog, path: Path, entry: EngineEntry, data: bytes
) -> tuple[Any, tuple[Any, ...]]:
    """Turn checked bytes into an engine.

    Returns:
        The engine, and what must live as long.

    Raises:
        BackendError: the library refuses them, with its own words.
    """
    logger = log.attach(library)
    runtime = library.module.Runtime(logger)
    # A version-compatible engine carries the code of a small runtime; no other engine may bring code along.
    runtime.engine_host_code_allowed = entry.version_compatible
    if hasattr(runtime, "get_engine_validity"):
        validity, bits = runtime.get_engine_validity(data)
        if validity == library.module.EngineValidity.INVALID:
            raise BackendError(
                f"{path}: {library.name} {library.version} says that the engine cannot run here: "
                f"{_reasons(library, int(bits)) or log.errors or 'no reason given'}"
            )
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise BackendError(
            f"{path}: {library.name} {library.version} cannot load the engine: "
            f"{log.errors or 'no reason given'}"
        )
    return engine, (runtime, logger)


def _reasons(library: EngineLibrary, bits: int) -> str:
    members: dict[str, Any] = library.module.EngineInvalidityDiagnostics.__members__
    return ", ".join(name.replace("_", " ").lower() for name, bit in members.items() if bits & int(bit))


def _refit(library: EngineLibrary, log: LibraryLog, path: Path, engine: Any, onnx: bytes) -> None:
    logger = log.attach(library)
    refitter = library.module.Refitter(engine, logger)
    parser = library.module.OnnxParserRefitter(refitter, logger)
    if not parser.refit_from_bytes(onnx) or not refitter.refit_cuda_engine():
        raise BackendError(
            f"{path}: the weights of its ONNX file do not go into the engine: "
            f"{log.errors or 'no reason given'}; build the engines again"
        )


def _gpu_index(device: str) -> int:
    match = re.fullmatch(r"cuda(?::(\d{1,3}))?", device)
    if match is None:
        raise UsageError(f'engines run on a GPU: device is {device[:80]!r}, expected "cuda" or "cuda:N"')
    return int(match[1] or 0)
