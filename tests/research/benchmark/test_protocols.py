"""Predictions are scored by the paper's code's protocol and by the strict one."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from small_videos import BITS, BLACK, SIZE, WHITE

from rvdtool.errors import MismatchError
from rvdtool.evaluate.metrics import score_values
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame


def true_frame(seed: int = 0) -> RawFrame:
    mosaic = np.random.default_rng(seed).integers(70, WHITE, SIZE).astype(np.uint16)
    return RawFrame(mosaic, CfaPhase.RGGB, BLACK, WHITE, BITS, CameraProfile("t", (1, 1, 1)))


def moved(true: RawFrame, by: float) -> NDArray[np.float32]:
    return true.mosaic.astype(np.float32) + np.float32(by)


def test_the_paper_truncates_and_we_round() -> None:
    true = true_frame()
    almost_one_more, a_bit_less = (score_values(moved(true, by), true) for by in (0.9, -0.1))
    assert almost_one_more.psnr_paper == math.inf
    assert a_bit_less.psnr == math.inf
    one_off = 20 * math.log10(2**BITS - 1)
    assert a_bit_less.psnr_paper == pytest.approx(one_off, abs=1e-9)
    assert 20 * math.log10(WHITE - 66) < almost_one_more.psnr < 20 * math.log10(WHITE - 64)


def test_ssim_has_the_published_range_and_ours() -> None:
    true = true_frame()
    values = moved(true, 0) + np.random.default_rng(1).normal(0, 60, SIZE).astype(np.float32)
    values = np.clip(values, 0, 2**BITS - 1)
    scores = score_values(values, true)
    cut, kept = (values.astype(np.uint16) / (2**BITS - 1), true.mosaic / (2**BITS - 1))
    expected = structural_similarity(kept, cut, win_size=7, data_range=2.0)
    assert scores.ssim_paper == pytest.approx(expected, abs=1e-9)
    black = np.tile(np.reshape(BLACK, (2, 2)), (SIZE[0] // 2, SIZE[1] // 2))
    ours, theirs = ((m - black) / (WHITE - black) for m in (np.rint(values), true.mosaic))
    planes = [
        structural_similarity(theirs[y::2, x::2], ours[y::2, x::2], win_size=7, data_range=1.0)
        for y in (0, 1)
        for x in (0, 1)
    ]
    assert scores.ssim == pytest.approx(np.mean(planes), abs=1e-6)


def test_what_a_camera_cannot_write_is_brought_inside() -> None:
    true = true_frame()
    full = np.float32(2**BITS - 1)
    far, edge = np.full(SIZE, 1e6, np.float32), np.full(SIZE, full, np.float32)
    assert score_values(far, true) == score_values(edge, true)
    assert score_values(-far, true) == score_values(0 * far, true)


def test_integers_are_scored_as_they_are() -> None:
    true = true_frame()
    off = (true.mosaic + 3).astype(np.uint16)
    assert score_values(off, true) == score_values(off.astype(np.float32), true)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_figure_for_what_is_not_a_number(bad: float) -> None:
    true = true_frame()
    values = moved(true, 0)
    values[5, 5] = bad
    with pytest.raises(MismatchError, match="NaN or infinity"):
        score_values(values, true)


def test_no_figure_for_another_size() -> None:
    with pytest.raises(MismatchError, match="can't be compared"):
        score_values(np.zeros((8, 8), np.float32), true_frame())
