"""`cfack search`: images of a gallery, ranked by a sentence."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cfack.cli.runtime_options import SCORE, runtime_options
from cfack_runtime.errors import GalleryError, UsageError

if TYPE_CHECKING:
    from cfack_runtime.gallery import Gallery
    from cfack_runtime.hits import Hit

_SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")
_NO_TOKENS = (
    "the gallery holds no image tokens, so nothing was re-ranked; index without --no-tokens to change that"
)


@click.command("search")
@click.argument("gallery_path", metavar="GALLERY", type=click.Path(path_type=Path))
@click.argument("queries", metavar="QUERY...", nargs=-1, required=True)
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="Images per query.")
@click.option(
    "--rerank",
    type=click.IntRange(min=0),
    help="Candidates to re-rank, 0 for none.  [default: 128, or 0 if the gallery has no tokens]",
)
@click.option(
    "--min-score",
    type=float,
    help="Leave out images below it: match score (0 to 1) when re-ranking, else cosine (-1 to 1).",
)
@click.option(
    "--where",
    multiple=True,
    metavar="FILTER",
    help='Search only images whose metadata fit, as "camera=east and time>=2024-05-01"; may be repeated.',
)
@click.option(
    "--score",
    type=SCORE,
    default="logit",
    show_default=True,
    help="What re-ranks, and what --min-score is compared with; a probability needs a fitted bundle.",
)
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a contact sheet, PNG or JPEG.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="Bundle to search with.  [default: the one that made GALLERY]",
)
@runtime_options
def command(
    gallery_path: Path,
    queries: tuple[str, ...],
    k: int,
    rerank: int | None,
    min_score: float | None,
    where: tuple[str, ...],
    score: str,
    sheet: Path | None,
    as_json: bool,
    bundle: Path | None,
    precision: str,
    device: str,
    threads: int | None,
) -> None:
    """Find the images of GALLERY that fit QUERY, a sentence in quotation marks. Several may be given."""
    from cfack_runtime.filters import all_of
    from cfack_runtime.gallery import Gallery
    from cfack_runtime.hits import at_least
    from cfack_runtime.retriever import Retriever
    from cfack_runtime.search import DEFAULT_RERANK

    if sheet is not None:
        _require_writable(sheet)
    gallery = Gallery.open(gallery_path)
    depth = (DEFAULT_RERANK if gallery.has_tokens else 0) if rerank is None else rerank
    bundle = bundle or _remembered(gallery)
    with Retriever.open(
        bundle, precision=precision, device=device, threads=threads, warm_up=False
    ) as retriever:
        # Without the threshold, so that an empty answer can say how near the best image came.
        results = retriever.search_many(
            gallery, queries, k=max(k, depth), rerank=depth, where=all_of(where), score=score
        )
        used = retriever.precision
    answers = [
        _Answer(
            query,
            (hits if min_score is None else at_least(hits, min_score))[:k],
            max((hit.decisive_score for hit in hits[: depth or None]), default=None),
        )
        for query, hits in zip(queries, results, strict=True)
    ]
    notes = [_NO_TOKENS] if rerank is None and not gallery.has_tokens else []
    if sheet is not None:
        _write_sheet(sheet, answers)
    if as_json:
        account = {
            "gallery": str(gallery.path),
            "images": len(gallery),
            "bundle": str(bundle),
            "precision": used,
            "rerank": depth,
            "min_score": min_score,
            "where": list(where),
            "score": score,
            "notes": notes,
            "results": [answer.to_json() for answer in answers],
        }
        click.echo(json.dumps(account, indent=1))
        return
    for answer in answers:
        click.echo("\n".join([*_table(answer, gallery, min_score), ""]))
    click.echo("\n".join([f"images in {gallery.root}", *(f"note: {note}" for note in notes)]))
    if sheet is not None:
        click.echo(f"contact sheet: {sheet}")


@dataclass(frozen=True)
class _Answer:
    query: str
    hits: list[Hit]
    best: float | None
    """Highest score that `--min-score` is compared with; None if the gallery is empty."""

    def to_json(self) -> dict[str, Any]:
        hits = [{**asdict(hit), "path": str(hit.path), "metadata": dict(hit.metadata)} for hit in self.hits]
        return {"query": self.query, "best_score": self.best, "hits": hits}


def _remembered(gallery: Gallery) -> Path:
    bundle = Path(gallery.identity.bundle)
    if not bundle.is_dir():
        raise GalleryError(
            f"{gallery.path}: was made with the bundle {bundle}, which is not there now; give --bundle"
        )
    return bundle


def _table(answer: _Answer, gallery: Gallery, min_score: float | None) -> list[str]:
    lines = [answer.query]
    if answer.best is None:
        return [*lines, "  the gallery is empty"]
    if not answer.hits:
        return [*lines, f"  no image reaches {min_score} (best was {answer.best:.3f})"]
    lines.append("rank   score   match  path")
    for hit in answer.hits:
        match = "-" if hit.match_score is None else f"{hit.match_score:.3f}"
        path = hit.path.relative_to(gallery.root)
        lines.append(f"{hit.rank:4d}  {hit.score:6.3f}  {match:>6}  {path}")
    return lines


def _require_writable(sheet: Path) -> None:
    if sheet.suffix.lower() not in _SHEET_SUFFIXES:
        raise UsageError(f"--sheet {sheet}: expected a name that ends in {', '.join(_SHEET_SUFFIXES)}")
    if not sheet.resolve().parent.is_dir():
        raise UsageError(f"--sheet {sheet}: there is no folder {sheet.resolve().parent}")


def _write_sheet(sheet: Path, answers: Sequence[_Answer]) -> None:
    from cfack_runtime.contact_sheet import SheetHit, SheetRow, render_contact_sheet
    from cfack_runtime.files import atomic_write

    rows = [
        SheetRow(answer.query, [SheetHit(hit.path, hit.decisive_score) for hit in answer.hits])
        for answer in answers
    ]
    data = io.BytesIO()
    render_contact_sheet(rows).save(data, format="PNG" if sheet.suffix.lower() == ".png" else "JPEG")
    atomic_write(sheet, data.getvalue())
