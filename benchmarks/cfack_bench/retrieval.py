"""Retrieval on a CPU against plain PyTorch: encoding, re-ranking, a whole evaluation, memory.

    python benchmarks/base_graphs.py bench-base
    python -m cfack_bench.retrieval --work bench-base --out results.json

The weights are random at base size: speed does not depend on them. PyTorch's side is the released
evaluation's: captions padded to 40, every pair on its own, FP32, with this project's modules.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from cfack.modeling import CFACK, normalize_pixels
from cfack.modeling.checkpoint import load_checkpoint, load_tokenizer
from cfack_bench.retrieval_memory import searching_memory
from cfack_runtime.backends import Backend, open_backend
from cfack_runtime.encoders import EncodedTexts
from cfack_runtime.errors import UsageError
from cfack_runtime.graph_contract import IMAGE_ENCODER, ONE_IMAGE, ONE_TEXT, RERANKER, TEXT_ENCODER
from cfack_runtime.rerank import Reranker
from cfack_runtime.rerank_candidates import match_candidates
from cfack_runtime.rerank_plan import PairCost

PRECISIONS = ("fp32", "int8-cpu")
_PADDED, _LENGTH = 40, 24
_CANDIDATES, _QUERIES, _GALLERY = 128, 64, 200
_TARGETS = {
    "encode one caption": {"fp32": 2.0, "int8-cpu": 5.0},
    "encode 8 images": {"fp32": 1.0, "int8-cpu": 2.4},
    "one query, re-rank 128": {"fp32": 2.5, "int8-cpu": 6.0},
    "evaluate on 200 images": {"fp32": 4.0, "int8-cpu": 10.0},
}


@dataclass
class Case:
    """One kind of work: PyTorch's way and ours, timed in turns."""

    name: str
    calls: dict[str, Callable[[], Any]]
    rounds: int
    per: float = 1.0
    """What one call's time is divided by."""
    note: str = ""
    warm_up: bool = True

    def run(self) -> dict[str, Any]:
        """Time every call `rounds` times, interleaved, after one warm-up each if asked for."""
        samples: dict[str, list[float]] = {name: [] for name in self.calls}
        for turn in range(0 if self.warm_up else 1, self.rounds + 1):
            for name, call in self.calls.items():
                began = time.perf_counter_ns()
                call()
                if turn:
                    samples[name].append((time.perf_counter_ns() - began) / 1e6 / self.per)
        return {"name": self.name, "note": self.note, "ms": samples}


