"""The stages that make every other precision of the FP32 graphs, each kept by what goes into it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from cfack_export.calibration_stage import calibration_feeds, count_activations, read_activations
from cfack_export.conversion import write_conversion
from cfack_export.fp16_stage import convert_fp16
from cfack_export.graph_folder import GraphFolder
from cfack_export.int8_stage import int8_cpu_quantizer, int8_quantizer
from cfack_export.options import ExportOptions
from cfack_export.parity import ParityGate
from cfack_export.parity.limits import FP16, INT8, INT8_CPU
from cfack_export.precision.calibration import CalibrationSamples
from cfack_export.precision.calibration_feeds import CalibrationFeeds
from cfack_export.quantize import Quantizer, quantize
from cfack_export.stage_clock import StageClock
from cfack_export.stages import StageCache
from cfack_runtime.progress import ProgressCallback

_FP16, _CALIBRATING = "Converting to FP16", "Calibrating"
_QUANTIZING = {INT8: "Converting to INT8", INT8_CPU: "Converting to INT8 for CPU"}


def conversion_titles(options: ExportOptions, measured: int) -> list[tuple[str, int]]:
    """Title and weight of each stage that `Conversions` will run, in their order.

    Args:
        options: what is asked for.
        measured: weight of measuring a precision.
    """
    titles = [(_FP16, 2)] if needs_samples(options) else []
    if INT8 in options.precisions:
        titles.append((_CALIBRATING, 2))
    return titles + [(_QUANTIZING[name], 2 * measured) for name in options.ordered if name in _QUANTIZING]


def needs_samples(options: ExportOptions) -> bool:
    """Whether ranges of activations are measured; `int8` is made of the FP16 graphs."""
    return FP16 in options.precisions or INT8 in options.precisions


class Conversions:
    """Makes the precisions of one export.

    Args:
        options: what is asked for.
        fp32: the FP32 graphs.
        samples: that ranges are measured on; None if none are.
        gate: what quantised graphs must pass.
        weights: hash of the model's weights.
        cache: of finished stages.
        clock: told when a stage begins.
    """

    def __init__(
        self,
        options: ExportOptions,
        fp32: GraphFolder,
        samples: CalibrationSamples | None,
        gate: ParityGate,
        weights: str,
        cache: StageCache,
        clock: StageClock,
    ) -> None:
        self._options, self._fp32, self._samples = options, fp32, samples
        self._gate, self._cache, self._clock = gate, cache, clock
        self._gate_key = {"reference": gate.reference.inputs.key(weights), "max_drop": options.max_drop}

    def make(self) -> dict[str, GraphFolder]:
        """Precision -> its graphs, of all that were asked for beside FP32."""
        made: dict[str, GraphFolder] = {}
        if self._samples is not None:
            half = self._fp16(self._samples)
            if FP16 in self._options.precisions:
                made[FP16] = half
            if INT8 in self._options.precisions:
                made[INT8] = self._int8(self._samples, half)
        if INT8_CPU in self._options.precisions:
            made[INT8_CPU] = self._quantize(int8_cpu_quantizer(self._fp32), {})
        return made

    @cached_property
    def _feeds(self) -> CalibrationFeeds:
        assert self._samples is not None
        return calibration_feeds(self._samples, self._fp32)

    def _fp16(self, samples: CalibrationSamples) -> GraphFolder:
        progress = self._clock.start(_FP16)

        def make(folder: Path) -> None:
            write_conversion(folder, convert_fp16(self._fp32, self._feeds, folder, progress))

        inputs = {"fp32": self._fp32.sha256, "samples": samples.to_json()}
        return GraphFolder.of(self._cache.folder(FP16, inputs, make))

    def _int8(self, samples: CalibrationSamples, half: GraphFolder) -> GraphFolder:
        progress = self._clock.start(_CALIBRATING)
        inputs = {"fp32": self._fp32.sha256, "samples": samples.to_json()}
        found = self._cache.folder(
            "calibration",
            inputs,
            lambda folder: count_activations(self._fp32, self._feeds, folder, progress),
        )
        method = self._options.method
        quantizer = int8_quantizer(half, read_activations(found), method, samples.count)
        return self._quantize(quantizer, {**samples.to_json(), "method": method})

    def _quantize(self, quantizer: Quantizer, calibration: dict[str, Any]) -> GraphFolder:
        progress = self._clock.start(_QUANTIZING[quantizer.precision])

        def make(folder: Path) -> None:
            self._convert(quantizer, calibration, folder, progress)

        inputs = {
            **self._gate_key,
            "fp32": self._fp32.sha256,
            "source": quantizer.source.sha256,
            "calibration": calibration,
        }
        return GraphFolder.of(self._cache.folder(quantizer.precision, inputs, make))

    def _convert(
        self, quantizer: Quantizer, calibration: dict[str, Any], folder: Path, progress: ProgressCallback
    ) -> None:
        done = quantize(quantizer, self._fp32, folder, self._gate, progress)
        write_conversion(folder, {"calibration": calibration or None, **done})
