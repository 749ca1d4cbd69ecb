"""Files of a gallery as arrays that the system reads when they are touched.

Python's own `mmap` keeps a file descriptor for every map (until 3.13 there is no way to have none), and a
gallery of a thousand segments would use up what a process may have. The system's call needs none.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST_MAP = 1 << 16
"""Smaller files are read: a process may have some 65,000 maps, and a gallery as many segments."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_LIBC.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_FAILED = ctypes.c_void_p(-1).value
_PROT_READ, _MAP_PRIVATE, _MADV_DONTNEED = 1, 2, 4


def map_file(descriptor: int, size: int) -> NDArray[np.uint8]:
    """The bytes of an open file, read-only; they stay readable when the file is closed and unlinked.

    Args:
        descriptor: of a regular file.
        size: its size in bytes, at least 1.

    Returns:
        (size,).

    Raises:
        OSError: the system does not map it, or it is shorter than `size`.
    """
    if size >= SMALLEST_MAP:
        return np.asarray(_Mapping(descriptor, size))
    data = os.pread(descriptor, size, 0)
    if len(data) != size:
        raise OSError(0, f"{len(data)} of {size} bytes could be read")
    return np.frombuffer(data, np.uint8)


def give_back(array: NDArray[Any]) -> None:
    """Take the pages of a mapped array, contiguous, out of the process's memory; others stay as they are.

    The system keeps them as long as it has room. Whoever looks at them again gets the same bytes, also a
    thread that is reading them at this moment.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if not isinstance(owner, _Mapping):  # of memory that no file stands behind, it would make zeros
        return
    address, size = owner.place
    start = max(array.ctypes.data & ~(mmap.PAGESIZE - 1), address)
    end = min(array.ctypes.data + array.nbytes, address + size)
    _LIBC.madvise(start, end - start, _MADV_DONTNEED)


class _Mapping:
    """One map; arrays of it keep it alive."""

    def __init__(self, descriptor: int, size: int) -> None:
        address = _LIBC.mmap(None, size, _PROT_READ, _MAP_PRIVATE, descriptor, 0)
        if address == _FAILED:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self.place = address, size
        self.__array_interface__ = {
            "version": 3,
            "shape": (size,),
            "typestr": "|u1",
            "data": (address, True),  # true: read-only
        }

    def __del__(self) -> None:
        if hasattr(self, "place"):
            _LIBC.munmap(*self.place)
