"""Comparing reconstructions: the interval contains the true value as often as it claims."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import ttest_1samp
from small_clips import disturbed, random_mosaic, small_frame, write_clip

from rvdtool.errors import UsageError
from rvdtool.evaluate.against import best_of, paired_difference, rank
from rvdtool.evaluate.compare import compare, match_frames


def test_independent_frames_give_the_classical_interval() -> None:
    rng = np.random.default_rng(0)
    reaches, classical = [], []
    for _ in range(200):
        values = rng.normal(1, 2, 60)
        found = paired_difference(values, np.zeros(60))
        assert found.mean == pytest.approx(values.mean())
        interval = ttest_1samp(values, 0).confidence_interval(0.95)
        reaches.append(found.high - found.low)
        classical.append(interval.high - interval.low)
    assert np.mean(reaches) == pytest.approx(np.mean(classical), rel=0.06)


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_the_interval_covers_the_true_difference(correlation: float) -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        noise = lfilter([1], [1, -correlation], rng.normal(0, 1, 200))[50:]
        found = paired_difference(0.3 + noise, np.zeros(150))
        inside += found.low <= 0.3 <= found.high
    # 95 % of 400, four standard errors (1.1 %) of luck; Newey–West is known to stay a little below.
    assert 0.88 <= inside / 400 <= 0.99


def test_frames_equal_to_the_truth_and_few_frames() -> None:
    inf = math.inf
    found = paired_difference([inf, 40, inf, 41, 42, 43], [39, inf, inf, 40, 40, 40])
    assert (found.frames, found.mean) == (3, 2)
    few = paired_difference([40, 41], [39, 39])
    assert (few.mean, few.low, few.high, few.is_clear) == (1.5, -inf, inf, False)
    assert few.words(2) == ("1.50", "unknown")
    assert paired_difference([inf], [inf]).words(2) == ("unknown", "unknown")


def test_the_closer_one_wins(tmp_path: Path) -> None:
    true = [random_mosaic(seed) for seed in range(6)]
    folder = write_clip(tmp_path / "true", [small_frame(one) for one in true])
    comparisons = {
        f"by {by}": compare(
            match_frames(
                write_clip(
                    tmp_path / str(by),
                    [small_frame(disturbed(one, 9 + seed, by)) for seed, one in enumerate(true)],
                ),
                folder,
            )
        )
        for by in (8, 2, 4)
    }
    for row in rank(comparisons):
        assert (row.winner, row.second) == ("by 2", "by 4")
        assert row.lead.is_clear
        assert row.wins == {"by 8": 0, "by 2": 5, "by 4": 0}
        assert row.lead.mean == pytest.approx(row.means["by 2"] - row.means["by 4"])
    # Half the error is 6.02 dB; clipping at black and white takes a little.
    assert rank(comparisons)[0].lead.mean == pytest.approx(6.02, abs=0.1)
    with pytest.raises(UsageError, match="two"):
        rank({"by 2": comparisons["by 2"]})


def test_a_draw_has_no_winner() -> None:
    assert best_of({"a": 40.0, "b": 41.0}) == "b"
    assert best_of({"a": math.inf, "b": math.inf}) is None
