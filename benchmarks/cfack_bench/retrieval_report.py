"""The table of the retrieval benchmark, as Markdown of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import Any

from cfack_bench.retrieval_subject import PRECISIONS

_COLUMNS = 80
_SHORT = {"fp32": "FP32", "int8-cpu": "INT8"}


def report(document: dict[str, Any]) -> str:
    """Write the whole of `results.json` for people; rows that miss their target are marked."""
    machine = document["machine"]
    paragraphs = [
        fill(
            f"{machine['processor']}, {document['threads']} threads; PyTorch {document['torch']}; load "
            f"average {document['load'][0]:.1f} before and {document['load'][-1]:.1f} after. Medians; in "
            "brackets the target, ! where it is missed.",
            _COLUMNS,
        ),
        _speed(document["cases"]),
        *([_rest(document)] if _rest(document) else []),
        fill(
            "Least operations of the kinds of work, and the share of this CPU's rate of FP32 matrix "
            f"products, {document['multiply_gflops']:.0f} GFLOP/s, that this makes. Products in 8 bits may "
            "exceed it.",
            _COLUMNS,
        ),
        _operations(document["cases"], document["multiply_gflops"]),
        "Against PyTorch, one query. What INT8 may differ is for its parity gate to say.",
        _rankings(document["same_ranking"]),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _speed(cases: Iterable[dict[str, Any]]) -> str:
    rows = []
    for case in cases:
        cells = [case["name"], _time(case["torch_ms"])]
        for precision in PRECISIONS:
            ratio, target = case["ratio"][precision], case["target"][precision]
            cells += [_time(case["p50_ms"][precision]), f"{ratio:.2f}x ({target:g}x){_mark(ratio >= target)}"]
        rows.append(cells)
    return _table(["work", "PyTorch", "FP32", "times faster", "INT8", "times faster"], rows)


def _rest(document: dict[str, Any]) -> str:
    rows = []
    if "memory" in document:
        memory = document["memory"]
        gigabytes, target = memory["growth_mb"] / 1e3, memory["target_mb"] / 1e3
        rows.append(
            [
                f"memory, {memory['images']:,} images with tokens ({memory['note']})",
                f"{gigabytes:.2f} GB ({target:g} GB){_mark(gigabytes < target)}",
            ]
        )
    if "top_k" in document:
        top_k = document["top_k"]
        rows.append(
            [
                f"one query over {top_k['images']:,} embeddings, in passes over memory",
                f"{top_k['ratio']:.2f} ({top_k['target']:g}){_mark(top_k['ratio'] <= top_k['target'])}",
            ]
        )
    return _table(["work", "measured"], rows) if rows else ""


def _operations(cases: Iterable[dict[str, Any]], rate: float) -> str:
    rows = [
        [
            case["name"],
            f"{case['least_gflop']:.3g} GFLOP",
            *(f"{case['least_gflop'] / case['p50_ms'][p] * 1e3 / rate:.0%}" for p in PRECISIONS),
        ]
        for case in cases
    ]
    return _table(["work", "least", *(_SHORT[p] for p in PRECISIONS)], rows)


def _rankings(answers: dict[str, dict[str, Any]]) -> str:
    rows = [
        [way, f"{got['max_logit_difference']:.1e}", "yes" if got["top_10_identical"] else "no"]
        for way, got in answers.items()
    ]
    return _table(["way", "largest logit difference", "same first ten"], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms" if milliseconds < 1e3 else f"{milliseconds / 1e3:.4g} s"


def _mark(met: bool) -> str:
    return "" if met else " !"
