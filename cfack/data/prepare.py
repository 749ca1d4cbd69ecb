"""From a data set as its authors publish it to our annotation files."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from cfack.data.annotations import SPLIT_NAMES, Split, split_path, write_split
from cfack.data.image_checks import unreadable_images
from cfack.data.raw_records import Fault, RawRecord, read_raw_records
from cfack.data.sources import IMAGE_FOLDER, Counts, Source, find_annotation, find_source
from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.files import atomic_write
from cfack_runtime.progress import ProgressCallback, no_progress

_log = logging.getLogger(__name__)

SKIPPED_FILE = "skipped.json"
_SHOWN_FAULTS = 10
# An identity found in several splits stays in the one that is measured on.
_PRECEDENCE = ("test", "val", "train")


@dataclass(frozen=True)
class PreparedSplit:
    """What was written for one split."""

    name: str
    counts: Counts
    published: Counts | None
    """What the data set's authors count; None for a split that they do not have."""


@dataclass(frozen=True)
class PreparedSummary:
    """What `prepare` wrote."""

    dataset: str
    """Title of the data set."""
    annotation: Path
    """The file it was read from."""
    out: Path
    splits: tuple[PreparedSplit, ...]
    skipped: tuple[Fault, ...]
    """What was left out; `out`/skipped.json lists it too."""


def prepare(
    name: str,
    root: str | Path,
    out: str | Path | None = None,
    *,
    skip_bad: bool = False,
    hold_out_val: int = 0,
    seed: int = 0,
    verify_images: bool = True,
    progress: ProgressCallback = no_progress,
) -> PreparedSummary:
    """Check a data set and write `train.json`, `val.json` and `test.json`.

    Args:
        name: "cuhk", "icfg" or "rstp", or the data set's title.
        root: the folder that holds its annotation file and `imgs/`.
        out: where to write; by default `root`. Images stay where they are.
        skip_bad: leave out what is wrong and list it in skipped.json, instead of failing.
        hold_out_val: identities to move from the train split to a val split, where there is none.
        seed: decides which.
        verify_images: decode every image; otherwise only its header is read.
        progress: told the images checked and all.

    Raises:
        DataError: no annotation, a wrong one, or (without `skip_bad`) anything wrong with a record.
        UsageError: an argument cannot be followed.
    """
    source = find_source(name)
    root = Path(root)
    out = root if out is None else Path(out)
    if hold_out_val < 0:
        raise UsageError(f"hold_out_val is {hold_out_val}; expected 0 or more identities")
    annotation = find_annotation(source, root)
    images = root / IMAGE_FOLDER
    if not images.is_dir():
        raise DataError(f"{images}: no such folder; the images of {source.title} belong there")

    records, faults = read_raw_records(annotation)
    records = _without_unreadable(records, images, verify_images, faults, progress)
    records = _without_shared_identities(records, faults)
    faults.sort(key=lambda fault: fault.index)
    if faults and not skip_bad:
        raise DataError(_listed(annotation, faults))
    if not records:
        raise DataError(f"{annotation}: no usable record is left; the first fault: {faults[0]}")
    if hold_out_val:
        records = _with_val(records, hold_out_val, seed, source)

    splits = _group(records, source, images)
    _write(out, splits, faults)
    summary = tuple(PreparedSplit(s.name, split_counts(s), source.published.get(s.name)) for s in splits)
    return PreparedSummary(source.title, annotation, out, summary, tuple(faults))


def split_counts(split: Split) -> Counts:
    """Count a split's identities, images and captions."""
    return Counts(split.num_identities, len(split.records), split.num_captions)


def _without_unreadable(
    records: list[RawRecord],
    images: Path,
    decode: bool,
    faults: list[Fault],
    progress: ProgressCallback,
) -> list[RawRecord]:
    reasons = unreadable_images(
        [images / raw.record.image for raw in records], decode=decode, progress=progress
    )
    faults += [Fault(records[i].index, records[i].record.image, reason) for i, reason in reasons.items()]
    return [raw for i, raw in enumerate(records) if i not in reasons]


def _without_shared_identities(records: list[RawRecord], faults: list[Fault]) -> list[RawRecord]:
    """Drop what lets an identity of one split into another."""
    home: dict[int, str] = {}
    for split in reversed(_PRECEDENCE):
        home |= {raw.record.identity: split for raw in records if raw.split == split}
    kept = []
    for raw in records:
        if (own := home[raw.record.identity]) == raw.split:
            kept.append(raw)
            continue
        reason = f"identity {raw.record.identity} of the {raw.split} split is in the {own} split too"
        faults.append(Fault(raw.index, raw.record.image, reason))
    return kept


def _with_val(records: list[RawRecord], count: int, seed: int, source: Source) -> list[RawRecord]:
    """Move `count` identities, drawn by `seed`, from train to val."""
    if any(raw.split == "val" for raw in records):
        raise UsageError(f"{source.title} has a val split here; leave --hold-out-val out")
    identities = sorted({raw.record.identity for raw in records if raw.split == "train"})
    if count >= len(identities):
        raise UsageError(
            f"--hold-out-val {count} would leave no identity to train on: the train split has "
            f"{len(identities)}"
        )
    drawn = set(np.random.default_rng(seed).permutation(identities)[:count].tolist())
    return [
        replace(raw, split="val") if raw.split == "train" and raw.record.identity in drawn else raw
        for raw in records
    ]


def _group(records: list[RawRecord], source: Source, images: Path) -> list[Split]:
    grouped = []
    for name in SPLIT_NAMES:
        own = tuple(raw.record for raw in records if raw.split == name)
        if own:
            grouped.append(Split(name, source.name, images, own))
        elif name in source.published:
            _log.warning("the annotation has no usable record of the %s split", name)
    return grouped


def _write(out: Path, splits: list[Split], faults: list[Fault]) -> None:
    """Write the splits; at no moment do files of an older preparation stand beside new ones.

    A train split of today beside a val split of yesterday could share identities.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in SPLIT_NAMES:
        split_path(out, name).unlink(missing_ok=True)
    (out / SKIPPED_FILE).unlink(missing_ok=True)
    if faults:
        text = json.dumps({"skipped": [asdict(fault) for fault in faults]}, ensure_ascii=False, indent=1)
        # A path or a reason may quote broken unicode of the annotation.
        atomic_write(out / SKIPPED_FILE, (text + "\n").encode(errors="backslashreplace"))
    for split in splits:
        write_split(out, split)


def _listed(annotation: Path, faults: list[Fault]) -> str:
    lines = [f"  {fault}" for fault in faults[:_SHOWN_FAULTS]]
    if len(faults) > _SHOWN_FAULTS:
        lines.append(f"  ... and {len(faults) - _SHOWN_FAULTS} more")
    bad = len({fault.index for fault in faults})
    head = f"{annotation}: {bad} {'record is' if bad == 1 else 'records are'} bad:"
    return "\n".join([head, *lines, "Mend them, or leave them out with --skip-bad"])
