"""Retrieval on a CPU against plain PyTorch: encoding, re-ranking, an evaluation, memory, a million images.

    python benchmarks/base_graphs.py bench-base
    python -m cfack_bench.retrieval --work bench-base --out results.json

Everything is measured in one run, which takes about a quarter of an hour at base size on two cores. The
weights are random: speed does not depend on them. Results are written after every kind of work.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import torch

from cfack_bench.retrieval_cases import retrieval_cases
from cfack_bench.retrieval_operations import multiply_rate
from cfack_bench.retrieval_report import report
from cfack_bench.retrieval_subject import PRECISIONS, Subject
from cfack_runtime.errors import UsageError

_MEMORY_TARGET_MB, _TOP_K_TARGET = 1500.0, 1.3


@click.command()
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Checkpoint and graphs.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="results.json; a .md beside it.")
@click.option("--threads", default=os.cpu_count(), show_default=True, help="Of both sides.")
@click.option("--rounds", default=5, show_default=True, help="Timed calls of each side; fewer are faster.")
@click.option("--queries", default=64, show_default=True, help="Of the evaluation.")
@click.option("--candidates", default=128, show_default=True, help="Of each query.")
@click.option("--gallery", default=200, show_default=True, help="Images of the evaluation.")
@click.option(
    "--compile/--no-compile", "compiled", default=True, help="Time torch.compile of the images too."
)
@click.option("--only", multiple=True, help="Start of a kind of work; may be repeated.")
@click.option(
    "--memory",
    type=click.Choice(["real", "sparse", "none"]),
    default="real",
    show_default=True,
    help="Tokens of the 20,000 images: a real file of 17.7 GB, one that was never written to, or no search.",
)
@click.option("--top-k", default=1_000_000, show_default=True, help="Embeddings searched; 0: none.")
def main(
    work: Path,
    out: Path,
    threads: int,
    rounds: int,
    queries: int,
    candidates: int,
    gallery: int,
    compiled: bool,
    only: tuple[str, ...],
    memory: str,
    top_k: int,
) -> None:
    """Time retrieval against plain PyTorch and write results."""
    for name in ("checkpoint", *PRECISIONS):
        if not (work / name).is_dir():
            raise UsageError(
                f"{work}: holds no {name}; `python benchmarks/base_graphs.py {work}` writes checkpoint "
                "and graphs"
            )
    torch.set_num_threads(threads)
    document: dict[str, Any] = {
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()},
        "threads": threads,
        "torch": torch.__version__,
        "load": [os.getloadavg()[0]],
    }
    # First and in processes of their own: nothing of PyTorch is in memory, and none of its threads runs.
    if memory != "none":
        document["memory"] = {
            "target_mb": _MEMORY_TARGET_MB,
            **_measured("retrieval_memory", f"--work={work}", f"--threads={threads}", f"--tokens={memory}"),
        }
    if top_k:
        document["top_k"] = {
            "target": _TOP_K_TARGET,
            **_measured("retrieval_topk", f"--images={top_k}", f"--folder={work}"),
        }
    document["multiply_gflops"] = multiply_rate()
    subject = Subject(work, threads, queries=queries, candidates=candidates, gallery=gallery)
    document["same_ranking"] = subject.same_ranking()
    document["cases"] = []
    for case in retrieval_cases(subject, rounds=rounds, compiled=compiled):
        if only and not case.name.startswith(only):
            continue
        result = case.run()
        document["cases"].append(result)
        click.echo(
            f"{case.name}: " + ", ".join(f"{k} {v:.1f} ms" for k, v in result["p50_ms"].items()), err=True
        )
        _write(document, out)
    document["load"].append(os.getloadavg()[0])
    _write(document, out)
    click.echo(report(document))


def _write(document: dict[str, Any], out: Path) -> None:
    out.write_text(json.dumps(document, indent=1))
    out.with_suffix(".md").write_text(report(document))


def _measured(module: str, *arguments: str) -> dict[str, Any]:
    """Run another benchmark of this package and read what it prints."""
    command = [sys.executable, "-m", f"cfack_bench.{module}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
