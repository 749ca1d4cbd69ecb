"""A checkpoint folder in, a measured bundle out.

    checkpoint -- graphs --> fp32 -- precision --> int8-cpu -- parity --> verdict -- engines --> bundle

Each arrow is a stage whose result is kept (`StageCache`), so that an export that is repeated or was killed
begins where something has changed.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cfack import __version__
from cfack.data.annotations import read_split, split_path
from cfack.modeling.checkpoint import checkpoint_hash, load_experiment, load_tokenizer
from cfack_export.engine_stage import CheckedRequest, build_requested, check_requested
from cfack_export.engines import BuiltEngine
from cfack_export.fp32_stage import LazyModel, export_fp32
from cfack_export.graph_folder import GraphFolder
from cfack_export.graphs import geometry
from cfack_export.int8_stage import convert_int8_cpu, read_conversion
from cfack_export.options import ExportOptions
from cfack_export.parity import (
    ParityGate,
    Reference,
    SplitSample,
    default_size,
    gate_inputs,
    load_reference,
    sample_split,
)
from cfack_export.parity.backends import open_folder
from cfack_export.parity.limits import FP32, INT8_CPU
from cfack_export.parity.measure import measure_precisions
from cfack_export.parity.torch_reference import torch_reference
from cfack_export.readme import bundle_readme
from cfack_export.stage_clock import StageClock, StageTitle, no_title
from cfack_export.stages import StageCache
from cfack_export.verdict import Verdict
from cfack_runtime.bundle import write_bundle
from cfack_runtime.errors import ParityError, UsageError
from cfack_runtime.manifest import Geometry, Preprocessing, embedding_space
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.tokenizer import CaptionTokenizer

_log = logging.getLogger(__name__)

_MEASURED_SPLITS = ("val", "test")
"""Looked for in this order: the choice of a precision is one more thing that a test split is not for."""
_REFERENCE = "reference.npz"


def export_bundle(
    checkpoint: str | Path,
    out: str | Path,
    options: ExportOptions | None = None,
    *,
    progress: ProgressCallback = no_progress,
    on_stage: StageTitle = no_title,
    overwrite: bool = False,
) -> Path:
    """Export a checkpoint in every precision asked for, measure each, and write the bundle if all passed.

    Args:
        checkpoint: a checkpoint folder with a tokenizer.
        out: the bundle's folder, conventionally NAME.cfack; it appears whole or not at all.
        options: what to make; None: the FP32 graphs, compared with PyTorch output by output.
        progress: told the parts done and in all.
        on_stage: told the title of each stage.
        overwrite: replace a bundle at `out`.

    Returns:
        `out` as an absolute path.

    Raises:
        UsageError: there is something at `out` and `overwrite` is off, or an option cannot be had.
        CheckpointError: the checkpoint is wrong, or has no tokenizer.
        DataError: the data set lacks a split, or an image of it cannot be read.
        ParityError: a precision was refused; nothing was written, unless `options.keep_going`.
        BackendError: ONNX Runtime, or a library or GPU for engines, is missing.
    """
    options = options or ExportOptions()
    checkpoint, out = Path(checkpoint), Path(out).resolve()
    _refuse_to_replace(out, overwrite)
    engines = check_requested(options.engines)
    export = _Export(checkpoint, options, engines, progress, on_stage)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside the bundle and not in the system's temporary folder, which may be small or in memory.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.export-") as scratch:
        export.run(out, Path(scratch), overwrite)
    return out


class _Export:
    """One export: what every stage needs to know, and the stages in their order."""

    def __init__(
        self,
        checkpoint: Path,
        options: ExportOptions,
        engines: tuple[CheckedRequest, ...],
        progress: ProgressCallback,
        on_stage: StageTitle,
    ) -> None:
        self._options, self._engines = options, engines
        self._tokenizer = load_tokenizer(checkpoint)
        self._weights = checkpoint_hash(checkpoint)
        self._geometry = geometry(load_experiment(checkpoint).model)
        self._sample = _sample(options, self._tokenizer, self._geometry)
        self._model = LazyModel(checkpoint)
        self._clock = StageClock(_stages(options), progress, on_stage)

    def run(self, out: Path, scratch: Path, overwrite: bool) -> None:
        cache = StageCache(self._options.cache or scratch / "stages")
        graphs = {FP32: GraphFolder.of(self._fp32(cache))}
        reference = self._reference(cache)
        gate = ParityGate(reference, max_drop=self._options.max_drop)
        if INT8_CPU in self._options.ordered:
            graphs[INT8_CPU] = GraphFolder.of(self._int8_cpu(cache, gate, graphs[FP32]))
        verdict = self._verdict(cache, gate, graphs)
        passed = self._judge(verdict, out)
        engines = self._build_engines(scratch / "engines", {name: graphs[name] for name in passed})
        self._clock.start("Writing the bundle")
        self._write(out, graphs, verdict, engines, overwrite)
        if self._options.cache is not None:
            cache.prune()
        self._clock.finish()

    def _fp32(self, cache: StageCache) -> Path:
        progress = self._clock.start("Exporting FP32 graphs")
        rewrites = self._options.rewrites
        inputs = {"weights": self._weights, "geometry": repr(self._geometry), "rewrites": rewrites}
        return cache.folder(
            FP32,
            inputs,
            lambda folder: export_fp32(self._model.model, folder, rewrites=rewrites, progress=progress),
        )

    def _reference(self, cache: StageCache) -> Reference:
        progress = self._clock.start("Running PyTorch")
        inputs = gate_inputs(self._geometry, self._tokenizer, self._sample)
        key = inputs.key(self._weights)

        def compute(folder: Path) -> None:
            reference = torch_reference(self._model.model, self._tokenizer, self._sample, progress=progress)
            reference.save(folder / _REFERENCE, key)

        folder = cache.folder("reference", {"key": key}, compute)
        return load_reference(folder / _REFERENCE, inputs, key)

    def _int8_cpu(self, cache: StageCache, gate: ParityGate, fp32: GraphFolder) -> Path:
        progress = self._clock.start("Converting to INT8 for CPU")
        return cache.folder(
            INT8_CPU,
            {
                "fp32": fp32.sha256,
                "reference": gate.reference.inputs.key(self._weights),
                "max_drop": self._options.max_drop,
            },
            lambda folder: convert_int8_cpu(fp32.path, folder, gate, progress),
        )

    def _verdict(self, cache: StageCache, gate: ParityGate, graphs: Mapping[str, GraphFolder]) -> Verdict:
        progress = self._clock.start("Measuring parity")
        inputs = {
            "reference": gate.reference.inputs.key(self._weights),
            "max_drop": self._options.max_drop,
            "graphs": {name: folder.sha256 for name, folder in graphs.items()},
        }

        def measure(folder: Path) -> None:
            opening = {name: open_folder(files.path, name) for name, files in graphs.items()}
            Verdict.of(measure_precisions(gate, opening, progress=progress)).write(folder)

        return Verdict.read(cache.folder("parity", inputs, measure)).with_conversions(
            {name: read_conversion(files.path) for name, files in graphs.items()}
        )

    def _judge(self, verdict: Verdict, out: Path) -> list[str]:
        """Names of the precisions that passed, if the bundle may be written."""
        passed = [name for name in self._options.ordered if name not in verdict.failures]
        if verdict.failures and (not self._options.keep_going or FP32 not in passed):
            raise ParityError(_refusal(verdict, out, FP32 in passed))
        for precision, sentences in verdict.failures.items():
            _log.warning("%s was refused and is marked so: %s", precision, "; ".join(sentences))
        return passed

    def _build_engines(self, folder: Path, graphs: Mapping[str, GraphFolder]) -> tuple[BuiltEngine, ...]:
        if not self._engines:
            return ()
        progress = self._clock.start("Building engines")
        return build_requested(self._engines, graphs, self._geometry, folder, progress)

    def _write(
        self,
        out: Path,
        graphs: Mapping[str, GraphFolder],
        verdict: Verdict,
        engines: tuple[BuiltEngine, ...],
        overwrite: bool,
    ) -> None:
        tokenizer_json = self._tokenizer.to_json()
        tokenizer_sha256 = hashlib.sha256(tokenizer_json.encode()).hexdigest()
        space = embedding_space(self._weights, tokenizer_sha256, self._geometry, Preprocessing())
        write_bundle(
            out,
            graphs={name: folder.path for name, folder in graphs.items()},
            geometry=self._geometry,
            tokenizer_json=tokenizer_json,
            checkpoint_sha256=self._weights,
            parity=verdict.summaries,
            parity_document=verdict.document,
            readme=bundle_readme(
                out.name, self._geometry, space, self._weights, verdict.document, verdict.summaries
            ),
            created_by=f"cfack {__version__}",
            engines=[(engine.entry, engine.file) for engine in engines],
            overwrite=overwrite,
        )


def _sample(options: ExportOptions, tokenizer: CaptionTokenizer, sizes: Geometry) -> SplitSample | None:
    """What retrieval is measured on; None without data."""
    if options.data is None:
        return None
    names = (options.split,) if options.split else _MEASURED_SPLITS
    here = [name for name in names if split_path(options.data, name).is_file()]
    # Reading the first name where none is here says what is missing.
    split = read_split(options.data, (here or names)[0])
    return sample_split(split, tokenizer, options.sample or default_size(sizes))


def _stages(options: ExportOptions) -> list[tuple[str, int]]:
    """Title and weight of each stage; the weights are minutes at base size."""
    measured = 4 if options.data is not None else 1
    stages = [("Exporting FP32 graphs", 1), ("Running PyTorch", measured)]
    if INT8_CPU in options.ordered:
        stages.append(("Converting to INT8 for CPU", 4 * measured))
    stages.append(("Measuring parity", measured * len(options.ordered)))
    if options.engines:
        stages.append(("Building engines", 2))
    return [*stages, ("Writing the bundle", 1)]


def _refusal(verdict: Verdict, out: Path, fp32_passed: bool) -> str:
    lines = [
        f"{precision}: {sentence}"
        for precision, sentences in verdict.failures.items()
        for sentence in sentences
    ]
    remedy = (
        "leave the precision out, allow a larger loss with --max-drop, or write the others with --keep-going"
        if fp32_passed
        else "the FP32 graphs are not PyTorch's model; please report it with the versions of torch and onnx"
    )
    return (
        "\n  ".join(["the export was refused and nothing was written to " + str(out), *lines]) + f"\n{remedy}"
    )


def _refuse_to_replace(out: Path, overwrite: bool) -> None:
    """Ask now what the writer asks again minutes later."""
    if out.is_dir() and (overwrite or not any(out.iterdir())):
        return
    if out.exists():
        raise UsageError(f"{out} exists; choose another name, or replace a bundle there with --overwrite")