class Subject:
    """The model in PyTorch, the same in graphs, and inputs drawn once."""

    def __init__(self, work: Path, threads: int) -> None:
        self.model: CFACK = load_checkpoint(work / "checkpoint").eval()
        self.threads = threads
        self.backends: dict[str, dict[str, Backend]] = {
            precision: {
                name: open_backend(work / precision / f"{name}.onnx", threads=threads)
                for name in (IMAGE_ENCODER, TEXT_ENCODER, RERANKER, ONE_TEXT, ONE_IMAGE)
            }
            for precision in PRECISIONS
        }
        rng = np.random.default_rng(0)
        config, vocabulary = self.model.config, load_tokenizer(work / "checkpoint").vocab_size
        self.ids = rng.integers(5, vocabulary, (1, _LENGTH))
        self.pixels = rng.integers(
            0, 256, (8, config.vision.image_height, config.vision.image_width, 3), np.uint8
        )
        rows, columns = config.vision.grid
        shape = (_GALLERY, 1 + rows * columns, config.vision.width)
        self.images = rng.standard_normal(shape, np.float32).astype(np.float16)
        lengths = rng.integers(16, 33, _QUERIES)
        lengths[0] = _LENGTH
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        tokens = rng.standard_normal((*mask.shape, config.text.width), np.float32)
        tokens *= mask[..., None].astype(np.float32)
        self.texts = EncodedTexts(np.zeros((_QUERIES, config.embed_dim), np.float32), tokens, mask)
        self.candidates = [rng.permutation(_GALLERY)[:_CANDIDATES].astype(np.int64) for _ in range(_QUERIES)]

    def rerank(self, precision: str, queries: int) -> list[np.ndarray]:
        """Match the first queries with their candidates, by the runtime's way."""
        graphs = self.backends[precision]
        embedding, tokens, mask = self.texts
        length = _LENGTH if queries == 1 else mask.shape[1]
        texts = EncodedTexts(embedding[:queries], tokens[:queries, :length], mask[:queries, :length])
        cost = PairCost(self.images.shape[1], tokens.shape[2], self.images.shape[2], folded=True)
        return match_candidates(
            Reranker(graphs[RERANKER], graphs[ONE_TEXT], graphs[ONE_IMAGE]),
            texts,
            self.candidates[:queries],
            self.images.__getitem__,
            cost,
        )

    @torch.no_grad()
    def rerank_torch(self, query: int = 0) -> torch.Tensor:
        """Match one query with its candidates as the released evaluation does: 128 padded pairs at once."""
        pad = _PADDED - self.texts.mask.shape[1]
        tokens = torch.from_numpy(np.pad(self.texts.tokens[query : query + 1], ((0, 0), (0, pad), (0, 0))))
        mask = torch.from_numpy(np.pad(self.texts.mask[query : query + 1], ((0, 0), (0, pad))))
        images = torch.from_numpy(self.images[self.candidates[query]].astype(np.float32))
        return self.model.match(tokens.repeat(_CANDIDATES, 1, 1), mask.repeat(_CANDIDATES, 1), images)

    @torch.no_grad()
    def text_torch(self) -> Any:
        """Encode the caption, padded."""
        ids = torch.zeros(1, _PADDED, dtype=torch.int64)
        ids[:, :_LENGTH] = torch.from_numpy(self.ids)
        return self.model.encode_text(ids, (torch.arange(_PADDED) < _LENGTH).long()[None])

    @torch.no_grad()
    def images_torch(self) -> Any:
        """Encode the images."""
        return self.model.encode_image(normalize_pixels(torch.from_numpy(self.pixels)))

    def cases(self, compiled: bool, queries: int) -> list[Case]:
        """All kinds of work."""
        mask = np.ones((1, _LENGTH), np.int64)
        ours = list(PRECISIONS)
        run = {name: self.backends[name] for name in ours}
        images: dict[str, Callable[[], Any]] = {"torch": self.images_torch}
        if compiled:
            fast = torch.compile(self.images_torch)
            images["torch compiled"] = fast
        feed = {"input_ids": self.ids, "attention_mask": mask}
        return [
            Case(
                "encode one caption",
                {
                    "torch": self.text_torch,
                    **{p: lambda p=p: run[p][TEXT_ENCODER].run(feed) for p in ours},  # type: ignore[misc]
                },
                11,
                note=f"{_LENGTH} tokens; PyTorch pads to {_PADDED}",
            ),
            Case(
                "encode 8 images",
                {
                    **images,
                    **{p: lambda p=p: run[p][IMAGE_ENCODER].run({"pixels": self.pixels}) for p in ours},  # type: ignore[misc]
                },
                1,
                per=8,
                note="per image" + ("" if compiled else "; PyTorch eager only"),
            ),
            Case(
                "one query, re-rank 128",
                {"torch": self.rerank_torch, **{p: lambda p=p: self.rerank(p, 1) for p in ours}},  # type: ignore[misc]
                2,
                note=f"{_LENGTH} tokens; PyTorch pads to {_PADDED} and takes all pairs at once",
            ),
            Case(
                "evaluate on 200 images",
                {
                    "torch": lambda: [self.rerank_torch(q) for q in range(1)],
                    **{p: lambda p=p: self.rerank(p, queries) for p in ours},  # type: ignore[misc]
                },
                1,
                warm_up=False,  # the case before has run everything
                note=f"{queries} x 128 pairs; PyTorch: one query of 128 measured, times {queries}",
            ),
        ]

    def same_ranking(self) -> dict[str, Any]:
        """Our FP32 against PyTorch, for the first query by both of our ways."""
        wanted = self.rerank_torch().numpy()
        answers: dict[str, Any] = {}
        for way, queries in (("by query", 1), ("by image", 6)):
            got = self.rerank("fp32", queries)[0]
            top = [np.argsort(-logits[:, 1], kind="stable")[:10] for logits in (wanted, got)]
            answers[way] = {
                "max_logit_difference": float(np.abs(got - wanted).max()),
                "top_10_identical": bool((top[0] == top[1]).all()),
            }
        return answers


