"""The base-size model with random weights, as a checkpoint and as graphs, for `cfack_bench.retrieval`.

    python benchmarks/base_graphs.py bench-base

A second argument names another configuration, such as `tiny`. A script of its own, since benchmarks do not
import the exporter.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from cfack.config import load_config
from cfack.modeling import build_model
from cfack.modeling.checkpoint import load_checkpoint, save_checkpoint
from cfack_runtime.tokenizer import SPECIAL_TOKENS, CaptionTokenizer

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def prepare(work: Path, configuration: str = "base-384") -> None:
    """Fill the folder with `checkpoint/`, `fp32/` and `int8-cpu/`, as far as they are missing."""
    if not (work / "checkpoint").exists():
        config = replace(load_config(configuration).model, cnn=None, momentum=False, mlm=False)
        torch.manual_seed(0)
        words = [*SPECIAL_TOKENS, *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
        tokenizer = CaptionTokenizer.from_tokens(words, config.text.max_tokens)
        model = build_model(config)
        _fill_constants(model)
        save_checkpoint(work / "checkpoint", model, config, tokenizer)
    if not (work / "fp32").exists():
        _export(work)
    if not (work / "int8-cpu").exists():
        _quantize(work)


@torch.no_grad()
def _fill_constants(model: nn.Module) -> None:
    """Add noise to what begins with one value: equal weights are stored once and read faster than others.

    The tables of relative positions matter most: at base size each layer has its own 16 MB of biases to read.
    """
    for parameter in model.parameters():
        if parameter.dim() and bool((parameter == parameter.flatten()[0]).all()):
            parameter.add_(torch.randn_like(parameter), alpha=0.02)


def _export(work: Path) -> None:
    from cfack_export.graphs import graph_specs, rewrite_specs
    from cfack_export.onnx_export import export_graph, ready_for_export

    (work / "fp32").mkdir(parents=True)
    with ready_for_export(load_checkpoint(work / "checkpoint")) as model:
        for spec in (*graph_specs(model), *rewrite_specs(model)):
            export_graph(spec, work / "fp32" / f"{spec.name}.onnx")


def _quantize(work: Path) -> None:
    from cfack_export.precision.int8_cpu import to_int8_cpu

    (work / "int8-cpu").mkdir(parents=True)
    for source in sorted((work / "fp32").glob("*.onnx")):
        to_int8_cpu(source, work / "int8-cpu" / source.name, source.stem, exclude=())


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), *sys.argv[2:3])
