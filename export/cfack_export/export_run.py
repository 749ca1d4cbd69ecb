"""One export: the stages in their order, and the verdict between them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from cfack.data.annotations import read_split, split_path
from cfack.modeling.checkpoint import checkpoint_hash, load_experiment, load_tokenizer
from cfack_export.calibration_stage import choose_samples
from cfack_export.conversion import read_conversion
from cfack_export.conversions import Conversions, conversion_titles, needs_samples
from cfack_export.engine_stage import CheckedRequest, build_requested
from cfack_export.engines import BuiltEngine
from cfack_export.fp32_stage import LazyModel, export_fp32
from cfack_export.graph_folder import GraphFolder
from cfack_export.graphs import geometry
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
from cfack_export.parity.backends import open_files
from cfack_export.parity.limits import FP32
from cfack_export.parity.measure import measure_precisions
from cfack_export.parity.torch_reference import torch_reference
from cfack_export.stage_clock import StageClock, StageTitle
from cfack_export.stages import StageCache
from cfack_export.verdict import Verdict
from cfack_export.writing import BundleSource, write_export
from cfack_runtime.errors import ParityError
from cfack_runtime.files import move_folder
from cfack_runtime.manifest import Geometry
from cfack_runtime.progress import ProgressCallback
from cfack_runtime.tokenizer import CaptionTokenizer

_log = logging.getLogger(__name__)

_MEASURED_SPLITS = ("val", "test")
"""Looked for in this order: the choice of a precision is one more thing that a test split is not for."""
_REFERENCE = "reference.npz"


class ExportRun:
    """What every stage needs to know, and the stages.

    Args:
        checkpoint: the checkpoint folder.
        options: what to make.
        engines: the engines that were asked for, checked.
        progress: told the parts done and in all.
        on_stage: told the title of each stage.

    Raises:
        CheckpointError: the checkpoint is wrong, or has no tokenizer.
        DataError: the data set lacks a split, or an image of it cannot be read.
    """

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
        samples = needs_samples(options)
        self._samples = choose_samples(options, self._geometry, self._tokenizer) if samples else None
        self._model = LazyModel(checkpoint)
        self._clock = StageClock(_stages(options), progress, on_stage)

    def run(self, out: Path, scratch: Path, overwrite: bool) -> None:
        """Export to `out`; `scratch` is a folder beside it."""
        options, clock = self._options, self._clock
        cache = StageCache(options.cache or scratch / "stages")
        fp32 = GraphFolder.of(self._fp32(cache))
        gate = ParityGate(self._reference(cache), max_drop=options.max_drop)
        self._model.unload()
        others = Conversions(options, fp32, self._samples, gate, self._weights, cache, clock).make()
        graphs = {FP32: fp32, **others}
        verdict = self._verdict(cache, gate, graphs)
        passed = self._judge(verdict, out)
        engines = self._build_engines(scratch / "engines", {name: graphs[name] for name in passed})
        clock.start("Writing the bundle")
        source = BundleSource(self._weights, self._tokenizer.to_json(), self._geometry)
        # Not beside `out` at once: gigabytes that a killed process would leave there.
        write_export(scratch / out.name, source, graphs, verdict, engines)
        move_folder(scratch / out.name, out, overwrite=overwrite)
        if options.cache is not None:
            cache.prune()
        clock.finish()

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

    def _verdict(self, cache: StageCache, gate: ParityGate, graphs: Mapping[str, GraphFolder]) -> Verdict:
        progress = self._clock.start("Measuring parity")
        inputs = {
            "reference": gate.reference.inputs.key(self._weights),
            "max_drop": self._options.max_drop,
            "graphs": {name: folder.sha256 for name, folder in graphs.items()},
        }

        def measure(folder: Path) -> None:
            opening = {
                name: partial(open_files, files.files, name, files.sha256) for name, files in graphs.items()
            }
            Verdict.of(measure_precisions(gate, opening, progress=progress)).write(folder)

        return Verdict.read(cache.folder("parity", inputs, measure)).with_conversions(
            {name: read_conversion(files.path) for name, files in graphs.items()}
        )

    def _judge(self, verdict: Verdict, out: Path) -> list[str]:
        """Names of the precisions that passed, if the bundle may be written."""
        passed = [name for name in self._options.ordered if name not in verdict.failures]
        if verdict.failures and (not self._options.keep_going or FP32 not in passed):
            raise ParityError(verdict.refusal(out, fp32_passed=FP32 in passed))
        for precision, sentences in verdict.failures.items():
            _log.warning("%s was refused and is marked so: %s", precision, "; ".join(sentences))
        return passed

    def _build_engines(self, folder: Path, graphs: Mapping[str, GraphFolder]) -> tuple[BuiltEngine, ...]:
        if not self._engines:
            return ()
        progress = self._clock.start("Building engines")
        return build_requested(self._engines, graphs, self._geometry, folder, progress)


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
    stages += conversion_titles(options, measured)
    stages.append(("Measuring parity", measured * len(options.ordered)))
    if options.engines:
        stages.append(("Building engines", 2))
    return [*stages, ("Writing the bundle", 1)]
