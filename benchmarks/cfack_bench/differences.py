"""Why a change between two runs may not come from the code: other machines, versions, inputs, or noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cfack_bench.results import Results


def differences(before: Results, after: Results) -> list[str]:
    """Say what else differs between two runs than the code, a line each."""
    names: dict[str, str] = {
        "processor": "processors",
        "threads": "numbers of threads",
        "physical_cores_usable": "numbers of cores",
        "governor": "governors",
    }
    pairs: list[tuple[str, Any, Any]] = [
        (names[name], before.header["machine"][name], after.header["machine"][name]) for name in names
    ]
    pairs += [
        ("GPUs or drivers", before.header["machine"].get("gpu"), after.header["machine"].get("gpu")),
        ("model sizes", before.header["bundle"]["model"], after.header["bundle"]["model"]),
        ("inputs", before.header.get("inputs"), after.header.get("inputs")),
        ("scores", before.score, after.score),
        *_versions(before.header["machine"], after.header["machine"]),
    ]
    found = [f"different {name}: {a} and {b}" for name, a, b in pairs if a != b]
    for title, results in (("first", before), ("second", after)):
        busy = [row for row in results.rows if any(mark.startswith("busy") for mark in row.marks)]
        if busy:
            found.append(
                f"the machine was busy in {len(busy)} of {len(results.rows)} rows of the {title} run"
            )
    rates = {row.key: row.details.get("rate") for row in before.rows}
    if any(row.key in rates and row.details.get("rate") != rates[row.key] for row in after.rows):
        found.append("open loops at different rates; give both runs the same --rate to compare them")
    return found


def _versions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Of Python and of each package that both runs had."""
    old, new = before.get("packages", {}), after.get("packages", {})
    pairs = [(f"versions of {name}", old[name], new[name]) for name in old if name in new]
    return [("versions of Python", before.get("python"), after.get("python")), *pairs]
