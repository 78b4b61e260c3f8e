"""Tones of two frames, and the loss that they predict."""

import numpy as np
import pytest

from rvdtool.video.tones import loss, tones

RANDOM = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def test_tones_are_the_shares_of_levels_in_each_channel() -> None:
    found = tones(RANDOM)
    counts = [np.histogram(RANDOM[..., channel], 32, (0, 256))[0] for channel in range(3)]
    assert found == pytest.approx(np.concatenate(counts) / RANDOM.size)


def test_eight_and_sixteen_bits_have_the_same_tones() -> None:
    assert np.array_equal(tones(RANDOM), tones(RANDOM.astype(np.uint16) * 257))


def test_large_frames_have_the_tones_of_small_ones() -> None:
    large = np.repeat(np.repeat(RANDOM, 8, 0), 8, 1)
    assert np.abs(tones(large) - tones(RANDOM)).sum() < 0.01


def test_moving_objects_do_not_change_tones() -> None:
    assert np.array_equal(tones(np.roll(RANDOM, 7, 1)), tones(RANDOM))


def test_distance_and_new_tones_increase_the_loss() -> None:
    same, other = tones(RANDOM), tones(RANDOM // 2)
    near, far = loss(np.array([1, 10]), np.array([same, same]), same)
    changed, both = loss(np.array([1, 10]), np.array([other, other]), same)
    assert 0 < near < far < both
    assert near < changed < both


def test_loss_is_zero_at_the_raws_frame_and_symmetric() -> None:
    same = tones(RANDOM)
    before, own, after = loss(np.array([-5, 0, 5]), np.array([same] * 3), same)
    assert own == 0
    assert before == after
