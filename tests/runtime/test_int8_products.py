from collections.abc import Callable
from pathlib import Path

import pytest

from cfack_runtime.backends import int8_products
from cfack_runtime.backends.int8_products import require_exact_products
from cfack_runtime.errors import BackendError
from cfack_runtime.retriever import Retriever


def test_a_processor_that_has_the_instructions_is_exact() -> None:
    if "vnni" in Path("/proc/cpuinfo").read_text():
        require_exact_products()
    else:
        assert 0 < int8_products._product() <= 2072640


def test_a_processor_that_cuts_sums_off_does_not_run_the_precision(
    write_toy: Callable[..., Path], toy_graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_toy(tmp_path / "two.cfack", graphs={"fp32": toy_graphs, "int8-cpu": toy_graphs})
    monkeypatch.setattr(int8_products, "_product", lambda: 1048544.0)  # 32 pairs of at most 32767

    with pytest.raises(
        BackendError, match=r"int8-cpu is not run here.*got 1048544, expected 2072640.*use fp32"
    ):
        Retriever.open(path, precision="int8-cpu")
    with Retriever.open(path) as opened:
        assert opened.precision == "fp32"
