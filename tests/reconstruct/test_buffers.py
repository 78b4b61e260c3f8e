"""Memory is reused, but never while it is in use."""

import numpy as np

from rvdtool.reconstruct.buffers import empty

SHAPE = (512, 600)


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def test_memory_is_reused_after_its_last_view_is_deleted() -> None:
    first = empty(SHAPE)
    assert first.dtype == np.float32
    assert first.shape == SHAPE
    assert first.flags.c_contiguous
    assert first.flags.writeable
    place, part = address(first), first[3:][::2]
    del first
    other = empty(SHAPE)
    assert not np.shares_memory(other, part)
    del part
    assert address(empty(SHAPE[::-1])) == place


def test_memory_in_use_is_never_overwritten() -> None:
    kept = []
    for number in range(5):
        empty(SHAPE).fill(-1)
        array = empty(SHAPE)
        array.fill(number)
        kept.append(array[::7])
        del array
    assert all((array == number).all() for number, array in enumerate(kept))
