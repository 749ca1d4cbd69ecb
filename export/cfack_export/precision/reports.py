"""What a conversion did to a graph, for people and for `parity.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cfack_export.precision.layers import SkippedLayer


@dataclass(frozen=True)
class Int8Report:
    """A graph with 8-bit products."""

    graph: str
    method: str
    """How activations get their scale: "dynamic", "entropy" or "minmax"."""
    quantized: tuple[str, ...]
    """Layers in 8 bits, in the order of the graph."""
    skipped: tuple[SkippedLayer, ...]
    """Layers left as they were, and why."""
    calibration: int = 0
    """Calls that the scales were measured on; 0 where none are needed."""

    def to_json(self) -> dict[str, Any]:
        """For `json.dumps`."""
        return {
            "graph": self.graph,
            "method": self.method,
            "quantized": list(self.quantized),
            "skipped": [asdict(layer) for layer in self.skipped],
            "calibration": self.calibration,
        }


@dataclass(frozen=True)
class KeptNode:
    """A node that a range check kept in FP32."""

    name: str
    reason: str
    largest: float
    """The largest absolute value that was seen."""


@dataclass(frozen=True)
class Fp16Report:
    """A graph in FP16."""

    graph: str
    nodes: int
    """Nodes that compute in FP16."""
    kept_fp32: tuple[KeptNode, ...]
    """Nodes that would be in FP16, but for what the range check saw."""
    largest: float
    """Largest absolute value of any tensor that is in FP16, over the calibration calls."""
    largest_tensor: str
    calibration: int
    """Calls that the ranges were measured on."""

    def to_json(self) -> dict[str, Any]:
        """For `json.dumps`."""
        return {
            "graph": self.graph,
            "nodes": self.nodes,
            "kept_fp32": [asdict(node) for node in self.kept_fp32],
            "largest": self.largest,
            "largest_tensor": self.largest_tensor,
            "calibration": self.calibration,
        }
