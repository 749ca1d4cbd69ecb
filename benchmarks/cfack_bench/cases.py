"""What is measured: one case is one measurement at one size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cfack_bench.suite import Suite
from cfack_runtime.manifest import Geometry

IMAGES, TEXTS, RERANKING, SEARCH = "image_encoding", "text_encoding", "reranking", "search"
QUERY, OPEN_LOOP, COLD_START = "query", "open_loop", "cold_start"
GPU_IMAGES, GPU_TEXTS, GPU_RERANKING = "gpu_image_encoding", "gpu_text_encoding", "gpu_reranking"

TITLES = {
    QUERY: "Whole query, closed loop",
    OPEN_LOOP: "Whole query, open loop",
    IMAGES: "Image encoding",
    TEXTS: "Text encoding",
    RERANKING: "Re-ranking",
    SEARCH: "Search of the gallery",
    GPU_IMAGES: "Image encoding on the GPU, transfers apart",
    GPU_TEXTS: "Text encoding on the GPU, transfers apart",
    GPU_RERANKING: "Re-ranking on the GPU, transfers apart",
    COLD_START: "Cold start",
}
"""Every measurement, in the order of a report."""

ON_GPU = {IMAGES: GPU_IMAGES, TEXTS: GPU_TEXTS, RERANKING: GPU_RERANKING}
"""What is also measured with its memory bound to the GPU, with and without a CUDA graph."""

UNITS = {
    **dict.fromkeys((IMAGES, GPU_IMAGES), "images"),
    **dict.fromkeys((TEXTS, GPU_TEXTS), "texts"),
    **dict.fromkeys((RERANKING, GPU_RERANKING), "pairs"),
    COLD_START: "starts",
}
"""What throughput counts; queries where nothing is said."""


@dataclass(frozen=True)
class Case:
    """One measurement at one size."""

    measure: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Name -> whole number; `rate` and `load` may be fractions."""
    units: int = 1
    """Images, texts, pairs or queries in one call."""

    @property
    def key(self) -> str:
        """Name within a suite, for example "image_encoding batch=8"."""
        return " ".join([self.measure, *(f"{name}={value:g}" for name, value in self.parameters.items())])

    @property
    def sizes(self) -> dict[str, int]:
        """The parameters as whole numbers."""
        return {name: int(value) for name, value in self.parameters.items()}

    @property
    def on_device(self) -> bool:
        """Whether it asks for a GPU, so that a candidate on a CPU has no such row."""
        return self.measure in ON_GPU.values()

    @property
    def unit(self) -> str:
        """What throughput counts."""
        return UNITS.get(self.measure, "queries")

    @property
    def needs_gallery(self) -> bool:
        """Whether the tokens of a gallery are read."""
        return self.measure in (QUERY, OPEN_LOOP, COLD_START)


def expand(suite: Suite, geometry: Geometry, *, gpu: bool = False) -> list[Case]:
    """Every case of a suite for a model; texts are no longer than the model reads.

    Args:
        suite: what is asked for.
        geometry: of the model.
        gpu: whether a candidate runs on one; the graphs are then also measured as `ON_GPU` says.
    """
    cases = [*_queries(suite), *_open_loops(suite)]
    if suite.image_encoding:
        cases += [Case(IMAGES, {"batch": batch}, batch) for batch in suite.image_encoding.batch]
    if suite.text_encoding:
        cases += [
            Case(TEXTS, {"batch": batch, "tokens": tokens}, batch)
            for batch in suite.text_encoding.batch
            for tokens in _lengths(suite.text_encoding.tokens, geometry)
        ]
    if suite.reranking:
        cases += [
            Case(RERANKING, {"candidates": count, "tokens": tokens}, count)
            for tokens in _lengths(suite.reranking.tokens, geometry)
            for count in suite.reranking.candidates
        ]
    if gpu:
        cases += [
            Case(ON_GPU[case.measure], {**case.parameters, "cuda_graph": captured}, case.units)
            for case in cases
            if case.measure in ON_GPU
            for captured in (0, 1)
        ]
    if suite.search:
        cases += [
            Case(SEARCH, {"gallery": images, "queries": queries, "k": suite.search.k}, queries)
            for images in suite.search.gallery
            for queries in suite.search.queries
        ]
    if suite.cold_start:
        cases.append(Case(COLD_START))
    return cases


def _queries(suite: Suite) -> list[Case]:
    if not suite.query:
        return []
    return [
        Case(QUERY, {"candidates": count, "clients": clients})
        for clients in suite.query.clients
        for count in suite.query.candidates
    ]


def _open_loops(suite: Suite) -> list[Case]:
    loop = suite.open_loop
    if not loop:
        return []
    arrivals = [("rate", rate) for rate in loop.rates] or [("load", load) for load in loop.loads]
    return [
        Case(OPEN_LOOP, {"candidates": count, name: value})
        for count in loop.candidates
        for name, value in arrivals
    ]


def _lengths(wanted: Iterable[int], geometry: Geometry) -> list[int]:
    """Lengths in tokens, each at most the model's longest, none twice."""
    return sorted({min(tokens, geometry.max_tokens) for tokens in wanted})
