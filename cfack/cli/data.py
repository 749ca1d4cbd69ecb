"""`cfack data`: prepare, render and count data sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfack.cli.progress import progress_bar

if TYPE_CHECKING:
    from cfack.data.prepare import PreparedSummary
    from cfack.data.stats import Quantiles, SplitStatistics
    from cfack.data.synthesize import SynthesisSummary
    from cfack_runtime.tokenizer import CaptionTokenizer

_WIDTH = 80
_FOLDER = click.Path(path_type=Path)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def command() -> None:
    """Prepare, render and count data sets."""


@command.command()
@click.argument("name")
@click.argument("root", type=_FOLDER)
@click.option("--out", type=_FOLDER, help="Where to write the annotation files; by default ROOT.")
@click.option("--skip-bad", is_flag=True, help="Leave out what is wrong and list it in skipped.json.")
@click.option(
    "--hold-out-val",
    type=click.IntRange(min=1),
    metavar="N",
    help="Move N identities of the train split to a val split; for a data set that has none.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides which ones.")
@click.option(
    "--verify-images/--no-verify-images",
    default=True,
    show_default=True,
    help="Decode every image, or only read its header.",
)
@_JSON
def prepare(
    name: str,
    root: Path,
    out: Path | None,
    skip_bad: bool,
    hold_out_val: int | None,
    seed: int,
    verify_images: bool,
    as_json: bool,
) -> None:
    """Check data set NAME (cuhk, icfg or rstp) in ROOT and write one annotation file per split.

    ROOT holds the annotation file as its authors publish it, and the images in imgs/.
    """
    from cfack.data.prepare import prepare as prepare_data_set

    with progress_bar("Checking images", "images") as progress:
        summary = prepare_data_set(
            name,
            root,
            out,
            skip_bad=skip_bad,
            hold_out_val=hold_out_val or 0,
            seed=seed,
            verify_images=verify_images,
            progress=progress,
        )
    if as_json:
        _print_json(asdict(summary))
    else:
        _print_prepared(summary)


@command.command()
@click.argument("out", type=_FOLDER)
@click.option(
    "--layout",
    type=click.Choice(["cuhk", "icfg", "rstp"]),
    default="cuhk",
    show_default=True,
    help="The published data set whose files and keys are imitated.",
)
@click.option(
    "--identities", type=click.IntRange(min=2), default=300, show_default=True, help="People in all splits."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same bytes."
)
@click.option(
    "--images-per-identity",
    type=(int, int),
    default=(2, 4),
    show_default=True,
    metavar="MIN MAX",
    help="Fewest and most images of a person.",
)
@click.option(
    "--splits",
    type=(int, int, int),
    metavar="TRAIN VAL TEST",
    help="People per split; by default 70, 10 and 20 percent.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; by default one per CPU.")
@_JSON
def synthesize(
    out: Path,
    layout: str,
    identities: int,
    seed: int,
    images_per_identity: tuple[int, int],
    splits: tuple[int, int, int] | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Render a data set of drawn pedestrians with captions into OUT.

    It comes in the layout of a published data set: `cfack data prepare` goes on with it.
    """
    from cfack.data.synthesize import synthesize as render

    with progress_bar("Drawing people", "people") as progress:
        summary = render(
            out,
            layout,  # type: ignore[arg-type]  # click.Choice allows just the three names
            identities,
            seed,
            images_per_identity,
            splits=splits,
            workers=workers,
            progress=progress,
        )
    if as_json:
        _print_json(asdict(summary))
    else:
        _print_synthesized(summary)


