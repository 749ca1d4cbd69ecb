"""The manifest on disk: strict reading, and writing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from cfack_runtime.engine import check_engines
from cfack_runtime.engine_json import engines_json, read_engines
from cfack_runtime.errors import BundleError
from cfack_runtime.graph_contract import (
    GRAPHS,
    REWRITES,
    all_signatures,
    check_tensors,
)
from cfack_runtime.manifest import (
    FORMAT,
    FORMAT_VERSION,
    FileEntry,
    Geometry,
    GraphEntry,
    Manifest,
    Preprocessing,
    Scalar,
    TensorSpec,
)
from cfack_runtime.scoring import ScoreCalibration
from cfack_runtime.strict_json import Fields, dump_json, read_object

MANIFEST_NAME = "manifest.json"
LARGEST_MANIFEST = 4 << 20
"""In bytes."""
LARGEST_GRAPH = (1 << 31) - 1
"""In bytes; Protocol Buffers, and so ONNX files, end there."""
LARGEST_DOCUMENT = 64 << 20
"""In bytes."""
LARGEST_FILE = 1 << 40
"""In bytes, of any other file; a larger size in a manifest is a mistake."""
MOST_PRECISIONS = 32
MOST_DOCUMENTS = 64

_LIMITS: dict[str, tuple[int, int]] = {
    "image_height": (1, 65_535),
    "image_width": (1, 65_535),
    "image_token_count": (2, 1 << 20),
    "image_token_width": (1, 1 << 16),
    "text_token_width": (1, 1 << 16),
    "embed_dim": (1, 1 << 16),
    "max_tokens": (3, 1 << 16),
    "vocab_size": (5, 1 << 24),
}
_PRECISION = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_LARGEST_AXIS = 1 << 31


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest; the files that it names are not looked at.

    Members that this version does not know are left alone, so that later ones may add some.

    Raises:
        BundleError: something is missing, malformed or contradictory; the message names it.
    """
    top = read_object(path, LARGEST_MANIFEST, BundleError)
    _check_format(top)
    manifest = Manifest(
        geometry=_geometry(top.object("model")),
        tokenizer=_file(top.object("tokenizer")),
        checkpoint_sha256=top.object("source").sha256("checkpoint_sha256"),
        graphs=_graphs(top.object("graphs")),
        parity=_parity(top.object("parity")),
        documents=_documents(top),
        preprocessing=_preprocessing(top.object("preprocessing")),
        created_by=top.text("created_by", r".*"),
        engines=read_engines(top),
        score_calibration=_score_calibration(top),
    )
    _check_agreement(manifest, top)
    return manifest


def manifest_bytes(manifest: Manifest) -> bytes:
    """Write a manifest as JSON; the same bytes for the same manifest."""
    return dump_json(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "created_by": manifest.created_by,
            "model": asdict(manifest.geometry),
            "preprocessing": asdict(manifest.preprocessing),
            "tokenizer": asdict(manifest.tokenizer),
            "source": {"checkpoint_sha256": manifest.checkpoint_sha256},
            "embedding_space": manifest.embedding_space,
            "graphs": {
                precision: {name: _graph_json(graph) for name, graph in graphs.items()}
                for precision, graphs in manifest.graphs.items()
            },
            "parity": {precision: dict(summary) for precision, summary in manifest.parity.items()},
            "engines": engines_json(manifest.engines),
            "score_calibration": asdict(manifest.score_calibration) if manifest.score_calibration else None,
            "documents": [asdict(entry) for entry in manifest.documents],
        }
    )


def _score_calibration(top: Fields) -> ScoreCalibration | None:
    if not top.optional("score_calibration"):
        return None
    fitted = top.object("score_calibration")
    slope, offset = (fitted.number(name) for name in ("slope", "offset"))
    cosine = fitted.number("cosine") if fitted.optional("cosine") else 0.0
    if slope <= 0:
        raise BundleError(f"{fitted.where}: slope is {slope}, expected a positive number")
    if cosine < 0:
        raise BundleError(f"{fitted.where}: cosine is {cosine}, expected 0 or a positive number")
    pairs = fitted.integer("pairs", 2, 1 << 53)
    return ScoreCalibration(slope, offset, pairs, fitted.sha256("split_sha256"), cosine)


def _check_format(top: Fields) -> None:
    name = top.text("format")
    if name != FORMAT:
        raise BundleError(f"{top.where}: format is {name[:80]!r}, expected {FORMAT!r}; this is no bundle")
    version = top.integer("format_version", 0, 1 << 31)
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{top.where}: format version {version}, but this is a reader of version {FORMAT_VERSION}; "
            "export the checkpoint again, or install the CFACK that wrote the bundle"
        )


