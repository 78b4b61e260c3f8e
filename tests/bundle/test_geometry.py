"""A homography in words: its centre, scale and rotation."""

import numpy as np
import pytest

from rvdtool.bundle.convert import geometry
from rvdtool.bundle.transform import Homography


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 2.5, -90.0, 135.0])
def test_a_similarity_is_named_by_its_parts(mirrored: bool, degrees: float) -> None:
    """Built as a RAW gets onto the grid: mirrored, rotated clockwise, scaled down, shifted."""
    turn = np.deg2rad(degrees)
    # Clockwise where y points down
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = rotation @ np.diag([-1.0 if mirrored else 1.0, 1.0]) / 2.5
    inverse = np.linalg.inv(linear) @ np.diag([2.0, 1.0])  # pixels twice as wide as high
    shift = np.array([400.0, 300.0]) - inverse @ [31.5, 23.5]
    matrix = np.vstack([np.column_stack([inverse, shift]), [0, 0, 1]])
    found = geometry(
        Homography(
            kind="homography",
            sensor_height=600,
            sensor_width=800,
            grid_height=48,
            grid_width=64,
            matrix=tuple(tuple(row) for row in matrix.tolist()),
        )
    )
    assert (found.column, found.row) == pytest.approx((400, 300))
    assert found.scales == pytest.approx((5.0, 2.5))
    assert found.degrees == pytest.approx(degrees)
    assert found.mirrored is mirrored
