"""Sentences about the conditions of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cfack_bench.report.names import describe, label
from cfack_bench.results import Results, is_enough
from cfack_bench.schedule import BUDGET, INTERRUPTED
from cfack_runtime.graph_contract import GRAPHS
from cfack_runtime.scoring import LOGIT


def conditions(results: Results) -> list[str]:
    """Machine, model, inputs and how it was measured, a line each."""
    header = results.header
    machine, model, inputs = header["machine"], header["bundle"]["model"], header.get("inputs")
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    gpu = machine.get("gpu")
    lines = [
        f"Machine: {machine['processor']}, {machine['threads']} threads of "
        f"{machine['physical_cores_usable']} cores"
        f"{', virtual' if machine['virtual'] else ''}; governor: {machine['governor']}",
        f"Software: Python {machine['python']}, {packages}; commit {machine['commit'][:12] or 'unknown'}"
        f"{'+changes' if machine['commit'].endswith('+changes') else ''}",
        f"Model: {model['image_height']} x {model['image_width']} pixels, {model['image_token_count']} "
        f"tokens of {model['image_token_width']}; checkpoint {header['bundle']['checkpoint_sha256'][:12]}",
    ]
    if gpu:
        lines.insert(
            1,
            f"GPU: {gpu['name']}, compute capability {gpu['compute_capability']}, driver {gpu['driver']}, "
            f"{gpu['memory_mib']} MiB, at most {gpu['highest_sm_mhz']} MHz and {gpu['power_limit_w']} W",
        )
    if inputs:
        low, mean, high = inputs["caption_tokens"]
        lines.append(
            f"Inputs: {inputs['images']}; {inputs['captions']} ({low} to {high} tokens, {mean} on average); "
            f"gallery of {inputs['gallery_images']} images, {inputs['gallery']}"
        )
    if header.get("limits"):
        limits = header["limits"]
        reads = ", ".join(
            f"{read['gbs']:.0f} GB/s from {read['byte_count'] >> 20} MiB" for read in limits["reads"]
        )
        lines.append(f"Limits: {limits['matmul_gflops']:.0f} GFLOP/s in float32; reads {reads}")
    if accuracy := sentence_of_accuracy(results):
        lines.append(accuracy)
    if results.rounds:
        loads = [entry["load1"] for entry in results.rounds]
        lines.append(
            f"Rounds: {len(results.rounds)}, candidates in turns; load {min(loads)} to {max(loads)}; "
            f"{header['seconds']:.0f} s in all; {header['created']}"
        )
    return [*lines, f"Command: {header['command']}"]


def candidates(results: Results) -> list[str]:
    """What each candidate is and how it did in the parity gate of its bundle, a line each."""
    lines = []
    for account in results.candidates:
        parts = [f"{label(account)}: {describe(account)}", account["note"], _parity(account["parity"])]
        lines.append("; ".join(part for part in parts if part))
    return lines


def doubts(results: Results) -> list[str]:
    """Why rows are marked, a line each."""
    return [
        f"{label(results.candidate(row.candidate))}, {row.case.key}: {'; '.join(row.marks)}"
        for row in results.rows
        if row.marks
    ]


def _parity(summary: Mapping[str, Any] | None) -> str:
    """The summary that the manifest holds of a precision, in words; "" for what has none."""
    if summary is None:
        return ""
    parts = ["parity gate passed" if summary["passed"] is True else "parity gate not passed"]
    errors = {name: summary.get(f"{name}_error") for name in GRAPHS}
    known = [f"{name} {value:.0e}" for name, value in errors.items() if value is not None]
    if known:
        parts.append(f"largest differences from PyTorch: {', '.join(known)}")
    for stage, words in (("dual", "dual encoder"), ("reranked", "re-ranked")):
        if f"{stage}_r1" in summary:
            change = summary.get(f"{stage}_r1_change")
            parts.append(
                f"R@1 {summary[f'{stage}_r1']:.1f}"
                + (f" ({change:+.2f})" if change is not None else "")
                + f" {words}"
            )
    return ", ".join(parts)


def uncertainty(results: Results) -> float:
    """Points by which an R@1 of this run may be off, at 95 %; 0 if none was measured."""
    counts = [entry["questions"] for entry in results.accuracy if is_enough(entry)]
    return 98 / math.sqrt(min(counts)) if counts else 0.0  # 1.96 sqrt(p (1 - p) / n) at p = 1/2


def sentence_of_accuracy(results: Results) -> str:
    """How much an R@1 of this run can be trusted; "" if it shows none."""
    shown = [entry for entry in results.accuracy if is_enough(entry)]
    if not shown:
        return ""
    counts = sorted({entry["questions"] for entry in shown})
    images = max(entry["images"] for entry in shown)
    asked = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    sentence = (
        f"R@1: {asked} captions asked about {images} images, so each is known to "
        f"{uncertainty(results):.0f} points; candidates answer the same captions."
    )
    return sentence if results.score == LOGIT else f"{sentence} Re-ranked by {results.score}."


def sentence_of_stop(results: Results) -> str:
    """Why the run ended early; "" if it did not."""
    stopped = results.header["stopped"]
    if stopped == BUDGET:
        return "The budget ran out: rows have fewer samples than the suite asks for, or are missing."
    return "Interrupted: what was done until then is shown." if stopped == INTERRUPTED else ""
