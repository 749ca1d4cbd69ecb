"""Rendering a whole data set: splits, worker processes, annotation file."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfack.data.synthesize.attributes import draw_person
from cfack.data.synthesize.grammar import describe
from cfack.data.synthesize.layouts import LAYOUTS, LayoutName, caption_count, image_path, record
from cfack.data.synthesize.plan import check_numbers, checked_layout, split_sizes
from cfack.data.synthesize.randomness import stream
from cfack.data.synthesize.render import draw_shot, encode, render
from cfack.data.synthesize.summary import SynthesisSummary, count_splits
from cfack_runtime.errors import CfackError
from cfack_runtime.files import atomic_folder
from cfack_runtime.progress import ProgressCallback, no_progress

IDENTITIES_PER_TASK = 8


@dataclass(frozen=True)
class _Task:
    """Identities `start` to `stop` that one worker renders below `folder`."""

    folder: Path
    layout: LayoutName
    seed: int
    images: tuple[int, int]
    height: int
    start: int
    stop: int


def synthesize(
    out: str | Path,
    layout: LayoutName,
    identities: int,
    seed: int,
    images_per_identity: tuple[int, int] = (2, 4),
    image_height: int = 192,
    *,
    splits: tuple[int, int, int] | None = None,
    workers: int | None = None,
    progress: ProgressCallback = no_progress,
) -> SynthesisSummary:
    """Render a data set of drawn pedestrians with captions, in the raw layout of a published data set.

    Same arguments, same bytes. Identity i of a seed looks and is described the same whatever the number of
    identities, and shares nothing with identity i of another seed.

    Args:
        out: Folder to make; it must not exist, or be empty. Nothing is left behind on failure.
        layout: "cuhk", "icfg" or "rstp"; see `docs/synthetic-data.md`.
        identities: Number of people in all splits, at least 3 (2 for "icfg", which has no validation split).
        seed: Any whole number that is not negative.
        images_per_identity: Fewest and most images of one identity; at least 2.
        image_height: Usual height of an image in pixels; images are 20 % smaller or taller.
        splits: Identities in (train, val, test), which must add up to `identities`; by default 70, 10 and
            20 percent ("icfg": 80 and 20).
        workers: Worker processes; by default one per CPU. They are spawned: a script that calls this with
            more than one needs the usual `if __name__ == "__main__":`.
        progress: Told the identities done and all.

    Raises:
        UsageError: an argument is out of range, or `out` holds something.
        CfackError: a worker process died.
    """
    chosen = checked_layout(layout)
    check_numbers(seed, images_per_identity, image_height, workers)
    counts = split_sizes(chosen, identities, splits)
    with atomic_folder(out, sync=False) as folder:
        tasks = [
            _Task(folder, layout, seed, images_per_identity, image_height, start,
                  min(start + IDENTITIES_PER_TASK, identities))
            for start in range(0, identities, IDENTITIES_PER_TASK)
        ]  # fmt: skip
        people: dict[int, list[dict[str, Any]]] = {}
        for done in _run(tasks, workers or os.cpu_count() or 1):
            people.update(done)
            progress(len(people), identities)
        names = [
            name for name, count in zip(("train", "val", "test"), counts, strict=True) for _ in range(count)
        ]
        records = [
            record(chosen, names[identity], identity, **entry)
            for identity in range(identities)
            for entry in people[identity]
        ]
        text = json.dumps(records, ensure_ascii=False, indent=1)
        (folder / chosen.annotation).write_text(text + "\n", encoding="utf-8")
    return SynthesisSummary(Path(out), layout, Path(out) / chosen.annotation, count_splits(records))


def _run(tasks: list[_Task], workers: int) -> Iterator[dict[int, list[dict[str, Any]]]]:
    """The results of all tasks, as they come."""
    if workers == 1 or len(tasks) == 1:
        yield from map(_render_task, tasks)
        return
    # Spawned, because a fork of a process that runs torch's threads may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context)
    try:
        waiting = {pool.submit(_render_task, task) for task in tasks}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise CfackError(
            "a worker process that renders images died. Out of memory? Called from a script without "
            'if __name__ == "__main__":? Try workers=1.'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _render_task(task: _Task) -> dict[int, list[dict[str, Any]]]:
    return {identity: _render_identity(task, identity) for identity in range(task.start, task.stop)}


def _render_identity(task: _Task, identity: int) -> list[dict[str, Any]]:
    """Write the images of one identity; returns what their records hold."""
    layout, seed = LAYOUTS[task.layout], task.seed
    person = draw_person(seed, identity)
    entries: list[dict[str, Any]] = []
    for index in range(stream("images", seed, identity).randint(*task.images)):
        shot = draw_shot(person, seed, identity, index)
        path = image_path(layout, seed, identity, index, shot.camera.number)
        file = task.folder / "imgs" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        image = render(person, shot, seed, identity, task.height)
        file.write_bytes(encode(image, shot, seed, identity, file.suffix))
        captions = []
        for number in range(caption_count(layout, seed, identity, index)):
            key = (seed, identity, index, number)
            words = stream("length", *key).randint(*layout.min_words)
            captions.append(describe(person, shot, key, words).text)
        entries.append(
            {"path": path, "captions": captions, "with_tokens": layout.name == "icfg" or identity % 2 == 0}
        )
    return entries
