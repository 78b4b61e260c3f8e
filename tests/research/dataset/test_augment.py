"""Augmentations commute with mosaicking, and transform flow correctly."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rvdtool.errors import UsageError
from rvdtool.raw.frame import CfaPhase
from rvdtool.research.dataset.augment import Augmentation, fit

SIZE = (21, 30)
CROP = (12, 16)

augmentations = st.builds(
    lambda phase, at, transpose, rows, columns: (
        phase,
        fit(
            SIZE,
            CROP,
            phase,
            at=at,
            transpose=transpose,
            flip_rows=rows,
            flip_columns=columns,
        ),
    ),
    st.sampled_from(CfaPhase),
    st.tuples(st.integers(-5, 40), st.integers(-5, 40)),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


def _ramp() -> NDArray[np.int64]:
    """An RGB picture in which every number is different."""
    return np.arange(SIZE[0] * SIZE[1] * 3).reshape(*SIZE, 3)


def _mosaic(rgb: NDArray[np.int64], phase: CfaPhase) -> NDArray[np.int64]:
    mosaic = np.empty(rgb.shape[:2], rgb.dtype)
    for (row, column), color in np.ndenumerate(phase.pattern):
        mosaic[row::2, column::2] = rgb[row::2, column::2, color]
    return mosaic


@given(augmentations)
def test_moving_and_mosaicking_commute(drawn: tuple[CfaPhase, Augmentation]) -> None:
    phase, augmentation = drawn
    moved = augmentation.apply(_mosaic(_ramp(), phase))
    assert moved.shape == CROP
    assert np.array_equal(moved, _mosaic(augmentation.apply(_ramp()), CfaPhase.RGGB))


@given(augmentations)
def test_moved_flow_leads_to_the_moved_point(drawn: tuple[CfaPhase, Augmentation]) -> None:
    """Flow leads to the same other pixel before and after the augmentation."""
    _, augmentation = drawn
    rng = np.random.default_rng(7)
    height, width = SIZE
    target_y = rng.integers(0, height, SIZE)
    target_x = rng.integers(0, width, SIZE)
    y, x = np.mgrid[:height, :width]
    flow = np.stack([target_x - x, target_y - y], axis=-1).astype(np.float32)
    number = np.arange(height * width).reshape(SIZE)
    moved_number, moved_flow = augmentation.apply(number), augmentation.apply_flow(flow)
    moved_goal = augmentation.apply(number[target_y, target_x])
    for row, column in product(range(CROP[0]), range(CROP[1])):
        to_x = column + int(moved_flow[row, column, 0])
        to_y = row + int(moved_flow[row, column, 1])
        if 0 <= to_x < CROP[1] and 0 <= to_y < CROP[0]:
            assert moved_number[to_y, to_x] == moved_goal[row, column]


def test_the_largest_crop_leaves_out_at_most_a_row_and_a_column() -> None:
    augmentation = fit((20, 30), (18, 28), CfaPhase.BGGR, at=(0, 0))
    assert (augmentation.window.top, augmentation.window.left) == (1, 1)
    fit((20, 30), (20, 30), CfaPhase.RGGB, at=(9, 9))
    with pytest.raises(UsageError, match="18 is the largest"):
        fit((20, 30), (20, 28), CfaPhase.BGGR, at=(0, 0))


@pytest.mark.parametrize("crop", [(11, 16), (12, 0), (40, 16)])
def test_crops_that_cannot_be(crop: tuple[int, int]) -> None:
    with pytest.raises(UsageError):
        fit(SIZE, crop, CfaPhase.RGGB, at=(0, 0))
