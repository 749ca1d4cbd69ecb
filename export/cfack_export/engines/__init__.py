"""ONNX files in, engines out: TensorRT on the GPU that is here, TensorRT-RTX for GPUs named in advance.

Both libraries have one API, so there is one builder. Needs neither PyTorch nor the onnx package:
`rebuild_engines` works where only the runtime and one of the two libraries are installed.
"""

from __future__ import annotations

from cfack_export.engines.build import ENGINE_PRECISIONS, BuiltEngine, EngineSource, build_engines
from cfack_export.engines.options import EngineOptions
from cfack_export.engines.profiles import BatchRange, ProfileSettings, graph_profiles
from cfack_export.engines.rebuild import rebuild_engines
from cfack_export.engines.targets import EngineTarget, require_targets

__all__ = [
    "ENGINE_PRECISIONS",
    "BatchRange",
    "BuiltEngine",
    "EngineOptions",
    "EngineSource",
    "EngineTarget",
    "ProfileSettings",
    "build_engines",
    "graph_profiles",
    "rebuild_engines",
    "require_targets",
]
