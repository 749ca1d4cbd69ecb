"""Cases that are whole queries: one after the other, from several clients, or as they arrive."""

from __future__ import annotations

import threading
import time
from functools import partial
from itertools import count

from cfack_bench.cases import Case
from cfack_bench.engines import Engine
from cfack_bench.open_loop import poisson_arrivals, run_open_loop
from cfack_bench.staged import STAGES, staged_query
from cfack_bench.statistics import rounded
from cfack_bench.visits import Limits, Visit, repeat, timed
from cfack_bench.workload import Workload
from cfack_runtime.errors import UsageError
from cfack_runtime.gallery import Gallery


class QueryTasks:
    """Asks the captions of the workload in turn.

    Args:
        engine: the candidate.
        workload: with captions, and a gallery for everything but `ask` alone.
    """

    def __init__(self, engine: Engine, workload: Workload) -> None:
        self._engine, self._workload = engine, workload
        self._gallery = Gallery.open(workload.gallery) if workload.gallery else None

    def ask(self, index: int, rerank: int) -> None:
        """Ask caption number `index`, from the start again after the last; without a gallery encode it."""
        captions = self._workload.captions
        caption = captions[index % len(captions)]
        if self._gallery is None:
            self._engine.encode_texts(self._engine.tokenizer.encode([caption]))
        else:
            self._engine.search(self._gallery, caption, self._workload.k, rerank)

    def staged(self, case: Case, limits: Limits) -> Visit:
        """Queries as a user asks them, each followed by the same one in its stages.

        A visit goes through the captions from where the last one ended, so that all of them are asked.
        """
        gallery, rerank = self._require_gallery(), case.sizes["candidates"]
        captions, k = self._workload.captions, self._workload.k
        visit = Visit(stages={stage: [] for stage in STAGES})
        place = count(limits.round * limits.samples)

        def once(into: list[float]) -> None:
            index = next(place)
            into.append(timed(partial(self.ask, index, rerank)))
            _, stages = staged_query(self._engine, gallery, captions[index % len(captions)], k, rerank)
            if into is visit.samples:
                for stage, nanoseconds in stages.items():
                    visit.stages[stage].append(rounded(nanoseconds / 1e6))

        repeat(limits, visit, once)
        return visit

    def clients(self, case: Case, limits: Limits) -> Visit:
        """Several threads, each asking again as soon as it has its answer."""
        self._require_gallery()
        clients, rerank = case.sizes["clients"], case.sizes["candidates"]
        visit = self._warmed_up(limits, rerank)
        faults: list[Exception] = []
        turn, began = count(), time.perf_counter()

        def ask() -> None:
            try:
                while True:
                    mine = next(turn)
                    late = time.perf_counter() - began > limits.seconds
                    if mine >= limits.samples * clients or (late and mine >= clients):
                        return
                    visit.samples.append(timed(partial(self.ask, mine, rerank)))
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

    def open_loop(self, case: Case, limits: Limits) -> Visit:
        """Arrivals at `rate` a second, the same for every candidate in the same round."""
        self._require_gallery()
        rerank, rate = case.sizes["candidates"], case.parameters["rate"]
        visit = self._warmed_up(limits, rerank)
        due = poisson_arrivals(rate, limits.samples, (self._workload.seed, limits.round))
        loop = run_open_loop(due, partial(self.ask, rerank=rerank))
        visit.samples = [rounded(1e3 * seconds) for seconds in loop.latency]
        visit.stages = {"waiting": [rounded(1e3 * seconds) for seconds in loop.waiting]}
        visit.wall = rounded(1e3 * loop.wall)
        visit.details = {"rate": rate}
        return visit

    def _warmed_up(self, limits: Limits, rerank: int) -> Visit:
        calls = range(max(1, limits.warmup))
        return Visit(warmup=[timed(partial(self.ask, index, rerank)) for index in calls])

    def _require_gallery(self) -> Gallery:
        if self._gallery is None:
            raise UsageError("a query needs a gallery")
        return self._gallery
