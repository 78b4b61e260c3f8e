"""A camera's tags on another grid."""

from dataclasses import replace

import numpy as np
import pytest
from raw_samples import make_frame

from rvdtool.raw.bayer import crop, orient, to_planes
from rvdtool.raw.frame import CfaPhase, RawFrame, Rect, Tag
from rvdtool.raw.resample import resample

SCALE = Tag(50718, 5, 4, (1, 1, 2, 1))  # pixels twice as high as wide


def frame_with(*tags, **changes) -> RawFrame:
    frame = make_frame((40, 40), **changes)
    return replace(frame, profile=replace(frame.profile, tags=tags))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_shape_of_pixels_turns_with_them(orientation):
    turned = orient(crop(frame_with(SCALE, orientation=orientation), Rect(1, 1, 30, 36)))
    (scale,) = turned.profile.tags
    assert scale.value == ((2, 1, 1, 1) if orientation >= 5 else (1, 1, 2, 1))


def test_resampled_pixels_have_the_videos_shape():
    placed = resample(frame_with(SCALE), ((1, 0, 0), (0, 0.5, 0), (0, 0, 1)), (40, 40))
    assert placed.profile.tags == ()


def test_on_another_grid_no_program_takes_the_frame_for_the_cameras_own():
    frame = frame_with()
    assert crop(frame, Rect(0, 0, 40, 40)).profile == frame.profile
    for moved in (crop(frame, Rect(0, 0, 30, 40)), orient(replace(frame, orientation=8))):
        assert (moved.profile.make, moved.profile.model) == ("Acme", "Filmer 3000 (rvdtool)")
        assert moved.profile.unique_model == frame.profile.unique_model
        assert crop(moved, Rect(0, 0, 20, 20)).profile.model == moved.profile.model


@pytest.mark.parametrize("scale", [1.0, 1.4, 3.0])
@pytest.mark.parametrize("given", [(2e-4, 1e-6), (1e-4, 1e-6, 2e-4, 1e-6, 3e-4, 1e-6)])
def test_the_noise_profile_says_what_averaging_leaves(scale, given):
    """Compared with measurements on frames of pure noise."""
    noise = np.random.default_rng(0).normal(2000, 100, (400, 400))
    frame = make_frame(mosaic=np.rint(noise).astype(np.uint16), phase=CfaPhase.GBRG)
    tag = Tag(51041, 12, len(given), given)
    frame = replace(frame, profile=replace(frame.profile, tags=(tag,)))
    size = int(400 / scale) - 2
    placed = resample(frame, ((scale, 0, 0.3), (0, scale, 0.3), (0, 0, 1)), (size, size))
    (left,) = placed.profile.tags
    red, first, second, blue = to_planes(placed.mosaic, placed.phase).astype(float).var((1, 2))
    assert left.count == len(left.value) == 6
    for place, variance in enumerate((red, (first + second) / 2, blue)):
        said = left.value[2 * place] / (given * 3)[2 * place]
        assert said == pytest.approx(variance / 100**2, rel=0.1)


def test_a_noise_profile_of_other_planes_is_dropped_and_named():
    frame = frame_with(Tag(51041, 12, 1, 1e-4))
    assert crop(frame, Rect(0, 0, 30, 30)).profile.tags == frame.profile.tags
    placed = resample(frame, ((1, 0, 0.5), (0, 1, 0.5), (0, 0, 1)), (30, 30))
    assert placed.profile.dropped == ("NoiseProfile",)
