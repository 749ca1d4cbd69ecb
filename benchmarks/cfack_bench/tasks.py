"""A case as calls that can be timed; runs in the candidate's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from cfack_bench.cases import IMAGES, OPEN_LOOP, QUERY, RERANKING, SEARCH, TEXTS, Case
from cfack_bench.engines import Engine
from cfack_bench.gallery import random_embeddings
from cfack_bench.open_loop import poisson_arrivals, run_open_loop
from cfack_bench.staged import STAGES, staged_query
from cfack_bench.statistics import rounded
from cfack_bench.workload import Workload, random_ids, read_pixels
from cfack_runtime.errors import UsageError
from cfack_runtime.gallery import Gallery
from cfack_runtime.ranking import top_k


@dataclass
class Visit:
    """Samples of one visit, in milliseconds."""

    samples: list[float] = field(default_factory=list)
    warmup: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    wall: float | None = None
    """From the first to the last answer, where several ran at once or had to wait."""
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """How long a visit may be."""

    seconds: float
    samples: int
    warmup: int
    round: int


class Tasks:
    """Builds what a case calls, once, and runs visits.

    Args:
        engine: the candidate.
        workload: the inputs.
        folder: where they lie.
    """

    def __init__(self, engine: Engine, workload: Workload, folder: Path) -> None:
        self._engine, self._workload, self._folder = engine, workload, folder
        self._gallery = Gallery.open(workload.gallery) if workload.gallery else None
        self._calls: dict[str, Callable[[], object]] = {}

    def visit(self, case: Case, limits: Limits) -> Visit:
        """Warm up, then take samples until the time or their number is reached; at least one."""
        if case.measure == OPEN_LOOP:
            return self._open_loop(case, limits)
        if case.measure == QUERY:
            if case.parameters["clients"] > 1:
                return self._clients(case, limits)
            return self._staged(case, limits)
        if case.key not in self._calls:
            self._calls.clear()  # one case at a time holds its inputs
            self._calls[case.key] = self._prepare(case)
        visit = Visit()
        call = self._calls[case.key]
        _repeat(limits, visit, lambda into: into.append(_time(call)))
        return visit

    def first_answer(self) -> None:
        """What a cold start ends with: one query, re-ranked if there is a gallery, or one text."""
        self._query(self._workload.captions[0], rerank=1)

    def _prepare(self, case: Case) -> Callable[[], object]:
        engine, seed = self._engine, self._workload.seed
        size = {name: int(value) for name, value in case.parameters.items()}
        if case.measure == IMAGES:
            pixels = read_pixels(self._folder, size["batch"])
            return lambda: engine.encode_images(pixels)
        if case.measure == TEXTS:
            ids = random_ids(engine.tokenizer, size["batch"], size["tokens"], seed)
            return lambda: engine.encode_texts(ids)
        if case.measure == RERANKING:
            texts = engine.encode_texts(random_ids(engine.tokenizer, 1, size["tokens"], seed))
            image = engine.encode_images(read_pixels(self._folder, 1)).tokens
            images = np.repeat(image.astype(np.float16), size["candidates"], axis=0)
            return lambda: engine.match(texts.tokens, texts.mask, images)
        if case.measure == SEARCH:
            width = engine.encode_texts(random_ids(engine.tokenizer, 1, 4, seed)).embedding.shape[1]
            gallery = random_embeddings(size["gallery"], width, seed)
            queries = random_embeddings(size["queries"], width, seed + 1)
            return lambda: top_k(queries, gallery, size["k"])
        raise UsageError(f"no measurement {case.measure!r}")

    def _query(self, caption: str, rerank: int) -> None:
        if self._gallery is None:
            self._engine.encode_texts(self._engine.tokenizer.encode([caption]))
        else:
            self._engine.search(self._gallery, caption, self._workload.k, rerank)

    def _staged(self, case: Case, limits: Limits) -> Visit:
        """Queries as a user asks them, each followed by the same one in its stages.

        A visit goes through the captions from where the last one ended, so that all of them are asked.
        """
        gallery, rerank = self._require_gallery(), int(case.parameters["candidates"])
        visit = Visit(stages={stage: [] for stage in STAGES})
        captions = self._workload.captions
        place = count(limits.round * limits.samples)

        def once(into: list[float]) -> None:
            caption = captions[next(place) % len(captions)]
            into.append(_time(partial(self._query, caption, rerank)))
            _, stages = staged_query(self._engine, gallery, caption, self._workload.k, rerank)
            if into is visit.samples:
                for stage, nanoseconds in stages.items():
                    visit.stages[stage].append(rounded(nanoseconds / 1e6))

        _repeat(limits, visit, once)
        return visit

    def _clients(self, case: Case, limits: Limits) -> Visit:
        """Several threads, each asking again as soon as it has its answer."""
        self._require_gallery()
        clients, rerank = int(case.parameters["clients"]), int(case.parameters["candidates"])
        captions, visit, faults = self._workload.captions, Visit(), []
        for index in range(max(1, limits.warmup)):
            visit.warmup.append(_time(partial(self._query, captions[index % len(captions)], rerank)))
        turn, began = count(), time.perf_counter()

        def ask() -> None:
            try:
                while True:
                    mine = next(turn)
                    late = time.perf_counter() - began > limits.seconds
                    if mine >= limits.samples * clients or (late and mine >= clients):
                        return
                    visit.samples.append(_time(partial(self._query, captions[mine % len(captions)], rerank)))
            except Exception as error:
                faults.append(error)

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if faults:
            raise faults[0]
        visit.wall = rounded(1e3 * (time.perf_counter() - began))
        return visit

    def _open_loop(self, case: Case, limits: Limits) -> Visit:
        """Arrivals at `rate` a second, the same for every candidate in the same round."""
        self._require_gallery()
        rerank, rate = int(case.parameters["candidates"]), case.parameters["rate"]
        captions, visit = self._workload.captions, Visit()
        for index in range(max(1, limits.warmup)):
            visit.warmup.append(_time(partial(self._query, captions[index % len(captions)], rerank)))
        due = poisson_arrivals(rate, limits.samples, (self._workload.seed, limits.round))
        loop = run_open_loop(due, lambda index: self._query(captions[index % len(captions)], rerank))
        visit.samples = [rounded(1e3 * seconds) for seconds in loop.latency]
        visit.stages = {"waiting": [rounded(1e3 * seconds) for seconds in loop.waiting]}
        visit.wall = rounded(1e3 * loop.wall)
        visit.details = {"rate": rate, "asked_seconds": float(due[-1])}
        return visit

    def _require_gallery(self) -> Gallery:
        if self._gallery is None:
            raise UsageError("a query needs a gallery")
        return self._gallery


def _repeat(limits: Limits, visit: Visit, once: Callable[[list[float]], Any]) -> None:
    began = time.perf_counter()
    for index in range(limits.warmup):
        # Calls of seconds are warm after one.
        if index == 0 or time.perf_counter() - began < limits.seconds:
            once(visit.warmup)
    began = time.perf_counter()
    while not visit.samples or (
        len(visit.samples) < limits.samples and time.perf_counter() - began < limits.seconds
    ):
        once(visit.samples)


def _time(call: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    call()
    return rounded((time.perf_counter_ns() - start) / 1e6)
