"""Smooth surfaces are followed while their tone changes, and nothing else is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from rvdtool.reconstruct.flow import Flow
from rvdtool.reconstruct.motion import Motion
from rvdtool.reconstruct.statistics import Array
from rvdtool.reconstruct.tracked import Levels, Tracked

SIZE = 128, 192
MOVED = 16
BEFORE, AFTER = (slice(6, 10), slice(6, 12)), (slice(6, 10), slice(8, 14))
"""The object's blocks in both frames."""


def pixels(blocks: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = (slice(8 * side.start, 8 * side.stop) for side in blocks)
    return rows, columns


def picture(blocks: tuple[slice, slice], value: float) -> Array:
    """A mosaic of a flat object before a flat background."""
    image = np.full(SIZE, 0.2, np.float32)
    image[pixels(blocks)] = value
    return image


@pytest.fixture
def near() -> Flow:
    """The object has moved to the right, the background hasn't moved."""
    flow = np.zeros((*SIZE, 2), np.float32)
    flow[pixels(AFTER)] = (-MOVED, 0)
    return flow


def followed(
    now: Array,
    near: Flow,
    far: Flow | None = None,
    known: NDArray[np.bool_] | None = None,
    was: float = 0.5,
) -> NDArray[np.bool_]:
    """Blocks that are followed from the reference frame, whose object `was` as bright, to `now`."""
    first, none = picture(BEFORE, was), np.zeros((16, 24), np.bool_)
    before = Tracked.of(first, ~none if known is None else known)
    motion, levels = Motion(near, near if far is None else far), Levels.of(first)
    after = before.follow(Tracked.of(now, none), ~none, motion, np.zeros_like(near), levels)
    return after.same


def test_a_surface_is_followed_whose_tone_changes(near: Flow) -> None:
    same = followed(picture(AFTER, 0.53), near)
    assert same[AFTER].all()
    uncovered = BEFORE[0], slice(BEFORE[1].start, AFTER[1].start)
    assert not same[uncovered].any()
    assert same[:5].all()
    assert same[11:].all()


@pytest.mark.parametrize("value", [0.43, 0.6])
def test_a_larger_change_is_another_surface(near: Flow, value: float) -> None:
    assert not followed(picture(AFTER, value), near)[AFTER].any()


def test_saturated_raw_is_not_followed(near: Flow) -> None:
    same = followed(picture(AFTER, 0.97), near, was=0.97)
    assert not same[AFTER].any()
    assert same[:5].all()
    assert followed(picture(AFTER, 0.94), near, was=0.94)[AFTER].all()


def test_another_colour_is_another_surface(near: Flow) -> None:
    now = picture(AFTER, 0.5)
    now[::2, ::2] *= 1.1
    assert not followed(now, near).any()


def test_what_was_not_known_stays_unknown(near: Flow) -> None:
    known = np.ones((16, 24), np.bool_)
    known[BEFORE] = False
    same = followed(picture(AFTER, 0.5), near, known=known)
    assert not same[AFTER].any()
    assert same[:5].all()


def test_a_surface_that_the_flows_find_in_two_places_is_not_followed(near: Flow) -> None:
    """The flow to the reference frame leads to the background beside the object."""
    far = near.copy()
    far[pixels(AFTER)] = (0, -80)
    same = followed(picture(AFTER, 0.5), near, far)
    assert not same[AFTER].any()
    assert same[:5].all()


def test_after_a_cut_nothing_is_followed(near: Flow) -> None:
    first, none = picture(BEFORE, 0.5), np.zeros((16, 24), np.bool_)
    before, levels = Tracked.of(first, ~none), Levels.of(first)
    for motion in (Motion(near, near, cut=True), Motion(near, near, lost=True)):
        after = before.follow(Tracked.of(first, none), ~none, motion, np.zeros_like(near), levels)
        assert not after.same.any()
