"""The stage that makes 8-bit graphs, and gives back the layers whose rounding costs images."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cfack_export.graph_folder import GraphFolder
from cfack_export.harm import Convert, HarmSample, measure_harm
from cfack_export.parity import ParityGate
from cfack_export.parity.backends import open_files
from cfack_export.parity.difference import finite_or_none
from cfack_export.precision.layers import layers_by_graph
from cfack_export.precision.reports import Int8Report
from cfack_export.precision.restore import Restored, restore_layers
from cfack_export.stage_clock import part_of
from cfack_runtime.files import sha256_file
from cfack_runtime.progress import ProgressCallback, no_progress

_TRIALS = 8

LayerSet = frozenset[str]


@dataclass(frozen=True)
class Quantizer:
    """A way to write graphs in 8 bits."""

    precision: str
    source: GraphFolder
    """What is converted."""
    convert: Convert
    """Also takes the FP32 graphs, on which harm is measured."""


def quantize(
    quantizer: Quantizer, fp32: GraphFolder, folder: Path, gate: ParityGate, progress: ProgressCallback
) -> dict[str, Any]:
    """Write the 8-bit form of every graph in a folder, as far as the gate allows.

    Where the gate refuses it, layers return to the precision of the source until it does not: the most
    harmful first, by what each group alone does to scores.

    Args:
        quantizer: how.
        fp32: the FP32 graphs.
        folder: gets graphs of the same names.
        gate: with a reference that has a sample.
        progress: counts the parts of measurements.

    Returns:
        What was done, for `parity.json`.

    Raises:
        BundleError: a graph cannot be read.
        BackendError: ONNX Runtime is missing or cannot load a graph.
    """
    harm: dict[tuple[str, ...], float] = {}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".trials-") as scratch:
        trials = _Trials(quantizer, gate, Path(scratch), progress)

        def order() -> list[str]:
            sample = HarmSample.of(gate.reference)
            harm.update(measure_harm(fp32.files, quantizer.convert, sample, Path(scratch), no_progress))
            measured = [layer for group in harm for layer in group]
            return [*measured, *(layer for layer in trials.layers if layer not in measured)]

        restored = restore_layers(trials.layers, order, trials.measure, trials=_TRIALS)
        reports = trials.keep(restored.exclude, folder)
    return {
        "restored": _restored_json(restored, harm),
        "graphs": {name: report.to_json() for name, report in reports.items()},
    }


def _restored_json(restored: Restored, harm: Mapping[tuple[str, ...], float]) -> dict[str, Any]:
    """For `json.dumps`; null for what was no number or was not measured."""
    return {
        "exclude": list(restored.exclude),
        "drop": finite_or_none(restored.drop),
        "passed": restored.passed,
        "trials": [{**asdict(trial), "drop": finite_or_none(trial.drop)} for trial in restored.trials],
        "harm": [{"layers": list(group), "harm": finite_or_none(value)} for group, value in harm.items()],
    }


@dataclass(frozen=True)
class _Converted:
    file: Path
    sha256: str
    report: Int8Report


class _Trials:
    """Measures sets of layers to leave out; a graph that a set leaves as it was is taken as it was."""

    def __init__(
        self, quantizer: Quantizer, gate: ParityGate, scratch: Path, progress: ProgressCallback
    ) -> None:
        self._quantizer, self._gate, self._scratch = quantizer, gate, scratch
        self._progress = progress
        self._layers = layers_by_graph(quantizer.source.files)
        self._converted: dict[tuple[str, LayerSet], _Converted] = {}
        self._best: tuple[str, ...] = ()
        self._count = 0

    @property
    def layers(self) -> tuple[str, ...]:
        """Of all graphs, each once."""
        return tuple(dict.fromkeys(layer for names in self._layers.values() for layer in names))

    def measure(self, exclude: tuple[str, ...]) -> tuple[float, bool]:
        """Drop of R@1, as far as it was measured, and whether the gate passed it."""
        begun, self._count = self._count, self._count + 1
        graphs = self._graphs(exclude)
        with open_files(
            {name: graph.file for name, graph in graphs.items()},
            self._quantizer.precision,
            {name: graph.sha256 for name, graph in graphs.items()},
        ) as opened:
            report = self._gate.measure(
                self._quantizer.precision,
                opened.backend,
                opened.runs,
                versions=opened.versions,
                int8_tokens=False,
                until_refused=True,
                progress=part_of(self._progress, begun, _TRIALS),
            )
        if report.passed:
            self._best = exclude
        self._forget(exclude)
        return report.drop, report.passed

    def keep(self, exclude: tuple[str, ...], folder: Path) -> dict[str, Int8Report]:
        """Move the graphs of a set, measured last or the last that passed, to where they stay."""
        graphs = self._graphs(exclude)
        for name, graph in graphs.items():
            graph.file.rename(folder / f"{name}.onnx")
        return {name: graph.report for name, graph in graphs.items()}

    def _graphs(self, exclude: Collection[str]) -> dict[str, _Converted]:
        return {name: self._graph(name, key) for name, key in self._keys(exclude).items()}

    def _keys(self, exclude: Collection[str]) -> dict[str, LayerSet]:
        return {name: frozenset(layers).intersection(exclude) for name, layers in self._layers.items()}

    def _graph(self, name: str, left_out: LayerSet) -> _Converted:
        key = (name, left_out)
        if key not in self._converted:
            file = self._scratch / f"{name}-{len(self._converted)}-{self._count}.onnx"
            report = self._quantizer.convert(self._quantizer.source.file(name), file, name, left_out)
            self._converted[key] = _Converted(file, sha256_file(file), report)
        return self._converted[key]

    def _forget(self, exclude: tuple[str, ...]) -> None:
        """Remove files of all sets but the first, the last and the best: a set is a gigabyte at base size."""
        wanted = {*self._keys(exclude).items(), *self._keys(self._best).items(), *self._keys(()).items()}
        for key in [key for key in self._converted if key not in wanted]:
            self._converted.pop(key).file.unlink()
