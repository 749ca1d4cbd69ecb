"""An engine: one graph compiled for one kind of GPU, and what the manifest must say of it.

An engine is native code for one library, one version of it and one kind of GPU. Loading the wrong one
runs code that was not meant for the machine, so all of that is written down and compared before a byte
of it reaches the library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cfack_runtime.errors import BundleError
from cfack_runtime.manifest import FileEntry, GraphEntry, Shape, TensorSpec

TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt-rtx"
BUILDERS = (TENSORRT, TENSORRT_RTX)

COMPATIBILITIES = ("none", "ampere+", "same-compute-capability")
"""Which GPUs may run an engine: the kind it was built for; 8.0 and newer; its compute capability."""


@dataclass(frozen=True)
class ShapeRange:
    """Shapes of one input that an engine takes, axis by axis from `min` to `max`; `opt` is the fastest."""

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]

    def contains(self, shape: Sequence[int]) -> bool:
        """Whether an array of this shape may be fed."""
        return len(shape) == len(self.min) and all(
            low <= size <= high for low, size, high in zip(self.min, shape, self.max, strict=True)
        )


Profile = Mapping[str, ShapeRange]
"""Input name -> its shapes; an engine has one or more profiles, and a call uses one of them."""


@dataclass(frozen=True)
class EngineEntry:
    """One engine file of a bundle."""

    file: FileEntry
    precision: str
    graph: str
    builder: str
    """The library that made it and can load it: "tensorrt" or "tensorrt-rtx"."""
    builder_version: str
    """For example "10.13.2.6"."""
    compute_capability: str
    """What it was built for, for example "8.9"."""
    profiles: tuple[Profile, ...]
    onnx_sha256: str
    """Of the ONNX file that it was built from; a stripped engine takes its weights from that file."""
    gpu: str = ""
    """Name of the GPU that it was built on; empty if none was there."""
    compatibility: str = "none"
    """One of `COMPATIBILITIES`."""
    version_compatible: bool = False
    """Whether later releases of the same major version may load it."""
    stripped: bool = False
    """Whether the weights were left out, to be put in from the ONNX file when it is loaded."""
    verified: bool = False
    """Whether a GPU ran it and the parity gate passed."""

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"{self.precision} {self.graph} ({self.builder} {self.builder_version}, {self.target})"

    @property
    def target(self) -> str:
        """What it runs on, in words."""
        if self.compatibility == "ampere+":
            return "compute capability 8.0 and newer"
        return f"compute capability {self.compute_capability}" + (
            f" ({self.gpu} only)" if self.gpu and self.compatibility == "none" else ""
        )


def check_engines(
    engines: Iterable[EngineEntry], graphs: Mapping[str, Mapping[str, GraphEntry]], where: str
) -> None:
    """Check that engines belong to the graphs of their manifest and that no two are the same.

    Args:
        engines: what the manifest says.
        graphs: precision -> graph name -> graph, of the same manifest.
        where: what messages begin with, for example "person.cfack/manifest.json: engines".

    Raises:
        BundleError: an engine has no graph, was built from another file than the graph's, has profiles that
            do not fit the graph's inputs, or occurs twice.
    """
    paths: set[str] = set()
    identities: set[tuple[object, ...]] = set()
    for index, engine in enumerate(engines):
        place = f"{where}[{index}]"
        graph = graphs.get(engine.precision, {}).get(engine.graph)
        if graph is None:
            raise BundleError(
                f"{place}: is for {engine.precision[:80]} {engine.graph[:80]}, a graph that this bundle does "
                "not hold; run `cfack export --rebuild-engines`"
            )
        if engine.onnx_sha256 != graph.file.sha256:
            raise BundleError(
                f"{place}: was built from an ONNX file with SHA-256 {engine.onnx_sha256}, but that of "
                f"{engine.precision} {engine.graph} is {graph.file.sha256}; run `cfack export "
                "--rebuild-engines`"
            )
        for number, profile in enumerate(engine.profiles):
            check_profile(profile, graph.inputs, f"{place}: profiles[{number}]")
        identity = (
            engine.precision,
            engine.graph,
            engine.builder,
            engine.builder_version,
            engine.compute_capability,
            engine.gpu,
            engine.compatibility,
        )
        if engine.file.path in paths or identity in identities:
            raise BundleError(f"{place}: the engine {engine.title} is listed twice")
        paths.add(engine.file.path)
        identities.add(identity)


def check_profile(profile: Profile, inputs: Sequence[TensorSpec], where: str) -> None:
    """Check that a profile names exactly the inputs of its graph and ranges that they can have.

    Raises:
        BundleError: it does not.
    """
    if profile.keys() != {spec.name for spec in inputs}:
        raise BundleError(
            f"{where}: has shapes of {', '.join(sorted(profile))[:200] or 'nothing'}, expected exactly the "
            f"graph's inputs {', '.join(spec.name for spec in inputs)}"
        )
    for spec in inputs:
        shapes = profile[spec.name]
        if not _fits(shapes, spec.shape):
            raise BundleError(
                f"{where}: {spec.name} has min {list(shapes.min)}, opt {list(shapes.opt)} and max "
                f"{list(shapes.max)}, expected min <= opt <= max for the shape {list(spec.shape)}"
            )


def _fits(shapes: ShapeRange, expected: Shape) -> bool:
    if not len(shapes.min) == len(shapes.opt) == len(shapes.max) == len(expected):
        return False
    return all(
        0 < low <= best <= high and (isinstance(axis, str) or low == high == axis)
        for low, best, high, axis in zip(shapes.min, shapes.opt, shapes.max, expected, strict=True)
    )
