from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import rawpy
from raw_samples import make_frame

from rvdtool.errors import RawError
from rvdtool.raw.bayer import color_index
from rvdtool.raw.dng import encode_dng
from rvdtool.raw.frame import CfaPhase, Tag
from rvdtool.raw.render import default_render, render


def grey(level, phase=CfaPhase.RGGB, size=(40, 60), **changes):
    """A frame of an evenly lit grey card at `level` of white, as seen by the camera."""
    frame = make_frame(size, phase, **changes)
    neutral = np.array(frame.profile.as_shot_neutral)
    light = level * neutral[color_index(phase, size)]
    black = np.tile(np.reshape(frame.black, (2, 2)), (20, 30))
    return frame.with_mosaic(np.rint(black + light * (frame.white - black)).astype(np.uint16))


@pytest.mark.parametrize("phase", CfaPhase)
def test_grey_stays_grey_in_every_phase(phase):
    picture = render(grey(0.18, phase))
    assert picture.dtype == np.uint8
    assert picture.shape == (40, 60, 3)
    spread = picture.max(axis=2).astype(int) - picture.min(axis=2)
    assert spread.max() <= 1


def test_the_curve_is_bt709():
    """0.18 of the red, the least sensitive channel's, white; BT.709: 1.099·L^0.45 − 0.099."""
    picture = render(grey(0.18))
    expected = 255 * (1.099 * 0.18**0.45 - 0.099)
    assert np.abs(picture.astype(float) - expected).max() < 2


def test_brightness_is_steady_unless_asked():
    dark, bright = grey(0.02), grey(0.3)
    assert render(dark).mean() < 0.5 * render(bright).mean()
    assert render(dark, auto_bright=True).mean() > 2 * render(dark).mean()


def test_black_level_and_depth_do_not_show():
    """The same light in 10 and 14 bits over other black levels gives the same picture."""
    ten = render(grey(0.5, bits=10, black=(20.5, 20.0, 21.0, 20.25)))
    fourteen = render(grey(0.5, bits=14, black=(512.0, 512.0, 513.0, 500.0)))
    assert np.abs(ten.astype(int) - fourteen).max() <= 1


def test_the_papers_rendering_is_rawpys_default():
    frame = make_frame((40, 60), orientation=6)
    with rawpy.imread(BytesIO(encode_dng(frame))) as raw:
        assert np.array_equal(default_render(frame), raw.postprocess())


def test_pictures_lie_as_they_are_wanted():
    frame = replace(grey(0.18), orientation=6)
    assert render(frame).shape == (60, 40, 3)
    flat = render(frame, upright=False)
    assert np.array_equal(flat, render(replace(frame, orientation=1)))


def test_too_small_for_libraw():
    with pytest.raises(RawError, match="at least 22"):
        render(make_frame((20, 30)))


def test_pixels_that_are_not_square_are_not_stretched():
    """LibRaw would make 80 rows of 40, and the picture would no longer match the mosaic."""
    frame = grey(0.18)
    tall = replace(frame.profile, tags=(Tag(50718, 5, 2, (1, 1, 2, 1)),))
    assert np.array_equal(render(replace(frame, profile=tall)), render(frame))
    assert np.array_equal(default_render(replace(frame, profile=tall)), default_render(frame))
