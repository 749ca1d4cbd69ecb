"""`cfack gallery`: look at a gallery and change it without encoding anything."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cfack_runtime.errors import GalleryError, UsageError

if TYPE_CHECKING:
    from cfack_runtime.gallery import Gallery

_SHOWN = 20
_gallery = click.argument("gallery_path", metavar="GALLERY", type=click.Path(path_type=Path))
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group("gallery")
def command() -> None:
    """Look at a gallery, delete images from it, give disk space back, check every byte."""


@command.command("info")
@_gallery
@_json
def info(gallery_path: Path, as_json: bool) -> None:
    """Say what GALLERY holds: images, bytes, how numbers are kept, metadata fields."""
    from cfack_runtime.gallery import Gallery

    account = _account(Gallery.open(gallery_path, hash_embeddings=False))
    if as_json:
        click.echo(json.dumps(account, indent=1))
        return
    sizes = ", ".join(f"{name} {_size(size)}" for name, size in account["bytes"].items())
    fields = ", ".join(f"{name} ({count})" for name, count in account["fields"].items())
    lines = [
        f"{account['gallery']}: {account['images']} images in {account['segments']} segments, "
        f"{account['removed']} removed ones still on the disk",
        f"embeddings   {' and '.join(account['embeddings']) or '-'}, {account['embed_dim']} numbers each",
        f"tokens       {' and '.join(account['tokens']) or 'none'}",
        f"bytes        {sizes or '0'}",
        f"metadata     {fields or 'none'}",
        f"root         {account['root']}",
        f"bundle       {account['bundle']}",
        f"space        {account['embedding_space'][:12]}",
    ]
    click.echo("\n".join(lines))
    if account["removed"] or account["segments"] > 100:
        click.echo(f"note: cfack gallery compact {gallery_path} makes it smaller and faster to open")


@command.command("delete")
@_gallery
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--where", multiple=True, help="Images that fit a filter, e.g. 'camera=east and time<2024'.")
@click.option("--dry-run", is_flag=True, help="List what would go, and change nothing.")
@_json
def delete(
    gallery_path: Path, paths: tuple[str, ...], where: tuple[str, ...], dry_run: bool, as_json: bool
) -> None:
    """Take images out of GALLERY, by PATH relative to its root, or by --where.

    Their files stay where they are: `cfack index` encodes them again if they lie in the indexed folder. Disk
    space is given back by `cfack gallery compact`.
    """
    from cfack_runtime.filters import all_of
    from cfack_runtime.gallery import Gallery
    from cfack_runtime.gallery_writer import GalleryWriter

    if bool(paths) == bool(where):
        raise UsageError("say which images to delete: by PATH, or by --where")
    if where:
        gallery = Gallery.open(gallery_path)
        rows = gallery.select(all_of(where))
        assert rows is not None  # there is a filter
        doomed = [gallery.images[row].path for row in rows.tolist()]
    else:
        doomed = list(dict.fromkeys(paths))
    if dry_run and where:
        left = len(gallery) - len(doomed)
    else:
        with GalleryWriter.reopen(gallery_path) as writer:
            missing = [path for path in doomed if path not in writer.images]
            if missing:
                raise GalleryError(
                    f"{gallery_path}: holds no image {missing[0]!r}"
                    + (f" (and {len(missing) - 1} more of those given)" if len(missing) > 1 else "")
                    + "; nothing was deleted. Paths are relative to its root, "
                    + str(writer.identity.root)
                )
            if not dry_run:
                writer.remove(doomed)
            left = len(writer.images) - (len(doomed) if dry_run else 0)
    if as_json:
        click.echo(json.dumps({"deleted": doomed, "dry_run": dry_run, "images": left}, indent=1))
        return
    lines = [f"  {_printable(path)}" for path in doomed[:_SHOWN]]
    if len(doomed) > _SHOWN:
        lines.append(f"  ... and {len(doomed) - _SHOWN} more; --json lists all")
    verb = "would be deleted" if dry_run else "deleted"
    click.echo("\n".join([*lines, f"{len(doomed)} {verb}, {left} images left"]))


@command.command("compact")
@_gallery
@_json
def compact(gallery_path: Path, as_json: bool) -> None:
    """Merge small segments of GALLERY and give the bytes of deleted images back to the disk.

    Order and content stay the same; searches that run meanwhile go on undisturbed. Killed in between, it
    loses nothing and can be run again.
    """
    from cfack.cli.progress import progress_bar
    from cfack_runtime.gallery_writer import GalleryWriter

    with GalleryWriter.reopen(gallery_path) as writer, progress_bar("Compacting", "images") as progress:
        report = writer.compact(progress)
    if as_json:
        click.echo(json.dumps(asdict(report), indent=1))
        return
    click.echo(
        f"{report.segments_before} segments became {report.segments_after}, {_size(report.bytes_before)} "
        f"became {_size(report.bytes_after)}; {report.removed} deleted images are gone "
        f"({report.seconds:.1f} s)"
    )


@command.command("verify")
@_gallery
@_json
def verify(gallery_path: Path, as_json: bool) -> None:
    """Check every hash, number and line of GALLERY; changes nothing."""
    from cfack.cli.progress import progress_bar
    from cfack_runtime.gallery_check import check_gallery

    with progress_bar("Checking", "segments") as progress:
        check = check_gallery(gallery_path, progress)
    if as_json:
        click.echo(json.dumps(asdict(check), indent=1))
    if check.faults:
        raise GalleryError(
            "\n  ".join([f"{len(check.faults)} of {check.segments} segments are damaged:", *check.faults])
        )
    if not as_json:
        click.echo(f"{gallery_path}: {check.images} images, {_size(check.bytes)}, all as they were written")


def _account(gallery: Gallery) -> dict[str, Any]:
    sizes: Counter[str] = Counter()
    for segment in gallery.index.segments:
        sizes.update({entry.path: entry.size for entry in segment.files})
    layouts = [segment.layout for segment in gallery.index.segments]
    return {
        "gallery": str(gallery.path),
        "images": len(gallery),
        "removed": sum(len(segment.removed) for segment in gallery.index.segments),
        "segments": len(gallery.segments),
        "embeddings": sorted({layout.embeddings for layout in layouts}),
        "tokens": sorted({layout.tokens for layout in layouts if layout.tokens}),
        "embed_dim": gallery.identity.embed_dim,
        "bytes": dict(sorted(sizes.items())),
        "fields": gallery.fields(),
        "root": gallery.identity.root,
        "bundle": gallery.identity.bundle,
        "embedding_space": gallery.identity.embedding_space,
    }


def _size(size: int) -> str:
    if size < 1000:
        return f"{size} B"
    value, unit = size / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if value >= 1000:
            value, unit = value / 1000, larger
    return f"{value:.1f} {unit}"


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