def multiply_rate(threads: int) -> float:
    """GFLOP/s of a 2048 x 2048 FP32 product in PyTorch, the best of eight."""
    torch.set_num_threads(threads)
    a = torch.randn(2048, 2048)
    best = float("inf")
    for _ in range(8):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return 2 * 2048**3 / best / 1e9


def minimum_operations(queries: int) -> dict[str, float]:
    """Multiply-adds, times two, of the rewritten work at base size: the least that these graphs can do."""
    t, s, c, h, layers = _LENGTH, 577, 768, 12, 6
    text = 12 * t * (12 * c * c + 2 * t * c)
    shared = (
        4 * t * c * c + 2 * t * c * c + 8 * t * c * c + 2 * t * t * c
    )  # self, query, output, feed-forward
    folded = shared + 4 * h * t * s * c // 2 + 2 * t * c * c
    attended = shared + 2 * t * s * c
    sharing = queries * _CANDIDATES / _GALLERY
    image = 12 * (12 * s * c * c + 2 * s * s * c) + 576 * c * c
    return {
        "encode one caption": 2.0 * text,
        "encode 8 images": 2.0 * image,
        "one query, re-rank 128": 2.0 * _CANDIDATES * (layers - 1) * folded,
        "evaluate on 200 images": 2.0
        * queries
        * _CANDIDATES
        * ((layers - 1) * attended + 2 * layers * s * c * c / sharing),
    }


def table(document: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        "| work | PyTorch | "
        + " | ".join(f"{p} | ratio (target)" for p in PRECISIONS)
        + " | FP32: of the rate |"
    ]
    lines.append("|---" * (3 + 2 * len(PRECISIONS)) + "|")
    for case in document["cases"]:
        ms = case["p50_ms"]
        base = min(value for name, value in ms.items() if name.startswith("torch"))
        cells = [f"{ms[p]:.1f} ms | {base / ms[p]:.2f}x ({_TARGETS[case['name']][p]}x)" for p in PRECISIONS]
        share = case["minimum_gflop"] / ms["fp32"] * 1e3 / document["multiply_gflops"]
        lines.append(f"| {case['name']} | {base:.1f} ms | " + " | ".join(cells) + f" | {share:.0%} |")
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Checkpoint and graphs.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="results.json; a .md beside it.")
@click.option("--threads", default=os.cpu_count(), show_default=True, help="Of both sides.")
@click.option("--queries", default=_QUERIES, show_default=True, help="Of the evaluation; 64 at most.")
@click.option("--compile", "compiled", is_flag=True, help="Time torch.compile of the image encoder too.")
@click.option("--only", multiple=True, help="Name of a case; may be repeated.")
@click.option("--memory/--no-memory", default=True, help="Search a gallery of 20,000 images with tokens.")
def main(
    queries: int, work: Path, out: Path, threads: int, compiled: bool, only: tuple[str, ...], memory: bool
) -> None:
    """Time retrieval at base size against plain PyTorch and write results."""
    for name in ("checkpoint", *PRECISIONS):
        if not (work / name).is_dir():
            raise UsageError(
                f"{work}: holds no {name}; `python benchmarks/base_graphs.py {work}` writes checkpoint "
                "and graphs"
            )
    torch.set_num_threads(threads)
    subject = Subject(work, threads)
    minimum = minimum_operations(queries)
    document: dict[str, Any] = {
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()},
        "threads": threads,
        "torch": torch.__version__,
        "multiply_gflops": multiply_rate(threads),
        "load_before": os.getloadavg()[0],
        "same_ranking": subject.same_ranking(),
        "cases": [],
    }
    for case in subject.cases(compiled, queries):
        if only and case.name not in only:
            continue
        result = case.run()
        scale = {"torch": queries} if case.name.startswith("evaluate") else {}
        result["p50_ms"] = {
            name: float(np.median(ms)) * scale.get(name, 1) for name, ms in result["ms"].items()
        }
        result["minimum_gflop"] = minimum[case.name] / 1e9
        document["cases"].append(result)
        click.echo(f"{case.name}: {result['p50_ms']}", err=True)
        out.write_text(json.dumps(document, indent=1))  # what is done is kept if the rest is interrupted
    document["load_after"] = os.getloadavg()[0]
    if memory:
        document["memory"] = searching_memory(work, threads)
    out.write_text(json.dumps(document, indent=1))
    out.with_suffix(".md").write_text(table(document))
    click.echo(table(document))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
