"""The gate, run again on a bundle, anywhere; without torch unless the reference is a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cfack.data.annotations import read_split
from cfack_export.parity.backends import ONNX_RUNTIME, open_graphs
from cfack_export.parity.gate import ParityGate
from cfack_export.parity.limits import FP32
from cfack_export.parity.measure import measure_precisions
from cfack_export.parity.reference import Reference, compute_reference, gate_inputs
from cfack_export.parity.report import PrecisionReport, parity_document
from cfack_export.parity.sample import SplitSample, default_size, sample_split
from cfack_runtime.bundle import Bundle
from cfack_runtime.engine import EngineEntry
from cfack_runtime.errors import BundleError, UsageError
from cfack_runtime.progress import ProgressCallback, no_progress


@dataclass(frozen=True)
class Verification:
    """What the gate said of a bundle."""

    bundle: Bundle
    reports: tuple[PrecisionReport, ...]
    engines: Mapping[str, tuple[EngineEntry, ...]]
    """Precision -> the engines that ran; none in ONNX Runtime."""
    cross_precision: dict[str, Any] | None

    @property
    def passed(self) -> bool:
        """Whether every precision that was asked for passed."""
        return all(report.passed for report in self.reports)

    def to_json(self) -> dict[str, Any]:
        """As `parity.json`."""
        return parity_document(self.reports, self.cross_precision)


def read_sample(
    bundle: Bundle,
    data: str | Path,
    split: str = "test",
    *,
    images: int | None = None,
    queries: int | None = None,
    rerank: int | None = None,
) -> SplitSample:
    """Choose from a prepared data set what a bundle is measured on.

    Args:
        bundle: whose tokenizer and sizes count.
        data: the folder that `cfack data prepare` wrote.
        split: its name.
        images: most images; None: as many as `default_size` says.
        queries: most captions; all of them are re-ranked then. None: likewise.
        rerank: candidates per query; None: likewise.

    Raises:
        DataError: there is no such split, it is damaged, or an image is missing.
        UsageError: a number is out of range.
    """
    size = default_size(bundle.manifest.geometry)
    if images is not None:
        size = replace(size, images=images)
    if queries is not None:
        size = replace(size, queries=queries, reranked_queries=queries)
    if rerank is not None:
        size = replace(size, rerank=rerank)
    return sample_split(read_split(data, split), bundle.tokenizer, size)


def bundle_reference(
    bundle: Bundle,
    sample: SplitSample | None,
    *,
    threads: int | None = None,
    progress: ProgressCallback = no_progress,
) -> Reference:
    """Take the bundle's own FP32 graphs in ONNX Runtime on the CPU as the reference; needs no torch.

    They passed against PyTorch when they were exported.

    Raises:
        UsageError: the bundle holds no FP32 graphs.
        BackendError: ONNX Runtime is missing.
    """
    if FP32 not in bundle.manifest.graphs:
        raise UsageError(
            f"{bundle.path}: holds no fp32 graphs to compare with, only "
            f"{', '.join(bundle.manifest.graphs)}; give the checkpoint that it was exported from"
        )
    inputs = gate_inputs(bundle.manifest.geometry, bundle.tokenizer, sample)
    with open_graphs(bundle, FP32, backend=ONNX_RUNTIME, device="cpu", threads=threads) as graphs:
        name = f"the bundle's fp32 graphs in {graphs.backend}"
        return compute_reference(name, graphs.runs, inputs, progress=progress)


def checkpoint_reference(
    bundle: Bundle,
    checkpoint: str | Path,
    sample: SplitSample | None,
    *,
    progress: ProgressCallback = no_progress,
) -> Reference:
    """Take PyTorch with the weights that the bundle was exported from as the reference.

    Raises:
        CheckpointError: the checkpoint is wrong.
        BundleError: the bundle was exported from other weights.
        ModuleNotFoundError: torch is not installed.
    """
    from cfack.modeling.checkpoint import checkpoint_hash, load_checkpoint
    from cfack_export.parity.torch_reference import torch_reference

    found, expected = checkpoint_hash(checkpoint), bundle.manifest.checkpoint_sha256
    if found != expected:
        raise BundleError(
            f"{bundle.path}: was exported from weights with SHA-256 {expected}, but those of {checkpoint} "
            f"have {found}; give the checkpoint that it was exported from"
        )
    return torch_reference(load_checkpoint(checkpoint).eval(), bundle.tokenizer, sample, progress=progress)


def verify_bundle(
    bundle: Bundle,
    reference: Reference,
    *,
    precisions: Sequence[str] = (),
    backend: str = ONNX_RUNTIME,
    device: str = "cpu",
    threads: int | None = None,
    max_drop: float | None = None,
    progress: ProgressCallback = no_progress,
) -> Verification:
    """Run the gate on precisions of a bundle. Nothing is written.

    Args:
        bundle: an opened bundle, its graphs checked.
        reference: of `bundle_reference` or `checkpoint_reference`.
        precisions: which; none: all that the backend has.
        backend: "onnxruntime", "tensorrt" or "tensorrt-rtx".
        device: "cpu", "cuda" or "cuda:N".
        threads: CPU threads of ONNX Runtime.
        max_drop: points of R@1 that a quantised precision may lose; None: as in the table.
        progress: counts images, captions and re-ranked queries of all precisions.

    Raises:
        BackendError: a library or a device is not here, or refuses a graph.
        BundleError: the bundle holds no such precision or engine.
        UsageError: no such backend or device.
    """
    gate = ParityGate(reference, max_drop=max_drop)
    chosen = tuple(precisions) or _available(bundle, backend)
    opening = {
        precision: partial(open_graphs, bundle, precision, backend=backend, device=device, threads=threads)
        for precision in chosen
    }
    found = measure_precisions(gate, opening, device=device, progress=progress)
    return Verification(bundle, found.reports, found.engines, found.cross_precision)


def record_verdict(verification: Verification) -> Bundle:
    """Write into the manifest which engines passed, so that the runtime takes these and no others.

    Returns:
        The bundle, opened again if anything was written.
    """
    from cfack_runtime.engine_files import mark_verified

    bundle = verification.bundle
    for report in verification.reports:
        paths = [entry.file.path for entry in verification.engines[report.precision]]
        if paths:
            bundle = mark_verified(bundle, paths, verified=report.passed)
    return bundle


def _available(bundle: Bundle, backend: str) -> tuple[str, ...]:
    if backend == ONNX_RUNTIME:
        return tuple(bundle.manifest.graphs)
    built = {entry.precision for entry in bundle.manifest.engines if entry.builder == backend}
    if not built:
        raise BundleError(f"{bundle.path}: holds no {backend} engines; build them with `cfack export`")
    return tuple(precision for precision in bundle.manifest.graphs if precision in built)
