"""The quickstart: each stage does what one command of `cfack` does, in the order a project does it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from cfack.config import ExperimentConfig, load_config, with_overrides
from cfack.data.annotations import Split, read_split
from cfack.data.prepare import prepare
from cfack.data.synthesize import synthesize
from cfack.evaluation import evaluate
from cfack.evaluation.bundle import evaluate_bundle, store_calibration
from cfack.modeling import CFACK
from cfack.modeling.checkpoint import load_checkpoint, load_tokenizer
from cfack.quickstart.machine import describe_machine
from cfack.quickstart.onnx_search import search_split, spread
from cfack.quickstart.results import QuickstartResult, Row
from cfack.quickstart.stages import StageCallback, StageClock, no_stages
from cfack.quickstart.torch_search import TorchSearch
from cfack.training.train import train
from cfack_bench.timing import measure
from cfack_export.export import export_bundle
from cfack_runtime.contact_sheet import render_contact_sheet
from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.files import atomic_write
from cfack_runtime.progress import ProgressCallback
from cfack_runtime.retriever import Retriever
from cfack_runtime.scoring import PROBABILITY, Scoring
from cfack_runtime.tokenizer import CaptionTokenizer

_log = logging.getLogger(__name__)

MARKER = ".cfack-quickstart"
"""Lies in a folder that a quickstart made and may therefore replace."""

DUAL, RERANKED = "PyTorch, dual encoder", "PyTorch, re-ranked"
EXPORTED = "ONNX Runtime, re-ranked"

_SHEET_ROWS, _SHEET_HITS = 5, 6
_TIMED_QUERIES = 30


@dataclass(frozen=True)
class Sizes:
    """How much is rendered and trained."""

    identities: tuple[int, int, int] = (1200, 60, 110)
    """Of the training, validation and test split; no identity is in two of them."""
    epochs: int | None = None
    """None: as the preset says."""
    rerank: int = 64
    """Candidates per query."""
    seed: int = 0


def quickstart(out: Path, sizes: Sizes | None = None, report: StageCallback = no_stages) -> QuickstartResult:
    """Render a data set, train the `tiny` preset on it, evaluate, export, index and search.

    Args:
        out: the folder for all of it; one that an earlier quickstart made is replaced.
        sizes: of the data set and the training.
        report: gets the stage at work and the share that is done.

    Raises:
        UsageError: the folder holds something else.
        CfackError: what a stage raises.
    """
    sizes = sizes or Sizes()
    _fresh_folder(out)
    clock = StageClock(report)
    data = _render(out / "data", sizes, clock.start("Rendering pedestrians"))
    test = read_split(data, "test")

    config = _config(sizes)
    checkpoint = _train(config, data, out / "run", clock.start("Training"))

    bundle = out / "person.cfack"
    export_bundle(checkpoint, bundle, progress=clock.start("Exporting to ONNX"))
    scoring = _fit_scores(bundle, data, sizes.rerank, clock.start("Fitting scores"))

    progress = clock.start("Evaluating with PyTorch")
    model, tokenizer = load_checkpoint(checkpoint), load_tokenizer(checkpoint)
    rows = _torch_rows(model, tokenizer, test, sizes.rerank, scoring, progress)

    photos = _copy_photos(test, out / "photos")
    with Retriever.open(bundle) as retriever:
        gallery = retriever.index(photos, out=out / "gallery", progress=clock.start("Indexing the gallery"))
        progress = clock.start("Searching with ONNX Runtime")
        searched = search_split(retriever, gallery, photos, test, sizes.rerank, scoring.name, progress)
        latency = _milliseconds(
            _timed_captions(test),
            lambda caption: retriever.search(gallery, caption, k=10, rerank=sizes.rerank, score=scoring.name),
        )
    rows.append(Row(EXPORTED, searched.metrics(), latency))
    sheet = out / "contact-sheet.png"
    render_contact_sheet(searched.sheet_rows(_SHEET_ROWS, _SHEET_HITS)).save(sheet)
    clock.finish()

    result = QuickstartResult(
        rows=tuple(rows),
        queries=sum(len(record.captions) for record in test.records),
        gallery=len(test.records),
        identities=test.num_identities,
        rerank=sizes.rerank,
        score=scoring.name,
        seconds=clock.seconds,
        total_seconds=clock.total_seconds,
        machine=describe_machine(),
        folder=out,
        bundle=bundle,
        gallery_folder=out / "gallery",
        contact_sheet=sheet,
    )
    atomic_write(out / "results.json", (json.dumps(result.to_dict(), indent=2) + "\n").encode())
    return result


def _fresh_folder(out: Path) -> None:
    """Make an empty folder; only what an earlier quickstart made is removed."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a folder for the quickstart")
    if out.is_dir() and any(out.iterdir()):
        if not (out / MARKER).is_file():
            raise UsageError(
                f"{out} is not empty and was not made by an earlier quickstart; name another folder"
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()


def _render(root: Path, sizes: Sizes, progress: ProgressCallback) -> Path:
    """A rendered data set in the layout of CUHK-PEDES, prepared as a real one would be."""
    synthesize(root, "cuhk", sum(sizes.identities), sizes.seed, splits=sizes.identities, progress=progress)
    prepare("CUHK-PEDES", root)
    return root


def _config(sizes: Sizes) -> ExperimentConfig:
    config = load_config("tiny")
    if sizes.epochs is None:
        return config
    return with_overrides(config, schedule={"epochs": sizes.epochs})


def _train(config: ExperimentConfig, data: Path, out: Path, progress: ProgressCallback) -> Path:
    result = train(config, data, out, device="cpu", progress=progress)
    return result.best_checkpoint or result.last_checkpoint


def _fit_scores(bundle: Path, data: Path, rerank: int, progress: ProgressCallback) -> Scoring:
    """Let the validation split say what the re-ranker's logits and the encoders' cosine are worth."""
    validation = read_split(data, "val")
    with Retriever.open(bundle) as retriever:
        evaluation = evaluate_bundle(retriever, validation, rerank=rerank, progress=progress)
        try:
            fitted = store_calibration(retriever, evaluation, data)
        except DataError as error:  # after too short a training
            _log.warning("ranking by the official logit: %s", error)
            return Scoring()
    return Scoring(PROBABILITY, fitted)


def _torch_rows(
    model: CFACK,
    tokenizer: CaptionTokenizer,
    test: Split,
    rerank: int,
    scoring: Scoring,
    progress: ProgressCallback,
) -> list[Row]:
    """Metrics over all queries, and the latency of single ones, without and with re-ranking."""
    result = evaluate(model, tokenizer, test, rerank=rerank, scoring=scoring, device="cpu", progress=progress)
    assert result.reranked is not None  # rerank is positive
    search = TorchSearch(model, tokenizer, [test.path(index) for index in range(len(test.records))], scoring)
    captions = _timed_captions(test)
    dual = _milliseconds(captions, lambda caption: search.search(caption, 0))
    reranked = _milliseconds(captions, lambda caption: search.search(caption, rerank))
    return [Row(DUAL, result.dual, dual), Row(RERANKED, result.reranked, reranked)]


def _copy_photos(split: Split, folder: Path) -> Path:
    """The test images alone, as a user's folder of photos."""
    for index, record in enumerate(split.records):
        target = folder / record.image
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(split.path(index), target)
    return folder


def _timed_captions(split: Split) -> list[str]:
    captions = [caption for record in split.records for caption in record.captions]
    return [captions[place] for place in spread(len(captions), _TIMED_QUERIES)]


def _milliseconds(captions: list[str], search: Callable[[str], object]) -> float:
    """Median latency of single queries, each with another caption."""
    turn = cycle(captions)
    return measure(lambda: search(next(turn)), warmup=3, repeat=len(captions)).p50
