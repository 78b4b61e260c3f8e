"""Reuse the memory of arrays of a frame's size.

The system maps and clears new memory page by page, which often takes longer than the loop that
fills it. So when the last view of an array is deleted, its memory is kept for the next array of
that size.
"""

import ctypes
import math
import sys
import weakref
from collections import deque

import numpy as np

from rvdtool.reconstruct.statistics import Array

_SMALL = 1 << 18
"""Number of elements below which NumPy's own allocation is as fast."""
_free: dict[int, deque[Array]] = {}

# By default, glibc returns large blocks to the system as soon as they are free, and has separate
# memory for each thread. Here it keeps large blocks, and all threads share them. So OpenCV's and
# PyTorch's temporary images, which can't be allocated here, cause no page faults (these took up to
# a fifth of a frame's time), and the peak is 300 MB lower at 1600×900.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_NEVER = 2**31 - 1
if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
    ctypes.CDLL(None).mallopt(_TRIM_THRESHOLD, _NEVER)
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _NEVER)
    ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def empty(shape: tuple[int, ...]) -> Array:
    """An uninitialised float32 array, like `np.empty`."""
    size = math.prod(shape)
    if size < _SMALL:
        return np.empty(shape, np.float32)
    free = _free.setdefault(size, deque())
    try:
        memory = free.pop()
    except IndexError:
        memory = np.empty(size, np.float32)
    # Views refer to `array` itself, because its base isn't an array, and so keep it alive.
    array = np.frombuffer(memory.data, np.float32)
    weakref.finalize(array, free.append, memory).atexit = False
    return array.reshape(shape)


def release_with(owner: object) -> None:
    """Return all unused memory to the system when `owner` is deleted."""
    weakref.finalize(owner, _free.clear).atexit = False
