"""Registration: what must not pass for a match."""

import numpy as np

from rvdtool.capture.compare import Picture
from rvdtool.capture.register import is_regular


def test_what_turns_the_video_inside_out_is_no_match() -> None:
    video = Picture(np.zeros((60, 80), np.float32), 4)
    assert is_regular(np.eye(3), video)
    assert is_regular(-2 * np.eye(3), video), "a matrix times a number is the same map"
    tilted = np.eye(3)
    tilted[2, 0] = -1 / 300  # the horizon is the column at 300 of 320 pixels
    assert not is_regular(tilted, video)
    assert not is_regular(np.full((3, 3), np.nan), video)
