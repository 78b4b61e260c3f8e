"""Validate a chain's state that was read from a file."""

from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from rvdtool.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S", bound="DataclassInstance")

_LIMITS = {
    "far": (-1e9, 1e9),  # pixels; OpenCV crashes on infinity and NaN
    "variance": (0, np.inf),
    "brightness": (1e-30, 1e30),
    "exposure": (1e-30, 1e30),
}


def checked_state(state: S, like: S, index: int) -> S:
    """Return a state that was read from a file if a chain can continue from it.

    Args:
        state: a dataclass of numbers and arrays, including `index`.
        like: a state of this chain.
        index: expected frame number of the state, counted from the chain's reference.

    Raises:
        OutputError: a value has another type or shape than the chain's, isn't finite or is
            impossible, or the state belongs to another frame.
    """
    for field in fields(like):
        value, known = getattr(state, field.name), getattr(like, field.name)
        fits = type(value) is type(known)
        if fits and isinstance(known, np.ndarray):
            fits = (value.dtype, value.shape) == (known.dtype, known.shape)
        if fits and field.name == "index":
            fits = value == index
        if fits:
            low, high = _LIMITS.get(field.name, (-np.inf, np.inf))
            fits = bool(np.isfinite(value).all() and np.min(value) >= low and np.max(value) <= high)
        if not fits:
            raise OutputError(
                f"the interrupted run's state is damaged ({field.name}); use --overwrite to "
                "start again"
            )
    return state
