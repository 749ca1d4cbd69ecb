"""`cfack index`: a folder of images becomes a gallery."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfack.cli.runtime_options import runtime_options
from cfack_runtime.errors import UsageError

if TYPE_CHECKING:
    from cfack_runtime.gallery import Gallery, IndexReport

_SKIPPED_SHOWN = 20


@click.command("index")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--bundle", required=True, type=click.Path(path_type=Path), help="What `cfack export` wrote.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Gallery to write or bring up to date.  [default: FOLDER.gallery]",
)
@click.option(
    "--tokens",
    type=click.Choice(["fp16", "int8", "none"]),
    help="How image tokens are kept: re-ranking needs them, and most of the gallery's bytes are theirs. "
    "int8 takes half of them, where the bundle's parity gate has passed it.  "
    "[default: as the gallery has them; fp16 if it is new]",
)
@click.option("--no-tokens", is_flag=True, help="The same as --tokens none.")
@click.option(
    "--embeddings",
    type=click.Choice(["fp32", "fp16"]),
    help="How embeddings are kept.  [default: as the gallery has them; fp32 if it is new]",
)
@click.option("--allow-unmeasured", is_flag=True, help="Take --tokens int8 though no gate has measured it.")
@click.option(
    "--metadata",
    type=click.Path(path_type=Path),
    help="CSV or JSON-lines file with a column `path`, relative to FOLDER; its other columns are kept with "
    "the images, for filters.",
)
@click.option(
    "--decoders", type=click.IntRange(min=1), help="Threads that decode.  [default: one a core, at most 8]"
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Images encoded at a time.",
)
@runtime_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    folder: Path,
    bundle: Path,
    out: Path | None,
    tokens: str | None,
    no_tokens: bool,
    embeddings: str | None,
    allow_unmeasured: bool,
    metadata: Path | None,
    decoders: int | None,
    batch_size: int,
    precision: str,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Encode the images of FOLDER, and of the folders in it, into a gallery.

    Run again, it encodes only files that are new or have changed, and goes on where it was stopped. Files
    that cannot be read are skipped and listed.
    """
    from cfack.cli.progress import progress_bar
    from cfack_runtime.gallery_metadata_file import read_metadata_file
    from cfack_runtime.indexing import index_images
    from cfack_runtime.retriever import Retriever

    out = out or _beside(folder)
    if no_tokens and tokens not in (None, "none"):
        raise UsageError(f"--no-tokens and --tokens {tokens} contradict each other; give one of them")
    known = None if metadata is None else read_metadata_file(metadata)
    with (
        Retriever.open(bundle, precision=precision, device=device, threads=threads) as retriever,
        progress_bar("Encoding images", "images") as progress,
        _listed_at_the_end(),
    ):
        gallery = index_images(
            folder,
            out,
            retriever.bundle,
            retriever.image_encoder,
            retriever.precision,
            tokens="none" if no_tokens else tokens,
            embeddings=embeddings,
            metadata=known,
            batch_size=batch_size,
            decoders=decoders,
            allow_unmeasured=allow_unmeasured,
            progress=progress,
        )
    report = gallery.report
    assert report is not None  # `index` always gives one
    if as_json:
        account = {"gallery": str(gallery.path), "images": len(gallery), **asdict(report)}
        click.echo(json.dumps(account, indent=1))
    else:
        lines = _summary(gallery, report, out)
        if known:
            found = sum(path in known for path in gallery.images.paths())
            lines.append(f"{metadata}: {found} of the {len(known)} images that it names are in the gallery")
        click.echo("\n".join(lines))


def _beside(folder: Path) -> Path:
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.gallery")


@contextmanager
def _listed_at_the_end() -> Iterator[None]:
    """Keep the library's warnings about skipped files off the terminal: the summary lists them."""
    log = logging.getLogger("cfack_runtime.indexing")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _summary(gallery: Gallery, report: IndexReport, out: Path) -> list[str]:
    rate = f", {report.added / report.seconds:.1f} images/s" if report.added else ""
    lines = [
        f"{out}: {len(gallery)} images" + ("" if gallery.has_tokens else ", without tokens"),
        f"{report.added} encoded in {report.seconds:.1f} s{rate}; {report.unchanged} unchanged, "
        f"{report.removed} removed, {len(report.skipped)} skipped",
    ]
    lines += [
        f"  skipped {_printable(image.path)}: {image.reason}" for image in report.skipped[:_SKIPPED_SHOWN]
    ]
    if len(report.skipped) > _SKIPPED_SHOWN:
        lines.append(f"  ... and {len(report.skipped) - _SKIPPED_SHOWN} more; --json lists all")
    return lines


def _printable(path: str) -> str:
    """A name that is not UTF-8, so that a terminal takes it."""
    return path.encode("utf-8", "backslashreplace").decode()
