"""An ONNX file as a TensorRT network, or an error that names the node it could not take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cfack_runtime.backends.engine_library import EngineLibrary, LibraryLog
from cfack_runtime.errors import BackendError
from cfack_runtime.onnx_scan import require_self_contained


def parse_onnx(library: EngineLibrary, builder: Any, log: LibraryLog, logger: Any, path: Path) -> Any:
    """Parse an ONNX file into a strongly typed network: every tensor keeps the type that the file gives it.

    Args:
        library: whose API.
        builder: its `Builder`.
        log: what `logger` reports to.
        logger: the library's logger.
        path: the ONNX file, with all of its weights in it.

    Returns:
        The `INetworkDefinition`. It does not hold on to the parser.

    Raises:
        BackendError: the file holds something that the library does not take; every such node is named.
        BundleError: the file refers to other files.
    """
    require_self_contained(path)
    module = library.module
    network = builder.create_network(_creation_flags(module))
    parser = module.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        faults = [_fault(parser.get_error(index)) for index in range(parser.num_errors)]
        raise BackendError(
            f"{path}: {library.name} {library.version} does not take this graph: "
            + ("; ".join(faults) or log.errors or "no reason given")
        )
    return network


def _creation_flags(module: Any) -> int:
    """Strong typing; from TensorRT 11 on networks have no other kind, and the flag may go."""
    flag = getattr(module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _fault(error: Any) -> str:
    where = f"node {error.node_name()!r} ({error.node_operator()})" if error.node_operator() else "the file"
    code = str(error.code()).rpartition(".")[2]
    return f"{where}: {' '.join(str(error.desc()).split())} [{code}]"
