"""A camera's choice of RAW frames."""

from collections.abc import Iterable

import numpy as np
import pytest

from rvdtool.capture.trigger import RawTrigger
from rvdtool.errors import UsageError
from rvdtool.video.frame import Rgb

RNG = np.random.default_rng(0)
ONE, OTHER = (RNG.integers(low, low + 90, (24, 32, 3), np.uint8) for low in (0, 150))


def kept(frames: Iterable[Rgb], interval: int) -> list[int]:
    trigger = RawTrigger(interval)
    return [index for index, frame in enumerate(frames) if trigger(frame)]


def test_the_first_frame_is_kept() -> None:
    assert kept([ONE], 10) == [0]


def test_a_clip_without_changes_gets_raws_at_equal_intervals() -> None:
    assert kept([ONE] * 200, 10) == list(range(0, 200, 10))


@pytest.mark.parametrize("cut", [3, 15, 42])
def test_a_cut_is_kept_at_once(cut: int) -> None:
    assert cut in kept([ONE] * cut + [OTHER] * 20, 20)


def test_it_never_looks_ahead() -> None:
    frames = list(RNG.integers(0, 256, (60, 8, 8, 3), np.uint8))
    whole = kept(frames, 7)
    for end in (1, 20, 43):
        assert kept(frames[:end], 7) == [index for index in whole if index < end]


def test_constant_changes_cost_no_more_than_the_average() -> None:
    found = kept([ONE, OTHER] * 100, 10)
    for number, index in enumerate(found, 1):
        assert number <= 2 + index / 10
    assert len(found) >= 20


def test_an_interval_below_one_frame_is_refused() -> None:
    with pytest.raises(UsageError, match="interval of 1 at least"):
        RawTrigger(0)
