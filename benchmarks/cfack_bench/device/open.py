"""A graph of a bundle as a call on a GPU, in the library that the candidate runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cfack_bench.candidates import ONNXRUNTIME, Candidate
from cfack_bench.device.call import DeviceCall
from cfack_bench.device.driver import CudaStream
from cfack_bench.device.engine_call import ContextSource, EngineCall
from cfack_bench.device.onnxruntime_call import OnnxRuntimeCall
from cfack_runtime.backends import Backend, Feed
from cfack_runtime.bundle import Bundle
from cfack_runtime.graph_contract import ONE_TEXT, RERANKER


def open_device_call(
    bundle: Bundle,
    candidate: Candidate,
    graph: str,
    feed: Feed,
    loaded: Mapping[str, Backend],
    *,
    cuda_graph: bool,
) -> DeviceCall:
    """Load a graph once more, for one shape and with memory of its own.

    Args:
        bundle: an opened one.
        candidate: backend, precision and GPU.
        graph: `image_encoder`, `text_encoder`, or `reranker`, in its form for one text where there is one.
        feed: what goes in; turned into the types that the graph declares.
        loaded: the same graphs, which are asked how large the outputs are.
        cuda_graph: whether to capture it and replay it.

    Raises:
        BackendError: the library or the GPU is not here, a shape is too large for the engine, or the graph
            cannot be captured.
    """
    index = int(candidate.device.partition(":")[2] or 0)
    if candidate.backend == ONNXRUNTIME:
        name = _form(graph, set(bundle.graphs(candidate.precision)))
        path, typed = bundle.graph_path(candidate.precision, name), _typed(bundle, candidate, name, feed)
        shapes = {
            output: (array.shape, array.dtype.name) for output, array in loaded[name].run(typed).items()
        }
        return OnnxRuntimeCall(path, typed, shapes, CudaStream(index), index=index, cuda_graph=cuda_graph)
    name = _form(graph, _graphs_with_engine(bundle, candidate))
    engine = _open_engine(bundle, candidate, name, index)
    return EngineCall(engine, _typed(bundle, candidate, name, feed), CudaStream(index), cuda_graph=cuda_graph)


def _form(graph: str, have: set[str]) -> str:
    """The runtime matches one text with many images by the rewrite that is made for it."""
    return ONE_TEXT if graph == RERANKER and ONE_TEXT in have else graph


def _graphs_with_engine(bundle: Bundle, candidate: Candidate) -> set[str]:
    return {
        entry.graph
        for entry in bundle.manifest.engines
        if (entry.builder, entry.precision) == (candidate.backend, candidate.precision)
    }


def _typed(bundle: Bundle, candidate: Candidate, graph: str, feed: Feed) -> Feed:
    inputs = bundle.graph(candidate.precision, graph).inputs
    return {spec.name: np.ascontiguousarray(feed[spec.name], np.dtype(spec.dtype)) for spec in inputs}


def _open_engine(bundle: Bundle, candidate: Candidate, graph: str, index: int) -> ContextSource:
    from cfack_runtime.backends.engine_checks import choose_engine
    from cfack_runtime.backends.engine_gpu import find_gpu
    from cfack_runtime.backends.engine_library import load_library
    from cfack_runtime.backends.engine_open import open_engine
    from cfack_runtime.backends.tensorrt import EngineBackend

    entry = choose_engine(
        bundle.manifest.engines,
        candidate.precision,
        graph,
        candidate.backend,
        bundle=bundle.path,
        version=load_library(candidate.backend).version,
        gpu=find_gpu(index),
    )
    engine = open_engine(bundle, entry, device=candidate.device)
    assert isinstance(engine, EngineBackend)  # nothing else is opened there
    return engine
