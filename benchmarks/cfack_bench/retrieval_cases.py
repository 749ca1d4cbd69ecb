"""The kinds of work that are timed against PyTorch, and how."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cfack_bench.retrieval_operations import LeastOperations
from cfack_bench.retrieval_subject import PRECISIONS, Subject

_PAUSE = 0.05
"""Seconds between two calls: the threads of the library before go on looking for work for a while."""
_CAPTIONS_EACH, _TORCH_QUERIES = 5, 3

Call = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One kind of work. What is timed under a name that starts with `torch` is PyTorch's way."""

    name: str
    targets: Mapping[str, float]
    """Precision -> how many times faster than PyTorch."""
    gflop: float
    """The least that it takes."""
    measure: Callable[[], dict[str, list[float]]]
    """Milliseconds of every timed call, by name."""
    note: str = ""

    def run(self) -> dict[str, Any]:
        """Time it; the result can be written as JSON."""
        samples = self.measure()
        p50 = {name: float(np.median(ms)) for name, ms in samples.items()}
        torch = min(ms for name, ms in p50.items() if name.startswith("torch"))
        return {
            "name": self.name,
            "note": self.note,
            "ms": samples,
            "p50_ms": p50,
            "torch_ms": torch,
            "ratio": {precision: torch / p50[precision] for precision in self.targets},
            "target": dict(self.targets),
            "least_gflop": self.gflop,
        }


@dataclass
class Turns:
    """Calls that take turns, so that all of them see the same machine."""

    calls: Mapping[str, Call]
    rounds: int
    scale: float = 1.0
    """What milliseconds are multiplied with."""
    warm_up: bool = True
    _samples: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self) -> dict[str, list[float]]:
        """Time every call `rounds` times, after one that is not counted if asked for."""
        for turn in range(self.rounds + self.warm_up):
            for name, call in self.calls.items():
                taken = _milliseconds(call) * self.scale
                if turn >= self.warm_up:
                    self._samples.setdefault(name, []).append(taken)
        return self._samples


def retrieval_cases(subject: Subject, *, rounds: int, compiled: bool) -> list[Case]:
    """List the kinds of work of `Subject`.

    Args:
        subject: what is timed.
        rounds: timed calls of each side; captions get five times as many, the evaluation one.
        compiled: time `torch.compile` of the image encoder too.
    """
    least, queries = LeastOperations(subject.model.config), len(subject.lengths)
    images: dict[str, Call] = {"torch": subject.torch_images}
    if compiled:
        images["torch compiled"] = subject.torch_compiled_images()
    padded = f"{subject.tokens} tokens; PyTorch pads to {subject.model.config.text.max_tokens}"
    return [
        Case(
            "encode a caption",
            {"fp32": 2.0, "int8-cpu": 5.0},
            least.caption(subject.tokens),
            Turns(_ours(subject.caption, {"torch": subject.torch_caption}), rounds * _CAPTIONS_EACH),
            padded,
        ),
        Case(
            "encode an image",
            {"fp32": 1.0, "int8-cpu": 2.4},
            least.image(),
            Turns(_ours(subject.encode_images, images), rounds, scale=1 / len(subject.pixels)),
            f"{len(subject.pixels)} at once; the best of {' and '.join(images)}",
        ),
        Case(
            f"one query, re-rank {subject.candidates_each}",
            {"fp32": 2.5, "int8-cpu": 6.0},
            least.one_query(subject.tokens, subject.candidates_each),
            Turns(
                _ours(lambda precision: subject.rerank(precision, 1), {"torch": subject.torch_rerank}), rounds
            ),
            f"{padded}, all pairs at once",
        ),
        Case(
            f"evaluate {queries} x {subject.candidates_each}",
            {"fp32": 4.0, "int8-cpu": 10.0},
            least.many_queries(subject.lengths.tolist(), subject.candidates_each, subject.gallery),
            lambda: _evaluation(subject, queries),
            f"on {subject.gallery} images; PyTorch: the median of {_TORCH_QUERIES} queries, times {queries}",
        ),
    ]


def _ours(call: Callable[[str], Any], torch: Mapping[str, Call]) -> dict[str, Call]:
    def of(precision: str) -> Call:
        return lambda: call(precision)

    return {**torch, **{precision: of(precision) for precision in PRECISIONS}}


def _evaluation(subject: Subject, queries: int) -> dict[str, list[float]]:
    """PyTorch by samples before, between and after ours, which take minutes and run once each."""
    samples: dict[str, list[float]] = {"torch": []}
    for number in range(_TORCH_QUERIES):
        query = number % queries
        samples["torch"].append(_milliseconds(lambda query=query: subject.torch_rerank(query)) * queries)  # type: ignore[misc]
        if number < len(PRECISIONS):
            precision = PRECISIONS[number]
            samples[precision] = [_milliseconds(lambda p=precision: subject.rerank(p, queries))]  # type: ignore[misc]
    return samples


def _milliseconds(call: Call) -> float:
    time.sleep(_PAUSE)
    began = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - began) / 1e6
