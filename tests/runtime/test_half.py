import subprocess
import sys

import numpy as np
import pytest

from cfack_runtime.half import as_type

EVERY_HALF = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(256, 256)


@pytest.mark.parametrize("rows", [256, 3], ids=["by ONNX Runtime", "by NumPy"])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_number_is_the_one_that_numpy_gives(rows: int, transposed: bool) -> None:
    halves = EVERY_HALF[:rows].T if transposed else EVERY_HALF[:rows]
    wide = as_type(halves, np.float32)
    assert wide.dtype == np.float32
    assert wide.flags.c_contiguous
    np.testing.assert_array_equal(wide, halves.astype(np.float32))


def test_what_has_its_type_is_not_copied() -> None:
    array = np.zeros((200, 200), np.float32)
    assert as_type(array, np.float32) is array
    assert as_type(array, np.float16).dtype == np.float16


def test_without_onnxruntime_numpy_does_it() -> None:
    code = """
import sys
sys.modules["onnxruntime"] = None
import numpy as np
from cfack_runtime.half import as_type
print(as_type(np.full(1 << 15, 0.5, np.float16), np.float32).sum())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "16384.0\n"
