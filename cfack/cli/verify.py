"""`cfack verify`: run the parity gate on a bundle again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfack.cli.progress import progress_bar
from cfack_runtime.errors import ParityError, UsageError

if TYPE_CHECKING:
    from cfack_export.parity.verify import Verification


@click.command("verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder that `cfack data prepare` wrote: measure ranks and retrieval too, not the outputs alone.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Split to measure on.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Compare with PyTorch and these weights.  [default: with the bundle's own fp32 graphs]",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    metavar="P",
    help="Precision to measure; may be given again.  [default: all]",
)
@click.option(
    "--backend",
    type=click.Choice(["onnxruntime", "tensorrt", "tensorrt-rtx"]),
    default="onnxruntime",
    show_default=True,
    help="What runs the graphs; engines of a bundle are run by the library that built them.",
)
@click.option("--device", help="cpu, cuda or cuda:N.  [default: cpu; cuda for engines]")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: one a physical core]")
@click.option(
    "--images", type=click.IntRange(min=2), help="Most images of the split.  [default: what takes minutes]"
)
@click.option("--queries", type=click.IntRange(min=1), help="Most captions.  [default: likewise]")
@click.option(
    "--rerank", type=click.IntRange(min=0), metavar="K", help="Candidates per query.  [default: likewise]"
)
@click.option(
    "--max-drop",
    type=click.FloatRange(min=0),
    help="Points of R@1 that a quantised precision may lose.  [default: 0.5]",
)
@click.option("--json", "as_json", is_flag=True, help="Print what parity.json would hold.")
def command(
    bundle: Path,
    data: Path | None,
    split: str,
    checkpoint: Path | None,
    precisions: tuple[str, ...],
    backend: str,
    device: str | None,
    threads: int | None,
    images: int | None,
    queries: int | None,
    rerank: int | None,
    max_drop: float | None,
    as_json: bool,
) -> None:
    """Run the parity gate on BUNDLE here: outputs, ranks, retrieval, batches and padding.

    Without --checkpoint no torch is needed: every precision is compared with the bundle's own fp32 graphs in
    ONNX Runtime. FP16 is emulated on a CPU, which needs cfack[export]. Engines that no GPU has run yet are
    tried, and the verdict is written into the manifest.
    Exit code 3: a precision was refused.
    """
    if data is None and (images or queries or rerank is not None):
        raise UsageError("--images, --queries and --rerank are about a data set; give --data")
    from cfack.cli.verify_display import show
    from cfack_export.parity.verify import (
        bundle_reference,
        checkpoint_reference,
        read_sample,
        record_verdict,
        verify_bundle,
    )
    from cfack_runtime.bundle import Bundle

    opened = Bundle.open(bundle)
    sample = None
    if data is not None:
        sample = read_sample(opened, data, split, images=images, queries=queries, rerank=rerank)
    with progress_bar("Computing the reference") as progress:
        if checkpoint is None:
            reference = bundle_reference(opened, sample, threads=threads, progress=progress)
        else:
            reference = checkpoint_reference(opened, checkpoint, sample, progress=progress)
    with progress_bar("Measuring") as progress:
        verification = verify_bundle(
            opened,
            reference,
            precisions=precisions,
            backend=backend,
            device=device or ("cpu" if backend == "onnxruntime" else "cuda"),
            threads=threads,
            max_drop=max_drop,
            progress=progress,
        )
    record_verdict(verification)
    if as_json:
        click.echo(json.dumps(verification.to_json(), indent=2, allow_nan=False))
    else:
        show(verification)
    _refuse(verification)


def _refuse(verification: Verification) -> None:
    """Exit with 3 where a precision failed; the sentences go to stderr in any case."""
    refused = [report for report in verification.reports if not report.passed]
    if refused:
        sentences = "\n".join(
            f"  {report.precision} in {report.backend}: {sentence}"
            for report in refused
            for sentence in report.failures
        )
        raise ParityError(f"{verification.bundle.path}: refused\n{sentences}")