def _check_agreement(manifest: Manifest, top: Fields) -> None:
    signatures = all_signatures(manifest.geometry)
    for precision, graphs in manifest.graphs.items():
        if precision not in manifest.parity:
            raise BundleError(
                f"{top.where}: parity has nothing about precision {precision}; a graph that nobody "
                "compared with PyTorch is not run"
            )
        for name, graph in graphs.items():
            where = f"{top.where}: graphs: {precision}: {name}"
            inputs, outputs = signatures[name]
            check_tensors(graph.inputs, inputs, f"{where}: inputs")
            check_tensors(graph.outputs, outputs, f"{where}: outputs")
    check_engines(manifest.engines, manifest.graphs, f"{top.where}: engines")
    stated = top.sha256("embedding_space")
    if stated != manifest.embedding_space:
        raise BundleError(
            f"{top.where}: embedding_space is {stated}, but weights, tokenizer and preprocessing make it "
            f"{manifest.embedding_space}; the manifest was edited, export again"
        )


def _geometry(model: Fields) -> Geometry:
    return Geometry(**{f.name: model.integer(f.name, *_LIMITS[f.name]) for f in fields(Geometry)})


def _preprocessing(rules: Fields) -> Preprocessing:
    known = Preprocessing()
    for name, rule in asdict(known).items():
        if rules.text(name) != rule:
            raise BundleError(
                f"{rules.where}: {name} is {rules.text(name)[:80]!r}, but this version only knows {rule!r}; "
                "install the CFACK that wrote the bundle"
            )
    return known


def _file(entry: Fields, largest: int = LARGEST_FILE) -> FileEntry:
    return FileEntry(entry.text("path"), entry.sha256("sha256"), entry.integer("size", 1, largest))


def _documents(top: Fields) -> tuple[FileEntry, ...]:
    entries = top.objects("documents")
    if len(entries) > MOST_DOCUMENTS:
        raise BundleError(f"{top.where}: {len(entries)} documents, at most {MOST_DOCUMENTS} are read")
    return tuple(_file(entry, LARGEST_DOCUMENT) for entry in entries)


def _graphs(precisions: Fields) -> dict[str, dict[str, GraphEntry]]:
    if not precisions.values:
        raise BundleError(f"{precisions.where}: is empty, expected at least one precision")
    if len(precisions.values) > MOST_PRECISIONS:
        raise BundleError(
            f"{precisions.where}: {len(precisions.values)} precisions, at most {MOST_PRECISIONS} are read"
        )
    return {_precision(name, precisions): _graph_set(precisions.object(name)) for name in precisions.values}


def _graph_set(graphs: Fields) -> dict[str, GraphEntry]:
    missing = [name for name in GRAPHS if name not in graphs.values]
    if missing:
        raise BundleError(f"{graphs.where}: {', '.join(missing)} missing; export again")
    found = {}
    for name in (*GRAPHS, *(name for name in REWRITES if name in graphs.values)):
        graph = graphs.object(name)
        found[name] = GraphEntry(
            _file(graph, LARGEST_GRAPH), _tensors(graph, "inputs"), _tensors(graph, "outputs")
        )
    return found


def _tensors(graph: Fields, side: str) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            tensor.text("name"), tensor.text("dtype"), tuple(_axis(a, tensor) for a in tensor.list("shape"))
        )
        for tensor in graph.objects(side)
    )


def _axis(axis: Any, tensor: Fields) -> int | str:
    if isinstance(axis, str) and 0 < len(axis) <= 64:
        return axis
    if isinstance(axis, int) and not isinstance(axis, bool) and 0 < axis < _LARGEST_AXIS:
        return axis
    raise BundleError(f"{tensor.where}: shape holds {str(axis)[:80]!r}, expected positive numbers or names")


def _parity(precisions: Fields) -> dict[str, Mapping[str, Scalar]]:
    return {_precision(name, precisions): _summary(precisions.object(name)) for name in precisions.values}


def _summary(summary: Fields) -> dict[str, Scalar]:
    summary.boolean("passed")
    for name, value in summary.values.items():
        if not isinstance(value, bool | int | float | str):
            raise BundleError(f"{summary.where}: {name[:80]} is no number, string or boolean")
    return dict(summary.values)


def _precision(name: str, precisions: Fields) -> str:
    if not _PRECISION.fullmatch(name):
        raise BundleError(f"{precisions.where}: {name[:80]!r} is no name of a precision")
    return name


def _graph_json(graph: GraphEntry) -> dict[str, Any]:
    return {
        **asdict(graph.file),
        "inputs": [{**asdict(spec), "shape": list(spec.shape)} for spec in graph.inputs],
        "outputs": [{**asdict(spec), "shape": list(spec.shape)} for spec in graph.outputs],
    }
