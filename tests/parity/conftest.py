"""A gallery of coloured images and the toy model, which finds every one of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cfack.data.annotations import ImageRecord, Split, write_split
from cfack_export.parity import Run, SplitSample
from cfack_export.parity.backends import open_graphs
from cfack_export.parity.verify import read_sample
from cfack_runtime.bundle import Bundle

_BANDS = [
    ("red", "blue", "red"),
    ("green", "green", "red"),
    ("blue", "blue", "green"),
    ("yellow", "yellow", "green"),
    ("red", "red", "green"),
    ("blue", "red", "blue"),
]


@pytest.fixture
def data(tmp_path: Path, save_bands: Callable[..., None]) -> Path:
    """A prepared data set: every image is an identity, described by its colours."""
    records = []
    for number, bands in enumerate(_BANDS):
        save_bands(tmp_path / "data" / "imgs" / f"{number}.png", bands)
        records.append(ImageRecord(f"{number}.png", number, (f"a person in {' '.join(bands)} coat",)))
    split = Split("test", "toy", tmp_path / "data" / "imgs", tuple(records))
    write_split(tmp_path / "data", split)
    return tmp_path / "data"


@pytest.fixture
def bundle(toy_bundle: Path) -> Bundle:
    return Bundle.open(toy_bundle)


@pytest.fixture
def sample(bundle: Bundle, data: Path) -> SplitSample:
    return read_sample(bundle, data)


@pytest.fixture
def runs(bundle: Bundle) -> Iterator[dict[str, Run]]:
    with open_graphs(bundle, "fp32", backend="onnxruntime", device="cpu", threads=1) as graphs:
        yield dict(graphs.runs)
