"""One graph through its calls: against the reference, against itself alone, against itself unpadded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_export.parity.calls import Call, Key
from cfack_export.parity.difference import NO_DIFFERENCE, Difference, difference, finite_or_none, worst
from cfack_export.parity.feeds import Feed, Run
from cfack_export.parity.limits import Limits
from cfack_runtime.errors import BackendError

Expected = Mapping[str, Mapping[Key, NDArray[np.float32]]]
"""Output -> row -> what it must be, without the row's padding."""

_TOKENS = ("image_tokens", "text_tokens")


@dataclass
class OutputParity:
    """One output of one graph, over its calls."""

    output: str
    tolerance: float
    cases: int = 0
    against_reference: Difference = NO_DIFFERENCE
    alone: Difference = NO_DIFFERENCE
    """A row beside others against the row alone: batch invariance."""
    padding: Difference = NO_DIFFERENCE
    """With garbage in the padded slots against without: padding invariance."""
    worst_case: str = ""

    @property
    def error(self) -> float:
        """Against the reference."""
        return self.against_reference.error

    def to_json(self) -> dict[str, Any]:
        """Figures for `json.dumps`; null for what was no number."""
        return {
            "cases": self.cases,
            "tolerance": self.tolerance,
            "error": finite_or_none(self.error),
            "max_abs_error": finite_or_none(self.against_reference.max_abs),
            "min_cosine": self.against_reference.min_cosine,
            "worst_case": self.worst_case,
            "batch_error": finite_or_none(self.alone.error),
            "padding_error": finite_or_none(self.padding.error),
        }


