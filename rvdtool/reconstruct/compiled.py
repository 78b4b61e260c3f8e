"""Compile loops over pixels to machine code, and run them on strips of a frame in threads.

A NumPy expression reads and writes a whole frame for each operator; a compiled loop does all
of them in one pass, and strips of a frame are processed in parallel. Numba compiles a loop on first
use and caches the result beside the module, or in the user's cache folder if that isn't writable.

The strips don't depend on the number of threads, so neither do the results.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import binding, ir
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

STRIP = 64
"""Rows of a strip; even, so that strips consist of complete cells of the mosaic."""
_kernels: list[Any] = []
_RELAXED = {"contract", "nsz", "arcp", "reassoc"}
"""Compiler flags for fast arithmetic that still respects NaN and infinity."""


# To vectorise a loop over many arrays, the compiler adds runtime checks for overlapping arrays, but
# by default only a few. Two rows of one array count as overlapping if one of them is written, so
# each row that a loop writes must be an array of its own.
for _limit in ("runtime-memory-check", "vectorize-memory-check"):
    binding.set_option("", f"-{_limit}-threshold=1000")


def kernel(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a function of arrays and numbers, which then runs without Python's global lock.

    Numbers must be NumPy's (`np.float32`); otherwise arithmetic is done in 64 bits. The types of
    arguments are checked at each call.
    """
    compiled = numba.njit(nogil=True, cache=True, fastmath=_RELAXED, error_model="numpy")
    dispatcher = compiled(function)
    _kernels.append(dispatcher)
    return cast(Callable[..., None], dispatcher)


def must_compile() -> bool:
    """Whether none of the kernels imported so far has been compiled on this machine.

    Some are compiled only when a clip needs them, which takes about a second.
    """
    return not any(map(_is_compiled, _kernels))


def _is_compiled(kernel: Any) -> bool:
    function = kernel.py_func
    module, line = function.__module__.rpartition(".")[2], function.__code__.co_firstlineno
    index = f"{module}.{function.__qualname__}-{line}.*.nbi"
    return any(Path(kernel.stats.cache_path).glob(index))


def inline(function: F) -> F:
    """Compile a function that kernels call."""
    compiled = numba.njit(nogil=True, fastmath=_RELAXED, error_model="numpy", inline="never")
    return cast(F, compiled(function))


def _bitcast(source: Any, target: Any, result_type: Any) -> Any:
    """Make a function for kernels that reinterprets the bits of one type as another."""

    def cast_bits(_context: Any, _value: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], result_type)

        return target(source), generate

    return intrinsic(cast_bits)


_as_int = _bitcast(numba.types.float32, numba.types.int32, ir.IntType(32))
_as_float = _bitcast(numba.types.int32, numba.types.float32, ir.FloatType())


_LN2 = np.float32(np.log(2))
_PER_LN2 = np.float32(1 / np.log(2))
_ONE, _HALF = np.float32(1), np.float32(0.5)
_MANTISSA, _EXPONENT_OF_HALF = np.int32(0x007FFFFF), np.int32(0x3F000000)
_ROOT_HALF = np.float32(np.sqrt(0.5))
_LOWEST, _HIGHEST = np.float32(-87), np.float32(88)
_LOG = tuple(
    np.float32(c)
    for c in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    )
)  # fmt: skip
_EXP = tuple(
    np.float32(c)
    for c in (
        1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
        5.0000001201e-1,
    )
)  # fmt: skip


@inline
def log(x: np.float32) -> np.float32:
    """Natural logarithm of a positive, normal float32, to about 1e-7.

    Unlike the C library's function, the compiler can vectorise it. (Polynomials as in S. Moshier's
    Cephes: minimax on [√½, √2].)
    """
    bits = _as_int(x)
    exponent = np.float32((bits >> np.int32(23)) - np.int32(126))
    mantissa = _as_float((bits & _MANTISSA) | _EXPONENT_OF_HALF)
    low = mantissa < _ROOT_HALF
    exponent = exponent - _ONE if low else exponent
    f = mantissa + mantissa - _ONE if low else mantissa - _ONE
    square = f * f
    p = _LOG[0]
    p = p * f + _LOG[1]
    p = p * f + _LOG[2]
    p = p * f + _LOG[3]
    p = p * f + _LOG[4]
    p = p * f + _LOG[5]
    p = p * f + _LOG[6]
    p = p * f + _LOG[7]
    p = p * f + _LOG[8]
    return f - _HALF * square + p * f * square + exponent * _LN2


@inline
def exp(x: np.float32) -> np.float32:
    """Exponential of a float32, with a relative error of about 1e-7; see `log`."""
    x = min(max(x, _LOWEST), _HIGHEST)
    whole = np.floor(x * _PER_LN2 + _HALF)
    rest = x - whole * _LN2
    p = _EXP[0]
    p = p * rest + _EXP[1]
    p = p * rest + _EXP[2]
    p = p * rest + _EXP[3]
    p = p * rest + _EXP[4]
    p = p * rest + _EXP[5]
    power = _as_float((np.int32(whole) + np.int32(127)) << np.int32(23))
    return (p * rest * rest + rest + _ONE) * power


def set_threads(count: int) -> None:
    """Set the total number of threads that process strips."""
    global _threads
    if count != _threads:
        _threads = count
        _pool.cache_clear()


def threads() -> int:
    """Number of threads that process strips."""
    return _threads


def cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_threads = cores()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_threads, "strips")


def in_strips(rows: int, job: Callable[[int, int], None], step: int = STRIP) -> None:
    """Run `job(first, last)` for strips of `rows`; it must fill rows first..last − 1 of the result.

    The calling thread is one of the threads.
    """
    starts = range(0, rows, step)
    if _threads == 1 or len(starts) == 1:
        for first in starts:
            job(first, min(first + step, rows))
        return
    waiting = iter(starts)

    def take() -> None:
        # `next` on a range's iterator is atomic in the interpreter.
        for first in waiting:
            job(first, min(first + step, rows))

    others: list[Future[None]] = [_pool().submit(take) for _ in range(_threads - 1)]
    try:
        take()
    finally:
        for other in others:
            if not other.cancel():
                other.result()
