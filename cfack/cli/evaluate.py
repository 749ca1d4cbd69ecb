"""`cfack evaluate`: retrieval metrics of a checkpoint on a split."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfack.cli.progress import progress_bar
from cfack.cli.runtime_options import SCORE
from cfack_runtime.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from cfack.evaluation import EvaluationResult
    from cfack_runtime.metrics import RetrievalMetrics

_WIDTH = 80


@click.command("evaluate")
@click.argument("checkpoint", type=click.Path(path_type=Path), required=False)
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="Measure this exported bundle in place of CHECKPOINT."
)
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder that `cfack data prepare` wrote.",
)
@click.option(
    "--split", type=click.Choice(["train", "val", "test"]), default="test", show_default=True, help="Split."
)
@click.option(
    "--rerank",
    type=click.IntRange(min=0),
    default=128,
    show_default=True,
    metavar="K",
    help="Candidates per query that the cross-encoder puts in order; 0 leaves it out.",
)
@click.option(
    "--official",
    is_flag=True,
    help="Images that are not re-ranked score -100, as in the released evaluation.",
)
@click.option(
    "--score",
    type=SCORE,
    default="logit",
    show_default=True,
    help="What candidates are put in order by: the official logit 1, logit 1 - logit 0, or the probability "
    "that --fit-scores stored in the bundle.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Images, captions or pairs per step.",
)
@click.option("--precision", default="auto", show_default=True, help="Of the bundle; or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads, for a bundle.")
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder for temporary image tokens of a bundle, 0.9 MB an image at base size.",
)
@click.option(
    "--fit-scores",
    is_flag=True,
    help="Fit match probabilities to the split's candidates and store them in the bundle.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def command(
    checkpoint: Path | None,
    bundle: Path | None,
    data: Path,
    split: str,
    rerank: int,
    official: bool,
    score: str,
    device: str,
    batch_size: int,
    precision: str,
    threads: int | None,
    work: Path | None,
    fit_scores: bool,
    as_json: bool,
) -> None:
    """Measure CHECKPOINT, a folder, or an exported bundle on a split of a prepared data set.

    Every caption of the split is a query, every image of it is in the gallery, and an image is right if it
    shows the identity that the caption was written for.
    """
    if official and not rerank:
        raise UsageError("--official is about the images that are not re-ranked; give --rerank a K above 0")
    if (checkpoint is None) == (bundle is None):
        raise UsageError("give either CHECKPOINT or --bundle")
    if fit_scores and (bundle is None or not rerank):
        raise UsageError("--fit-scores needs --bundle and a --rerank above 0: it fits match scores")
    if checkpoint is None and bundle is not None:
        _evaluate_bundle(
            bundle,
            data,
            split,
            rerank=rerank,
            official=official,
            score=score,
            device="cpu" if device == "auto" else device,
            precision=precision,
            threads=threads,
            work=work,
            fit_scores=fit_scores,
            as_json=as_json,
        )
        return
    assert checkpoint is not None
    from cfack.data.annotations import read_split
    from cfack.evaluation import evaluate
    from cfack.modeling.checkpoint import load_checkpoint, load_tokenizer
    from cfack.training.precision import choose_device
    from cfack_runtime.scoring import Scoring

    scoring = Scoring(score)
    chosen = choose_device(device)
    records = read_split(data, split)
    tokenizer = load_tokenizer(checkpoint)
    model = load_checkpoint(checkpoint)
    with progress_bar("Evaluating") as progress:
        result = evaluate(
            model,
            tokenizer,
            records,
            rerank=rerank,
            official=official,
            scoring=scoring,
            device=chosen,
            batch_size=batch_size,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    else:
        _show(result)


def _evaluate_bundle(
    bundle: Path,
    data: Path,
    split: str,
    *,
    rerank: int,
    official: bool,
    score: str,
    device: str,
    precision: str,
    threads: int | None,
    work: Path | None,
    fit_scores: bool,
    as_json: bool,
) -> None:
    from cfack.data.annotations import read_split
    from cfack.evaluation.bundle import evaluate_bundle, store_calibration
    from cfack_runtime.retriever import Retriever

    records = read_split(data, split)
    fitted = None
    with (
        Retriever.open(bundle, precision=precision, device=device, threads=threads, warm_up=False) as opened,
        progress_bar("Evaluating") as progress,
    ):
        evaluation = evaluate_bundle(
            opened, records, rerank=rerank, official=official, score=score, work=work, progress=progress
        )
        if fit_scores:
            fitted = store_calibration(opened, evaluation, data)
    if as_json:
        account = {**evaluation.result.to_dict(), "precision": opened.precision}
        click.echo(
            json.dumps({**account, "score_calibration": asdict(fitted)} if fitted else account, indent=2)
        )
        return
    _show(evaluation.result)
    if fitted:
        click.echo(
            f"{bundle}: match probability = sigmoid({fitted.slope:.4g} x log-odds {fitted.cosine:+.4g} x "
            f"cosine {fitted.offset:+.4g}), fitted to {fitted.pairs:,} pairs"
        )


def _show(result: EvaluationResult) -> None:
    from rich.console import Console

    console = Console(width=_WIDTH, highlight=False)
    console.print(_table(result))
    for line in _notes(result):
        console.print(line, style="dim", markup=False)


def _table(result: EvaluationResult) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(f"{result.dataset}, {result.split} split, in percent"), title_justify="left")
    table.add_column("stage")
    for name in ("R@1", "R@5", "R@10", "mAP", "mINP"):
        table.add_column(name, justify="right", min_width=6)
    table.add_row("dual encoder", *_cells(result.dual))
    if result.reranked is not None:
        fill = ", official" if result.official else ""
        table.add_row(f"re-ranked {result.candidates}{fill}", *_cells(result.reranked), style="bold")
    return table


def _cells(metrics: RetrievalMetrics) -> list[str]:
    figures = (metrics.r1, metrics.r5, metrics.r10, metrics.mean_ap, metrics.mean_inp)
    return [f"{figure:.2f}" for figure in figures]


def _notes(result: EvaluationResult) -> list[str]:
    notes = [
        f"{result.queries:,} captions, {result.gallery:,} images of {result.identities:,} identities, "
        f"{result.seconds:.1f} s"
    ]
    if result.candidate_recall is not None:
        notes.append(
            f"candidate recall {result.candidate_recall:.2f}: captions with a right image among the "
            f"{result.candidates} candidates"
        )
    if result.score != "logit":
        notes.append(f"Re-ranked by {result.score}.")
    if result.official:
        notes.append("Official fill: the images behind the candidates are in gallery order.")
    return notes
