"""Sentences about the conditions of a run."""

from __future__ import annotations

from cfack_bench.results import Results
from cfack_bench.schedule import BUDGET, INTERRUPTED


def conditions(results: Results) -> list[str]:
    """Machine, model, inputs and how it was measured, a line each."""
    header = results.header
    machine, model, inputs = header["machine"], header["bundle"]["model"], header.get("inputs")
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    lines = [
        f"Machine: {machine['processor']}, {machine['threads']} threads of "
        f"{machine['physical_cores_usable']} cores"
        f"{', virtual' if machine['virtual'] else ''}; governor: {machine['governor']}",
        f"Software: Python {machine['python']}, {packages}; commit {machine['commit'][:12] or 'unknown'}"
        f"{'+changes' if machine['commit'].endswith('+changes') else ''}",
        f"Model: {model['image_height']} x {model['image_width']} pixels, {model['image_token_count']} "
        f"tokens of {model['image_token_width']}; checkpoint {header['bundle']['checkpoint_sha256'][:12]}",
    ]
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
    if results.rounds:
        loads = [entry["load1"] for entry in results.rounds]
        lines.append(
            f"Rounds: {len(results.rounds)}, candidates in turns; load {min(loads)} to {max(loads)}; "
            f"{header['seconds']:.0f} s in all; {header['created']}"
        )
    return [*lines, f"Command: {header['command']}"]


def sentence_of_stop(results: Results) -> str:
    """Why the run ended early; "" if it did not."""
    stopped = results.header["stopped"]
    if stopped == BUDGET:
        return "The budget ran out: rows have fewer samples than the suite asks for, or are missing."
    return "Interrupted: what was done until then is shown." if stopped == INTERRUPTED else ""
