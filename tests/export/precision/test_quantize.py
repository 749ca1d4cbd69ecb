"""The search for layers to give back: what is measured, converted and kept."""

import json
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cfack_export import quantize as stage
from cfack_export.graph_folder import GraphFolder
from cfack_export.harm import HarmSample, measure_harm
from cfack_export.parity.memo import Memo, Recall
from cfack_export.precision.int8_cpu import to_int8_cpu
from cfack_export.precision.reports import Int8Report
from cfack_export.quantize import Quantizer, quantize
from cfack_runtime.progress import no_progress

TEXT = "text_encoder.layers.1.output.dense/MatMul"


def test_what_has_not_changed_is_taken_from_the_memo() -> None:
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        return name

    memo = Memo(kept=2)
    for text, match in (("t1", "r1"), ("t1", "r2"), ("t2", "r2"), ("t1", "r1")):
        recall = Recall(memo, "int8", {"text_encoder": text, "reranker": match})
        recall.of("texts", ("text_encoder",), lambda text=text: make(text))  # type: ignore[misc]
        recall.of("match", ("text_encoder", "reranker"), lambda a=text, b=match: make(a + b))  # type: ignore[misc]
        Recall(memo, "int8", {}).of("texts", ("text_encoder",), lambda: make("?"))
    assert [name for name in made if name != "?"] == ["t1", "t1r1", "t1r2", "t2", "t2r2", "t1r1"]
    assert made.count("?") == 4


class _Gate:
    """Passes once the text encoder is another than at first, and notes what it is shown."""

    reference = None

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def measure(self, precision: str, backend: str, runs: Any, **named: Any) -> Any:
        assert named["until_refused"]
        self.shown.append(dict(named["versions"]))
        passed = self.shown[-1]["text_encoder"] != self.shown[0]["text_encoder"]
        return SimpleNamespace(passed=passed, drop=0.0 if passed else float("inf"))


def test_a_trial_converts_what_its_layers_change_and_the_chosen_set_is_kept(
    fp32: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, gate = GraphFolder.of(fp32), _Gate()
    converted: list[tuple[str, frozenset[str]]] = []

    def convert(file: Path, out: Path, graph: str, exclude: Collection[str]) -> Int8Report:
        converted.append((graph, frozenset(exclude)))
        return to_int8_cpu(file, out, graph, exclude=exclude)

    monkeypatch.setattr(stage, "measure_harm", lambda *_: {(TEXT,): 2.0})
    monkeypatch.setattr(stage.HarmSample, "of", lambda _: None)
    quantizer = Quantizer("int8-cpu", source, convert)
    done = quantize(quantizer, source, tmp_path, gate, no_progress)  # type: ignore[arg-type]

    assert done["restored"]["exclude"] == [TEXT]
    assert done["restored"]["trials"][0] == {"left_out": 0, "drop": None, "passed": False}
    json.dumps(done, allow_nan=False)  # as `parity.json` will be
    assert done["restored"]["harm"] == [{"layers": [TEXT], "harm": 2.0}]
    assert len(converted) == len(set(converted))  # no set twice
    first, last = gate.shown[0], gate.shown[-1]
    assert [name for name in first if first[name] != last[name]] == ["text_encoder"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{name}.onnx" for name in source.sha256
    )
    assert GraphFolder.of(tmp_path).sha256 == last
    assert TEXT not in done["graphs"]["text_encoder"]["quantized"]


def test_the_layer_that_spoils_scores_most_comes_first(fp32: Path, feeds: Any, tmp_path: Path) -> None:
    bad = "fusion_encoder.layers.1.feed_forward.output/MatMul"
    texts = feeds["text_encoder"]
    sample = HarmSample(feeds["image_encoder"]["pixels"], texts["input_ids"], texts["attention_mask"], True)

    def convert(file: Path, out: Path, graph: str, exclude: Collection[str]) -> Int8Report:
        report = to_int8_cpu(file, out, graph, exclude=exclude)
        if bad in report.quantized:
            _spoil(out)
        return report

    found = measure_harm(GraphFolder.of(fp32).files, convert, sample, tmp_path, no_progress)

    assert bad in next(iter(found))
    of_a_layer = [harm / len(group) ** 0.5 for group, harm in found.items()]
    assert of_a_layer == sorted(of_a_layer, reverse=True)
    assert all(0 <= harm < np.inf for harm in found.values())
    assert not list(tmp_path.iterdir())


def _spoil(file: Path) -> None:
    """Scales of weights that are far too large."""
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        if tensor.name.startswith("fusion_encoder.layers.1.feed_forward.output") and ".scale" in tensor.name:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 40, tensor.name))
    onnx.save(model, file)
