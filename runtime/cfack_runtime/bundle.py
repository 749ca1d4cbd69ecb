"""A bundle: the folder that holds an exported model and everything needed to run it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cfack_runtime.bundle_files import check_hash, check_size, copy_into, file_entry
from cfack_runtime.contained import contained_file
from cfack_runtime.engine import EngineEntry
from cfack_runtime.errors import BundleError, DataError
from cfack_runtime.files import atomic_folder
from cfack_runtime.graph_contract import (
    GRAPHS,
    REWRITES,
    Signature,
    all_signatures,
)
from cfack_runtime.manifest import FileEntry, Geometry, GraphEntry, Manifest, Scalar
from cfack_runtime.manifest_json import MANIFEST_NAME, manifest_bytes, read_manifest
from cfack_runtime.strict_json import dump_json
from cfack_runtime.tokenizer import CaptionTokenizer

LARGEST_TOKENIZER = 64 << 20
"""In bytes; the tokenizer is the one file that is read into memory as a whole."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. Made by `Bundle.open`, so its files were there and were the right ones."""

    path: Path
    """Absolute."""
    manifest: Manifest
    tokenizer: CaptionTokenizer

    @classmethod
    def open(cls, path: str | Path, *, check_graphs: bool = True) -> Bundle:
        """Read the manifest and check every file that it names.

        Paths, sizes and the hashes of the small files are always checked. Files are hashed in pieces, so
        that memory stays bounded.

        Args:
            path: the bundle's folder.
            check_graphs: hash the graphs of all precisions. Without it, call `check_graphs` with the
                precision that is going to be loaded.

        Raises:
            BundleError: anything is not as the manifest says, or the manifest is not as `docs/bundle.md`
                says.
        """
        path = Path(path)
        if not path.is_dir():
            raise BundleError(f"{path}: no such folder; `cfack export` writes a bundle")
        path = path.resolve()
        manifest = read_manifest(contained_file(path, MANIFEST_NAME, BundleError))
        for graphs in manifest.graphs.values():
            for graph in graphs.values():
                check_size(path, graph.file)
        for engine in manifest.engines:  # hashed by whoever loads one, right before
            check_size(path, engine.file)
        for entry in manifest.documents:
            check_hash(path, entry)
        bundle = cls(path, manifest, _open_tokenizer(path, manifest))
        if check_graphs:
            for precision in manifest.graphs:
                bundle.check_graphs(precision)
        return bundle

    @property
    def embedding_space(self) -> str:
        """Identity of what makes embeddings comparable."""
        return self.manifest.embedding_space

    def check_graphs(self, precision: str) -> None:
        """Hash the graphs of one precision, side by side.

        Raises:
            BundleError: a graph is not the one that was exported, or there is no such precision.
        """
        entries = [graph.file for graph in self.graphs(precision).values()]
        with ThreadPoolExecutor(thread_name_prefix="cfack-hash") as pool:
            for _ in pool.map(partial(check_hash, self.path), entries):
                pass

    def has_graph(self, precision: str, name: str) -> bool:
        """Say whether a precision has a graph: one of `GRAPHS` always, one of `REWRITES` maybe.

        Raises:
            BundleError: there is no such precision.
        """
        return name in self.graphs(precision)

    def graph(self, precision: str, name: str) -> GraphEntry:
        """Return what the manifest says about a graph.

        Raises:
            BundleError: there is no such precision, or it does not have that graph.
        """
        graphs = self.graphs(precision)
        if name not in graphs:
            raise BundleError(
                f"{self.path}: precision {precision} has no graph {name!r}, only {', '.join(graphs)}; "
                "export again with it"
            )
        return graphs[name]

    def graphs(self, precision: str) -> Mapping[str, GraphEntry]:
        """Graph name -> what the manifest says, of one precision.

        Raises:
            BundleError: there is no such precision.
        """
        if precision not in self.manifest.graphs:
            raise BundleError(
                f"{self.path}: holds no precision {precision!r}, only {', '.join(self.manifest.graphs)}; "
                "ask for one of these, or export again"
            )
        return self.manifest.graphs[precision]

    def graph_path(self, precision: str, name: str) -> Path:
        """Return the absolute path of a graph's ONNX file.

        Raises:
            BundleError: there is no such precision, or the file has gone.
        """
        return contained_file(self.path, self.graph(precision, name).file.path, BundleError)