@dataclass
class GraphParity:
    """One graph, run by one backend."""

    graph: str
    outputs: tuple[OutputParity, ...]
    failures: list[str] = field(default_factory=list)

    @property
    def error(self) -> float:
        """Of the worst output."""
        return max(result.error for result in self.outputs)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Output name -> figures."""
        return {result.output: result.to_json() for result in self.outputs}


def check_calls(
    graph: str, run: Run, calls: Iterable[Call], expected: Expected, limits: Limits, reference: str
) -> GraphParity:
    """Run a graph's calls and compare every row of every output.

    Args:
        graph: its name, for messages.
        run: the graph.
        calls: every row alone first.
        expected: of every output.
        limits: of the precision.
        reference: what the expected rows come from, for messages.

    Returns:
        Figures, and a sentence for everything that is above its limit: the first case in which it is, which
        is the simplest.
    """
    return _GraphCheck(graph, run, expected, limits, reference).over(calls)


class _GraphCheck:
    def __init__(self, graph: str, run: Run, expected: Expected, limits: Limits, reference: str) -> None:
        self._graph, self._run, self._expected = graph, run, expected
        self._limits, self._reference = limits, reference
        self._outputs = {name: OutputParity(name, _tolerance(limits, name)) for name in expected}
        self._alone: dict[str, dict[Key, NDArray[Any]]] = {name: {} for name in expected}
        self._failures: dict[tuple[str, str], str] = {}

    def over(self, calls: Iterable[Call]) -> GraphParity:
        for call in calls:
            self._one(call)
        return GraphParity(self._graph, tuple(self._outputs.values()), list(self._failures.values()))

    def _one(self, call: Call) -> None:
        got = self._outputs_of(call.case, call.feed)
        if got is None:
            return
        clean = self._outputs_of(call.case, call.clean) if call.clean is not None else None
        for name, rows in self._expected.items():
            if not self._is_well_formed(call, name, got):
                continue
            values = _unpadded(got[name], name, [rows[key] for key in call.rows])
            self._against_reference(call, name, values)
            self._against_alone(call, name, values)
            if clean is not None:
                before = _unpadded(clean[name], name, [rows[key] for key in call.rows])
                self._against_clean(call, name, values, before)

    def _outputs_of(self, case: str, feed: Feed) -> Mapping[str, NDArray[Any]] | None:
        try:
            return self._run(feed)
        except BackendError as error:
            shapes = {name: values.shape for name, values in feed.items()}
            self._fail("run", "", f"case {case!r}, inputs {shapes}: cannot be run: {error}")
            return None

    def _is_well_formed(self, call: Call, name: str, got: Mapping[str, NDArray[Any]]) -> bool:
        shape = self._expected[name][call.rows[0]].shape
        if name == "text_tokens":
            shape = (call.feed["input_ids"].shape[1], *shape[1:])
        wanted = (len(call.rows), *shape)
        types = ("float32", "float16") if name in _TOKENS else ("float32",)
        values = got.get(name)
        if values is not None and values.shape == wanted and values.dtype in types:
            return True
        found = "nothing" if values is None else f"{values.dtype} {values.shape}"
        self._fail("form", name, f"case {call.case!r}, {name}: is {found}, expected {types[0]} {wanted}")
        return False

    def _against_reference(self, call: Call, name: str, values: list[NDArray[Any]]) -> None:
        rows = self._expected[name]
        found = worst(difference(value, rows[key]) for value, key in zip(values, call.rows, strict=True))
        result = self._outputs[name]
        if not result.cases or found.error > result.error:
            result.worst_case = call.case
        result.cases += 1
        result.against_reference = worst([result.against_reference, found])
        where = f"case {call.case!r}, {name}"
        if not found.finite:
            self._fail("reference", name, f"{where}: holds what is no number")
        elif found.error > result.tolerance:
            self._fail(
                "reference",
                name,
                f"{where}: differs from {self._reference} by {found.error:.3g}, allowed is "
                f"{result.tolerance:.3g} (lowest cosine {found.min_cosine:.6f})",
            )
        elif name.endswith("embedding") and found.min_cosine < self._limits.case_cosine:
            self._fail(
                "reference",
                name,
                f"{where}: lowest cosine with {self._reference} {found.min_cosine:.6f}, at least "
                f"{self._limits.case_cosine:.6f} is asked for",
            )

    def _against_alone(self, call: Call, name: str, values: list[NDArray[Any]]) -> None:
        """Compare with the rows alone.

        Where a row has not run alone, since an engine does not allow it or that call failed, the first
        company that it ran in stands for it.
        """
        alone = self._alone[name]
        errors = []
        for value, key in zip(values, call.rows, strict=True):
            found = difference(value, alone.setdefault(key, value))
            self._outputs[name].alone = worst([self._outputs[name].alone, found])
            errors.append(found.error)
        row, limit = int(np.argmax(errors)), self._limits.batch_error
        if not errors[row] <= limit:
            self._fail(
                "batch",
                name,
                f"case {call.case!r}, {name}: row {row} differs by {errors[row]:.3g} from the same row run "
                f"alone, allowed is {limit:.3g}",
            )

    def _against_clean(
        self, call: Call, name: str, values: list[NDArray[Any]], before: list[NDArray[Any]]
    ) -> None:
        found = worst(difference(value, clean) for value, clean in zip(values, before, strict=True))
        result, limit = self._outputs[name], self._limits.padding_error
        result.padding = worst([result.padding, found])
        if not found.error <= limit:
            self._fail(
                "padding",
                name,
                f"case {call.case!r}, {name}: what lies in padded slots changes it by {found.error:.3g}, "
                f"allowed is {limit:.3g}",
            )

    def _fail(self, kind: str, output: str, sentence: str) -> None:
        self._failures.setdefault((kind, output), f"{self._graph}, {sentence}")


def _unpadded(values: NDArray[Any], name: str, expected: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """The rows of an output; of text tokens those that are no padding."""
    if name == "text_tokens":
        return [value[: len(wanted)] for value, wanted in zip(values, expected, strict=True)]
    return list(values)


def _tolerance(limits: Limits, output: str) -> float:
    if output == "match_logits":
        return limits.logit_error
    return limits.token_error if output in _TOKENS else limits.embedding_error
