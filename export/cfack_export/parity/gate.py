"""The gate: a precision comes out of it measured, and passed or refused."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cfack_export.parity.calls import Call, Key, image_calls, pair_calls, text_calls
from cfack_export.parity.feeds import Run
from cfack_export.parity.graph_check import Expected, GraphParity, check_calls
from cfack_export.parity.int8_tokens import Int8Tokens, measure_int8_tokens
from cfack_export.parity.limits import INT8, Limits, coarser, limits_for
from cfack_export.parity.memo import Memo, Recall
from cfack_export.parity.profiles import edges, fits
from cfack_export.parity.reference import Reference
from cfack_export.parity.report import PrecisionReport
from cfack_export.parity.split_check import SplitMeasurement, measure_split
from cfack_export.parity.verdict import RERANKED
from cfack_runtime.engine import Profile
from cfack_runtime.errors import BackendError, ParityError, UsageError
from cfack_runtime.graph_contract import GRAPHS, IMAGE_ENCODER, REWRITES, TEXT_ENCODER
from cfack_runtime.progress import ProgressCallback, no_progress

Profiles = Mapping[str, Sequence[Profile]]
"""Graph -> the profiles of its engine."""


class ParityGate:
    """Measures precisions against one reference.

    Args:
        reference: what must come out, with the inputs that it came from.
        max_drop: points of R@1 that a quantised precision may lose; None: as in the table.
    """

    def __init__(self, reference: Reference, *, max_drop: float | None = None) -> None:
        self.reference = reference
        self._max_drop = max_drop
        self._memo = Memo()
        self._rankings = reference.rankings() if reference.inputs.sample is not None else None

    def limits(self, precision: str) -> Limits:
        """What a precision may differ by, here.

        Raises:
            UsageError: there are no limits for such a precision.
        """
        return limits_for(precision, self._max_drop)

    def measure(
        self,
        precision: str,
        backend: str,
        graphs: Mapping[str, Run],
        *,
        device: str = "cpu",
        profiles: Profiles | None = None,
        versions: Mapping[str, str] | None = None,
        int8_tokens: bool = True,
        until_refused: bool = False,
        progress: ProgressCallback = no_progress,
    ) -> PrecisionReport:
        """Run everything and judge it; never raises for what the graphs do, the report says it.

        Args:
            precision: whose limits hold.
            backend: what runs the graphs, for people.
            graphs: the three graphs of the contract, and the re-ranker's rewrites where there are any.
            device: where they run; on a GPU more pairs are matched per call, as the runtime does there.
            profiles: of engines: calls outside of them are left out, calls at their edges are added.
            versions: graph -> hash of its file: what was measured with it before is not measured again.
            int8_tokens: measure too whether a gallery may keep image tokens in 8 bits.
            until_refused: leave out the split where outputs are refused, and re-ranking, which takes longest,
                where the dual encoder is. The verdict is the same.
            progress: counts images, captions and re-ranked queries of the sample.

        Raises:
            UsageError: a graph is missing, or the precision is unknown.
            ImageError: an image of the sample cannot be read.
        """
        missing = [name for name in GRAPHS if name not in graphs]
        if missing:
            raise UsageError(f"{precision}: the gate was given no {' and no '.join(missing)}")
        limits = self.limits(precision)
        recall = Recall(self._memo, precision, versions or {})
        began = time.perf_counter()

        def check(name: str) -> GraphParity:
            return recall.of(
                f"cases of {name}",
                (name,),
                lambda: self.check_graph(name, graphs[name], limits, (profiles or {}).get(name)),
            )

        checked = tuple(check(name) for name in (*GRAPHS, *REWRITES) if name in graphs)
        failures = [sentence for graph in checked for sentence in graph.failures]
        split = SplitMeasurement()
        if self._rankings is not None and not (until_refused and failures):
            split = self._measure_split(graphs, limits, recall, device, until_refused, progress)
        return PrecisionReport(
            precision=precision,
            backend=backend,
            reference=self.reference.name,
            limits=limits,
            sample=self.reference.inputs.sample,
            graphs=checked,
            errors=split.errors,
            stages=split.stages,
            failures=(*failures, *split.failures),
            seconds=time.perf_counter() - began,
            features=split.features,
            int8_tokens=self._int8_tokens(split, graphs, limits, recall, device) if int8_tokens else None,
        )

    def check_graph(
        self, graph: str, run: Run, limits: Limits, profiles: Sequence[Profile] | None = None
    ) -> GraphParity:
        """Put one graph through its calls; see `check_calls`."""
        calls = self._calls(graph, profiles or ())
        if profiles:
            calls = (call for call in calls if fits(call.feed, profiles))
        return check_calls(graph, run, calls, self._expected(graph), limits, self.reference.name)

    def _int8_tokens(
        self,
        split: SplitMeasurement,
        graphs: Mapping[str, Run],
        limits: Limits,
        recall: Recall,
        device: str,
    ) -> Int8Tokens | None:
        """Measure it where lists are re-ranked; the limits are INT8's, whatever the precision."""
        sample = self.reference.inputs.sample
        if sample is None or split.features is None or RERANKED not in split.stages:
            return None
        assert self._rankings is not None
        reference = self._rankings[1]
        assert reference is not None
        allowed = coarser(limits, self.limits(INT8))
        try:
            return measure_int8_tokens(
                reference, sample, split.features, graphs, allowed, recall, device=device
            )
        except (ParityError, BackendError):
            return None  # not measured, which a gallery takes for not passed

    def _measure_split(
        self,
        graphs: Mapping[str, Run],
        limits: Limits,
        recall: Recall,
        device: str,
        until_refused: bool,
        progress: ProgressCallback,
    ) -> SplitMeasurement:
        assert self._rankings is not None
        try:
            return measure_split(
                self.reference,
                self._rankings,
                graphs,
                limits,
                recall,
                device=device,
                until_refused=until_refused,
                progress=progress,
            )
        except (ParityError, BackendError) as error:
            return SplitMeasurement(failures=[f"retrieval cannot be measured: {error}"])

    def _calls(self, graph: str, profiles: Sequence[Profile]) -> Iterator[Call]:
        rows = self.reference.inputs.rows
        if graph == IMAGE_ENCODER:
            return image_calls(rows, [batch for (batch,) in edges(profiles, [("pixels", 0)])])
        if graph == TEXT_ENCODER:
            shapes = edges(profiles, [("input_ids", 0), ("input_ids", 1)])
            return text_calls(rows, [(batch, length) for batch, length in shapes])
        axes = [("text_tokens", 0), ("image_tokens", 0), ("text_tokens", 1)]
        shapes = edges(profiles, axes)
        return pair_calls(graph, rows, self.reference.tokens, [(a, b, c) for a, b, c in shapes])

    def _expected(self, graph: str) -> Expected:
        arrays, rows = self.reference.arrays, self.reference.inputs.rows
        if graph == IMAGE_ENCODER:
            names = ("image_embedding", "image_tokens")
            return {name: dict(_keyed(arrays[name])) for name in names}
        if graph == TEXT_ENCODER:
            embeddings = dict(_keyed(arrays["text_embedding"]))
            tokens = {key: row[: rows.lengths[key]] for key, row in _keyed(arrays["text_tokens"])}
            return {"text_embedding": embeddings, "text_tokens": tokens}
        logits = arrays["match_logits"]
        pairs = np.argwhere(np.isfinite(logits).all(axis=-1))
        return {"match_logits": {(t, i): logits[t, i] for t, i in pairs.tolist()}}


def _keyed(array: NDArray[np.float32]) -> Iterator[tuple[Key, NDArray[np.float32]]]:
    for index, row in enumerate(array):
        yield (index,), row
