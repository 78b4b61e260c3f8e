import numpy as np
import pytest
from raw_samples import make_frame

from rvdtool.errors import RawError
from rvdtool.raw.frame import levels4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mosaic": np.zeros((4, 4), np.float32)}, "uint16"),
        ({"mosaic": np.zeros((4, 4, 3), np.uint16)}, "uint16"),
        ({"mosaic": np.zeros((1, 4), np.uint16)}, "2×2"),
        ({"bits": 17}, "bits"),
        ({"white": 4096}, "levels"),
        ({"black": (0, 0, 0, 4095.0)}, "levels"),
        ({"black": (-1.0, 0, 0, 0)}, "levels"),
        ({"orientation": 0}, "orientation"),
    ],
)
def test_a_frame_checks_itself(changes, message):
    with pytest.raises(RawError, match=message):
        make_frame(**changes)


def test_other_pixels_must_have_the_same_size():
    frame = make_frame((22, 34))
    assert frame.with_mosaic(frame.mosaic + 1).mosaic[0, 0] == frame.mosaic[0, 0] + 1
    with pytest.raises(RawError, match="expected"):
        frame.with_mosaic(np.zeros((22, 33), np.uint16))


def test_levels_are_four():
    assert levels4(np.arange(4)) == (0.0, 1.0, 2.0, 3.0)
    with pytest.raises(ValueError, match="unpack"):
        levels4([1, 2, 3])
