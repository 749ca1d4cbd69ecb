"""A repeated search allocates its result and nothing else, as far as libcfack itself goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import capi

QUERIES = ["a person in a red coat", "Eine Person, in ROT: <person> (café 赤)", "red"]


@pytest.mark.parametrize("query", QUERIES)
def test_a_search_allocates_nothing_but_its_result(
    toy_bundle: Path, photos: Path, tmp_path: Path, query: str
) -> None:
    library = capi.Library()
    bundle = library.open("bundle", toy_bundle)
    library.index(bundle, photos, tmp_path / "gallery")
    library.c.cfack_bundle_free(bundle)
    program = capi.BUILD / "tests" / "allocations_test"
    done = subprocess.run([program, toy_bundle, tmp_path / "gallery", query], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "round 2: 3 of libcfack" in done.stdout
