from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cfack_bench.compare import FASTER, SAME, SLOWER, UNCLEAR, compare
from cfack_bench.lineup import Wanted
from cfack_bench.options import BenchOptions
from cfack_bench.results import Results
from cfack_bench.run import run_bench
from cfack_bench.suite_file import suite_from
from cfack_runtime.errors import UsageError

Rounds = list[list[float]]
ROW = ("onnxruntime/fp32", "search")


def slower(rounds: Rounds, factor: float) -> Rounds:
    return [[sample * factor for sample in one] for one in rounds]


@pytest.mark.parametrize(("factor", "verdict"), [(1.2, SLOWER), (0.8, FASTER), (1.0, SAME)])
def test_a_planted_change_is_found_and_none_is_not(
    made_up: Callable[..., Results], noisy: Callable[..., Rounds], factor: float, verdict: str
) -> None:
    before, after = made_up({ROW: noisy(10.0, 1)}), made_up({ROW: slower(noisy(10.0, 2), factor)})

    (change,) = compare(before, after).changes

    assert change.verdict == verdict
    assert change.ratio == pytest.approx(factor, rel=0.03)
    assert change.low <= change.ratio <= change.high


def test_noise_alone_is_seldom_called_a_change(
    made_up: Callable[..., Results], noisy: Callable[..., Rounds]
) -> None:
    rows = [("onnxruntime/fp32", f"case-{index}") for index in range(200)]
    before = made_up({row: noisy(10.0, index) for index, row in enumerate(rows)})
    after = made_up({row: noisy(10.0, 1000 + index) for index, row in enumerate(rows)})

    comparison = compare(before, after)

    assert len(comparison.regressions(0.05)) == 0
    assert sum(change.verdict in (SLOWER, FASTER) for change in comparison.changes) <= 10


def test_a_change_below_a_runs_own_disagreement_is_not_believed(made_up: Callable[..., Results]) -> None:
    drifting = [[10.0] * 9, [10.1] * 9, [13.0] * 9, [13.1] * 9]
    before, after = made_up({ROW: drifting}), made_up({ROW: slower(drifting, 1.15)})

    (change,) = compare(before, after).changes

    assert change.floor > 0.2
    assert change.verdict == UNCLEAR


def test_a_slow_tail_is_found_by_its_own_statistic(
    made_up: Callable[..., Results], noisy: Callable[..., Rounds]
) -> None:
    quiet = noisy(10.0, 3, rounds=8, samples=40)
    tail = [[sample * (2 if place % 8 == 0 else 1) for place, sample in enumerate(one)] for one in quiet]

    def verdict(statistic: str) -> str:
        return compare(made_up({ROW: quiet}), made_up({ROW: tail}), statistic=statistic).changes[0].verdict

    assert (verdict("p50"), verdict("p95")) == (SAME, SLOWER)


def test_a_candidate_whose_gate_failed_since_is_a_regression(
    made_up: Callable[..., Results],
    noisy: Callable[..., Rounds],
    without_samples: Callable[[Results, str], Results],
) -> None:
    other = ("onnxruntime/int8-cpu", "search")
    before = made_up({ROW: noisy(10.0, 1), other: noisy(5.0, 2)})

    comparison = compare(before, without_samples(before, "onnxruntime/int8-cpu"))

    assert comparison.lost == ("onnxruntime/int8-cpu",)
    assert comparison.regressions(0.05) == ["onnxruntime/int8-cpu: its parity gate did not pass"]


def test_another_machine_is_said(made_up: Callable[..., Results], noisy: Callable[..., Rounds]) -> None:
    before = made_up({ROW: noisy(10.0, 1)})
    machine = {**before.header["machine"], "processor": "Q"}

    assert (
        "different processors: P and Q"
        in compare(before, made_up({ROW: noisy(9.0, 1)}, machine=machine)).warnings
    )


def test_another_score_is_said(made_up: Callable[..., Results], noisy: Callable[..., Rounds]) -> None:
    before, after = made_up({ROW: noisy(10.0, 1)}), made_up({ROW: noisy(10.0, 2)}, score="probability")

    assert compare(before, after).warnings == ("different scores: logit and probability",)


def test_other_versions_are_said(made_up: Callable[..., Results], noisy: Callable[..., Rounds]) -> None:
    def run(version: str, seed: int) -> Results:
        results = made_up({ROW: noisy(10.0, seed)})
        results.header["machine"]["packages"] = {"onnxruntime": version, "numpy": "2.4.6"}
        return results

    assert compare(run("1.31", 1), run("1.32", 2)).warnings == (
        "different versions of onnxruntime: 1.31 and 1.32",
    )


def test_runs_without_a_common_row_are_refused(made_up: Callable[..., Results]) -> None:
    with pytest.raises(UsageError, match="no row in common"):
        compare(made_up({ROW: [[1.0]]}), made_up({("onnxruntime/fp32", "query"): [[1.0]]}))


def test_a_backend_that_is_really_slower_by_a_fifth_is_found(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slowed run goes through worker processes as any other; its backend waits longer."""
    suite = suite_from(
        {
            "rounds": 6,
            "visit_seconds": 2.0,
            "visit_samples": 10,
            "warmup": 1,
            "image_encoding": {"batch": [1]},
        }
    )

    def measured(milliseconds: float) -> Results:
        folder = tmp_path / f"slow-{milliseconds}"
        folder.mkdir()
        # Every worker imports this module when it starts.
        (folder / "sitecustomize.py").write_text(
            "import time\n"
            "from cfack_runtime.backends import onnxruntime as backend\n"
            "run = backend.OnnxRuntimeBackend.run\n"
            "def slowed(self, feed):\n"
            f"    time.sleep({milliseconds} / 1e3)\n"
            "    return run(self, feed)\n"
            "backend.OnnxRuntimeBackend.run = slowed\n"
        )
        import os

        paths = [str(folder), os.environ.get("PYTHONPATH", "")]
        with monkeypatch.context() as patch:
            patch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
            wanted = Wanted(backends=("onnxruntime",), threads=1)
            return run_bench(BenchOptions(toy_bundle, suite, "slow", wanted))

    (change,) = compare(measured(20.0), measured(24.0)).changes

    assert change.verdict == SLOWER
    assert change.ratio == pytest.approx(1.2, abs=0.08)
    assert not math.isinf(change.floor)


def test_the_command_exits_with_1_on_a_regression_only(
    made_up: Callable[..., Results], noisy: Callable[..., Rounds], tmp_path: Path, command: Any
) -> None:
    before, after = made_up({ROW: noisy(10.0, 1)}), made_up({ROW: slower(noisy(10.0, 2), 1.2)})
    before.save(tmp_path / "a.json")
    after.save(tmp_path / "b.json")

    failing = command("compare", tmp_path / "a.json", tmp_path / "b.json", "--fail-over", "5%")
    passing = command("compare", tmp_path / "a.json", tmp_path / "b.json", "--fail-over", "0.3")

    assert failing.exit_code == 1
    assert "1 regression:" in str(failing.exception)
    assert "slower" in failing.output
    assert max(map(len, failing.output.splitlines())) <= 80
    assert "…" not in failing.output
    assert passing.exit_code == 0
