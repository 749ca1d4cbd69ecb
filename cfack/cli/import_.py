"""`cfack import`: a released checkpoint becomes ours."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cfack_runtime.errors import CfackError, CheckpointError, UsageError

if TYPE_CHECKING:
    from cfack.modeling.imported import Imported
    from cfack_runtime.tokenizer import CaptionTokenizer

_KEYS_SHOWN = 2


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="JSON with the geometry that FILE does not hold; docs/checkpoints.md lists its keys.",
)
@click.option(
    "--tokenizer",
    help="Folder, tokenizer.json, vocab.txt or hub name.  [default: the name in FILE's configuration]",
)
@click.option(
    "--preset",
    help="For an X²-VLM file: preset or TOML file of the training that will start from it (base-384, ...).",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the account as JSON.")
def command(
    file: Path,
    out: Path,
    config_file: Path | None,
    tokenizer: str | None,
    preset: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Turn FILE, a released CFACK checkpoint or an X²-VLM pre-training file, into a checkpoint folder.

    Every key of FILE is used or listed with the reason why not. Nothing in FILE is executed.
    """
    from cfack.config import load_config
    from cfack.modeling.importing import import_file, read_geometry_file

    if out.exists() and not overwrite and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} exists already; give another --out, or --overwrite")
    imported = import_file(
        file,
        given=read_geometry_file(config_file) if config_file else None,
        target=load_config(preset) if preset else None,
    )
    found, tokenizer_note = _find_tokenizer(imported, tokenizer)
    imported.save(out, found, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(_account(imported, out, found, tokenizer_note), indent=1, ensure_ascii=False))
    else:
        click.echo("\n".join(_summary(imported, out, tokenizer_note)))


def _find_tokenizer(imported: Imported, asked: str | None) -> tuple[CaptionTokenizer | None, str]:
    """The tokenizer and a line about it. One that was asked for must be there; the default may fail."""
    from cfack.modeling.tokenizer_source import open_tokenizer

    text = imported.config.model.text
    source = asked or text.tokenizer
    if source == "captions":
        return None, "none: the preset builds one from the training captions"
    try:
        tokenizer = open_tokenizer(source, text.max_tokens)
        if tokenizer.vocab_size != text.vocab_size:
            raise CheckpointError(
                f"tokenizer {source} has {tokenizer.vocab_size} tokens, but the model's word embeddings have "
                f"{text.vocab_size} rows: it is another model's"
            )
    except CfackError as error:
        if asked:
            raise
        remedy = "import again with --tokenizer FOLDER_OR_VOCAB, or put its tokenizer.json into the folder"
        return None, f"none: {error}. `cfack evaluate`, `export` and `train` will need one: {remedy}"
    return tokenizer, f"{source}, {tokenizer.vocab_size} tokens"


def _summary(imported: Imported, out: Path, tokenizer_note: str) -> list[str]:
    report, model = imported.report, imported.config.model
    vision, text = model.vision, model.text
    lines = [
        f"{imported.source}: {imported.kind} weights",
        f"  image      {vision.image_height} x {vision.image_width} pixels, patches of {vision.patch_size}; "
        f"{vision.depth} blocks, {vision.width} wide, {vision.num_heads} heads",
        f"  text       {text.num_text_layers} text and {text.num_fusion_layers} fusion layers, "
        f"{text.width} wide, {text.num_heads} heads, {text.vocab_size} word pieces",
        f"  embedding  {model.embed_dim} numbers",
        f"  CNN        {model.cnn.name if model.cnn else 'none'}",
        f"  momentum   {_momentum_origin(imported)}",
        f"  tokenizer  {tokenizer_note}",
        f"  used       {len(report.used)} keys",
    ]
    if report.resized:
        changes = sorted(set(report.resized.values()))
        lines.append(f"  resized    {len(report.resized)} relative-position tables: {', '.join(changes)}")
    lines += _grouped("unused", report.unused_by_reason())
    lines += _grouped("filled", report.filled_by_reason())
    lines += [f"  note       {note}" for note in imported.notes]
    return [*lines, f"wrote {out}"]


def _grouped(title: str, groups: dict[str, list[str]]) -> list[str]:
    lines = []
    for reason, keys in groups.items():
        shown = ", ".join(keys[:_KEYS_SHOWN]) + (", ..." if len(keys) > _KEYS_SHOWN else "")
        lines.append(
            f"  {title}     {len(keys)} key{'s' if len(keys) > 1 else ''}: {reason}\n               {shown}"
        )
    return lines


def _momentum_origin(imported: Imported) -> str:
    if not imported.config.model.momentum:
        return "none"
    groups = {
        reason: sum(name.startswith("momentum.") for name in names)
        for reason, names in imported.report.filled_by_reason().items()
    }
    return "; ".join(f"{reason} ({count})" for reason, count in groups.items() if count) or "from the file"


def _account(
    imported: Imported, out: Path, tokenizer: CaptionTokenizer | None, tokenizer_note: str
) -> dict[str, Any]:
    return {
        "checkpoint": str(out),
        "source": str(imported.source),
        "kind": imported.kind,
        "model": asdict(imported.config.model),
        "momentum": _momentum_origin(imported),
        "tokenizer": {"found": tokenizer is not None, "note": tokenizer_note},
        **imported.report.to_json(),
        "notes": list(imported.notes),
    }