@command.command()
@click.argument("root", type=_FOLDER)
@click.option(
    "--tokenizer",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A tokenizer.json or vocab.txt; captions are then measured in word pieces too.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=3),
    default=40,
    show_default=True,
    help="Length at which a model cuts captions, in word pieces.",
)
@_JSON
def stats(root: Path, tokenizer: Path | None, max_tokens: int, as_json: bool) -> None:
    """Count a prepared data set: identities, images, captions and how long they are."""
    from cfack.data.annotations import available_splits, read_split
    from cfack.data.stats import split_statistics

    measure = None if tokenizer is None else _measuring_tokenizer(tokenizer)
    found = []
    # With no split at all, reading one gives the message that says what to do.
    for name in available_splits(root) or ["train"]:
        split = read_split(root, name)
        with progress_bar(f"Reading image sizes of {name}", "images") as progress:
            found.append(split_statistics(split, measure, max_tokens, progress))
    if as_json:
        _print_json({"splits": [asdict(split) for split in found], "max_tokens": max_tokens})
    else:
        _print_stats(found, max_tokens)


def _measuring_tokenizer(path: Path) -> CaptionTokenizer:
    """A tokenizer that cuts nothing off."""
    from cfack.data.stats import UNLIMITED_TOKENS
    from cfack_runtime.tokenizer import CaptionTokenizer

    read = CaptionTokenizer.from_vocab if path.suffix == ".txt" else CaptionTokenizer.from_file
    return read(path, UNLIMITED_TOKENS)


def _print_prepared(summary: PreparedSummary) -> None:
    rows = []
    for split in summary.splits:
        for quantity in ("identities", "images", "captions"):
            count = getattr(split.counts, quantity)
            published = getattr(split.published, quantity) if split.published else None
            rows.append(
                [
                    split.name if quantity == "identities" else "",
                    quantity,
                    f"{count:,}",
                    "-" if published is None else f"{published:,}",
                    "" if published in (None, count) else f"{count - published:+,}",
                ]
            )
    _print_table(summary.dataset, ["split", "", "here", "published", "difference"], rows)
    if summary.skipped:
        where = summary.out / "skipped.json"
        click.echo(f"{len(summary.skipped)} faults left out; {where} lists them, the first being")
        click.echo(f"  {summary.skipped[0]}")
    files = ", ".join(f"{split.name}.json" for split in summary.splits)
    click.echo(f"Wrote {files} to {summary.out}")
    if not any(split.name == "val" for split in summary.splits):
        click.echo(
            "There is no val split to choose the best checkpoint on: --hold-out-val N takes one from train."
        )


def _print_synthesized(summary: SynthesisSummary) -> None:
    rows = [[s.name, f"{s.identities:,}", f"{s.images:,}", f"{s.captions:,}"] for s in summary.splits]
    _print_table("Drawn people", ["split", "identities", "images", "captions"], rows)
    click.echo(f"Wrote {summary.annotation}")
    click.echo(f"Next: cfack data prepare {summary.layout} {summary.root}")


def _print_stats(splits: Sequence[SplitStatistics], max_tokens: int) -> None:
    rows = [
        [s.name, f"{s.counts.identities:,}", f"{s.counts.images:,}", f"{s.counts.captions:,}"] for s in splits
    ]
    _print_table("Counts", ["split", "identities", "images", "captions"], rows)
    measured = []
    for s in splits:
        measured += [
            [s.name, "words per caption", *_quantile_cells(s.words)],
            ["", "word pieces per caption", *_quantile_cells(s.pieces)],
            ["", "image height, pixels", *_quantile_cells(s.height)],
            ["", "image width, pixels", *_quantile_cells(s.width)],
            ["", "height by width", *_quantile_cells(s.aspect, 2)],
        ]
    measured = [row for row in measured if row[2:]]
    _print_table("Spread", ["split", "", "min", "5 %", "median", "95 %", "max"], measured)
    for s in splits:
        if s.truncated is not None:
            click.echo(f"{s.name}: {s.truncated:.1f} % of the captions exceed {max_tokens} word pieces")


def _quantile_cells(quantiles: Quantiles | None, digits: int = 0) -> list[str]:
    return [] if quantiles is None else [f"{value:,.{digits}f}" for value in asdict(quantiles).values()]


def _print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of at most 80 columns; the first two are text, or the first alone, the rest numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 or not column else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=_WIDTH).print(table)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
