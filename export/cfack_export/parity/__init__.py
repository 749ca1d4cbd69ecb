"""The parity gate: a precision passes it, or does not leave the house. docs/parity.md says how to read it.

Nothing here needs torch but `torch_reference`.
"""

from cfack_export.parity.cross import cross_matrix
from cfack_export.parity.feeds import Feed, Run, backend_run
from cfack_export.parity.gate import ParityGate
from cfack_export.parity.graph_check import GraphParity, OutputParity
from cfack_export.parity.limits import LIMITS, Limits, limits_for
from cfack_export.parity.reference import (
    Inputs,
    Reference,
    compute_reference,
    gate_inputs,
    load_reference,
)
from cfack_export.parity.report import PrecisionReport, parity_document
from cfack_export.parity.sample import SampleSize, SplitSample, default_size, sample_split

__all__ = [
    "LIMITS",
    "Feed",
    "GraphParity",
    "Inputs",
    "Limits",
    "OutputParity",
    "ParityGate",
    "PrecisionReport",
    "Reference",
    "Run",
    "SampleSize",
    "SplitSample",
    "backend_run",
    "compute_reference",
    "cross_matrix",
    "default_size",
    "gate_inputs",
    "limits_for",
    "load_reference",
    "parity_document",
    "sample_split",
]
