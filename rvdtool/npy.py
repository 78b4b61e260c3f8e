"""NumPy's files, without trusting what their headers claim."""

from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import InputError, brief

NPY_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TokenError,
)
"""Errors that NumPy raises for a damaged .npy file, whose header is a Python expression."""


def map_array(path: Path) -> NDArray[Any]:
    """Map the array of a .npy file: read it only when it is used, as a header may claim any size.

    Raises:
        InputError: the file isn't a .npy file, or is damaged.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except NPY_DAMAGE as error:
        raise InputError(
            f"{path}: can't be read: not a NumPy array, or cut short: {brief(error)}"
        ) from error
