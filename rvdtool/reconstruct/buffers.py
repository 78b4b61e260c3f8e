"""Memory for maps of a frame's size, used again and again.

Fresh memory costs the system more than many a loop that fills it: it is mapped and cleared page by
page. Here, an array whose last view is gone leaves its memory to the next one of its size.
"""

import math
import weakref
from collections import deque

import numpy as np

from rvdtool.reconstruct.statistics import Array

_SMALL = 1 << 18
"""Elements of an array for which memory from NumPy is as good."""
_free: dict[int, deque[Array]] = {}

# glibc gives blocks as large as the largest one freed so far (up to 32 MB) from memory that it
# keeps. OpenCV's and PyTorch's temporary images, which can't be made here, profit: they fault half
# as many pages in.
np.empty(31 << 20, np.uint8)


def empty(shape: tuple[int, ...]) -> Array:
    """An array that isn't filled, float32, as `np.empty` gives one."""
    size = math.prod(shape)
    if size < _SMALL:
        return np.empty(shape, np.float32)
    free = _free.setdefault(size, deque())
    try:
        memory = free.pop()
    except IndexError:
        memory = np.empty(size, np.float32)
    # Views of `array` keep it alive, as what it lies in is no array itself.
    array = np.frombuffer(memory.data, np.float32)
    weakref.finalize(array, free.append, memory).atexit = False
    return array.reshape(shape)


def release_with(owner: object) -> None:
    """Give the memory that nobody uses back to the system when `owner` is gone."""
    weakref.finalize(owner, _free.clear).atexit = False
