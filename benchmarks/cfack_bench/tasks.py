"""A case as calls that can be timed; runs in the candidate's process."""

from __future__ import annotations

from pathlib import Path

from cfack_bench.cases import OPEN_LOOP, QUERY, Case
from cfack_bench.engines import Engine
from cfack_bench.graph_tasks import GraphTasks
from cfack_bench.query_tasks import QueryTasks
from cfack_bench.visits import Limits, Visit
from cfack_bench.workload import Workload


class Tasks:
    """Every case of a candidate.

    Args:
        engine: the candidate.
        workload: the inputs.
        folder: where they lie.
    """

    def __init__(self, engine: Engine, workload: Workload, folder: Path) -> None:
        self._queries = QueryTasks(engine, workload)
        self._graphs = GraphTasks(engine, workload, folder)

    def visit(self, case: Case, limits: Limits) -> Visit:
        """Warm up, then take samples until the time or their number is reached; at least one."""
        if case.measure in (OPEN_LOOP, QUERY):
            self._graphs.close()
        if case.measure == OPEN_LOOP:
            return self._queries.open_loop(case, limits)
        if case.measure == QUERY:
            several = case.parameters["clients"] > 1
            return (self._queries.clients if several else self._queries.staged)(case, limits)
        return (self._graphs.visit_device if case.on_device else self._graphs.visit)(case, limits)

    def first_answer(self) -> None:
        """What a cold start ends with: one query, re-ranked if there is a gallery, or one text."""
        self._queries.ask(0, rerank=1)
