"""Loading the graphs of a bundle, and running each once before the first search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cfack_runtime.backends import Backend, open_backend
from cfack_runtime.backends.int8_products import require_exact_products
from cfack_runtime.backends.lazy import LazyBackend
from cfack_runtime.bundle import Bundle
from cfack_runtime.bundle_files import check_hash
from cfack_runtime.errors import UsageError
from cfack_runtime.graph_contract import ONE_IMAGE, ONE_TEXT, RERANKER, check_tensors
from cfack_runtime.manifest import Geometry, TensorSpec
from cfack_runtime.precision import INT8_CPU, choose_precision

ENGINE_BACKENDS = ("tensorrt", "tensorrt-rtx")
BACKENDS = ("auto", "onnxruntime", *ENGINE_BACKENDS)

_WARM_UP_TOKENS = 24


def load_graphs(
    bundle: Bundle,
    precision: str,
    backend: str,
    *,
    device: str,
    threads: int | None,
    arena: bool,
    memory_limit: int | None,
) -> tuple[str, dict[str, Backend]]:
    """Settle on a precision, check its files and load what every search needs; see `Retriever.open`.

    Each form of the re-ranker holds all of its weights, so only the one for single queries is loaded now,
    and another when it is first run. What is loaded now is loaded side by side.

    Returns:
        The precision, and graph name -> backend.
    """
    if backend not in BACKENDS:
        raise UsageError(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}")
    if backend in ENGINE_BACKENDS:
        from cfack_runtime.backends.engine_open import choose_engine_precision, open_engines

        chosen = choose_engine_precision(bundle, backend) if precision == "auto" else precision
        chosen = choose_precision(bundle, chosen, device)
        return chosen, open_engines(bundle, chosen, backend, device=device)
    chosen = choose_precision(bundle, precision, device)
    if chosen == INT8_CPU:
        require_exact_products()
    seen = {name: _stamp(bundle.graph_path(chosen, name)) for name in bundle.graphs(chosen)}
    bundle.check_graphs(chosen)
    later = (RERANKER, ONE_IMAGE) if bundle.has_graph(chosen, ONE_TEXT) else (ONE_IMAGE,)

    def load(name: str) -> Backend:
        entry, path = bundle.graph(chosen, name), bundle.graph_path(chosen, name)
        if _stamp(path) != seen[name]:  # touched since it was hashed, maybe long ago
            check_hash(bundle.path, entry.file)
        opened = open_backend(path, device=device, threads=threads, arena=arena, memory_limit=memory_limit)
        try:
            check_tensors(opened.inputs, entry.inputs, f"{path}: inputs")
            check_tensors(opened.outputs, entry.outputs, f"{path}: outputs")
        except BaseException:
            opened.close()
            raise
        return opened

    entries = bundle.graphs(chosen)
    loaded = _side_by_side(load, [name for name in entries if name not in later])
    return chosen, {
        name: loaded[name] if name in loaded else LazyBackend(entry, _later(load, name))
        for name, entry in entries.items()
    }


def _side_by_side(load: Callable[[str], Backend], names: Iterable[str]) -> dict[str, Backend]:
    """Load all of them or none; the first that fails, in their order, says why."""
    with ThreadPoolExecutor(thread_name_prefix="cfack-open") as pool:
        opening = {name: pool.submit(load, name) for name in names}
    errors = [error for future in opening.values() if (error := future.exception()) is not None]
    if errors:
        for future in opening.values():
            if future.exception() is None:
                future.result().close()
        raise errors[0]
    return {name: future.result() for name, future in opening.items()}


def warm_up_graphs(backends: Mapping[str, Backend], geometry: Geometry) -> None:
    """Run every loaded graph once: a batch of one, of a caption's usual length."""
    sizes = {"length": min(_WARM_UP_TOKENS, geometry.max_tokens)}
    for backend in backends.values():
        if not isinstance(backend, LazyBackend):
            backend.run({spec.name: _ones(spec, sizes) for spec in backend.inputs})


def _ones(spec: TensorSpec, sizes: Mapping[str, int]) -> np.ndarray:
    shape = [axis if isinstance(axis, int) else sizes.get(axis, 1) for axis in spec.shape]
    return np.ones(shape, np.dtype(spec.dtype))


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file is written to, or another takes its place."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _later(load: Callable[[str], Backend], name: str) -> Callable[[], Backend]:
    return lambda: load(name)