def write_bundle(
    out: str | Path,
    *,
    graphs: Mapping[str, str | Path],
    geometry: Geometry,
    tokenizer_json: str,
    checkpoint_sha256: str,
    parity: Mapping[str, Mapping[str, Any]],
    readme: str,
    created_by: str = "",
    signatures: Mapping[str, Mapping[str, Signature]] | None = None,
    parity_document: Mapping[str, Any] | None = None,
    engines: Sequence[tuple[EngineEntry, Path]] = (),
    overwrite: bool = False,
) -> Bundle:
    """Make a bundle of finished ONNX files, under its final name only when it is whole.

    Args:
        out: the folder to write, conventionally NAME.cfack.
        graphs: precision -> folder that holds image_encoder.onnx, text_encoder.onnx and reranker.onnx, and
            maybe reranker_one_text.onnx and reranker_one_image.onnx.
        geometry: the sizes of the model.
        tokenizer_json: content of `tokenizer.json`.
        checkpoint_sha256: hash of the weights that the graphs come from.
        parity: precision -> report. `"passed"` is required; numbers, strings and booleans of the report
            also go into the manifest, `parity.json` has the whole unless `parity_document` is given.
        readme: content of `README.md`, for people.
        created_by: program and version.
        signatures: precision -> graph name -> inputs and outputs, where they are not those of
            `all_signatures` (float16 tokens).
        parity_document: content of `parity.json`.
        engines: what the manifest says of each engine, and the file to copy.
        overwrite: replace an existing bundle.

    Raises:
        BundleError: something is missing or breaks the contract of the graphs; nothing was written.
        UsageError: `out` exists and `overwrite` is off.
    """
    contract = all_signatures(geometry)
    with atomic_folder(out, overwrite=overwrite) as folder:
        manifest = Manifest(
            geometry=geometry,
            tokenizer=_write(folder, "tokenizer.json", tokenizer_json.encode()),
            checkpoint_sha256=checkpoint_sha256,
            graphs={
                precision: _copy_graphs(
                    Path(source),
                    folder,
                    precision,
                    (signatures or {}).get(precision, contract),
                )
                for precision, source in graphs.items()
            },
            parity={precision: _summary(report) for precision, report in parity.items()},
            documents=(
                _write(folder, "README.md", readme.encode()),
                _write(folder, "parity.json", dump_json(parity_document or parity)),
            ),
            created_by=created_by,
            engines=tuple(entry for entry, _ in engines),
        )
        for entry, source in engines:
            copy_into(folder, entry.file, source)
        (folder / MANIFEST_NAME).write_bytes(manifest_bytes(manifest))
        Bundle.open(folder)
    return Bundle.open(out, check_graphs=False)


def _write(folder: Path, name: str, data: bytes) -> FileEntry:
    (folder / name).write_bytes(data)
    return file_entry(folder, name)


def _copy_graphs(
    source: Path, folder: Path, precision: str, signatures: Mapping[str, Signature]
) -> dict[str, GraphEntry]:
    (folder / "onnx" / precision).mkdir(parents=True)
    entries = {}
    rewrites = [name for name in REWRITES if (source / f"{name}.onnx").exists()]
    for name in (*GRAPHS, *rewrites):
        relative = f"onnx/{precision}/{name}.onnx"
        try:
            shutil.copyfile(source / f"{name}.onnx", folder / relative)
        except OSError as error:
            raise BundleError(f"{source / name}.onnx: cannot be copied: {error.strerror}") from error
        entries[name] = GraphEntry(file_entry(folder, relative), *signatures[name])
    return entries


def _summary(report: Mapping[str, Any]) -> dict[str, Scalar]:
    return {name: value for name, value in report.items() if isinstance(value, bool | int | float | str)}


def _open_tokenizer(folder: Path, manifest: Manifest) -> CaptionTokenizer:
    entry = manifest.tokenizer
    if entry.size > LARGEST_TOKENIZER:
        raise BundleError(
            f"{folder / entry.path}: {entry.size} bytes, at most {LARGEST_TOKENIZER} are read into memory"
        )
    path = check_hash(folder, entry)
    try:
        tokenizer = CaptionTokenizer.from_file(path, manifest.geometry.max_tokens)
    except DataError as error:
        raise BundleError(str(error)) from error
    if tokenizer.vocab_size > manifest.geometry.vocab_size:
        raise BundleError(
            f"{path}: holds {tokenizer.vocab_size} tokens, but the text encoder knows "
            f"{manifest.geometry.vocab_size}; export again with the model's own tokenizer"
        )
    return tokenizer
