"""The gain of a frame against frame 1."""

import numpy as np
import pytest
from numpy.typing import NDArray
from small_shots import BLACK, WHITE, mosaic, pan, psnr, raw_frame, render

from rvdtool.derender.chain import Chain
from rvdtool.derender.gain import block_means, ratio_mode, track
from rvdtool.raw.bayer import normalise

BLOCKS = (24, 32)


def blocks(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0.05, 0.8, BLOCKS).astype(np.float32)


def ratio(value: NDArray[np.float32], reference: NDArray[np.float32]) -> float | None:
    return ratio_mode(value, reference, np.ones(BLOCKS, bool))


@pytest.mark.parametrize("gain", [0.4, 0.9, 0.998, 1.0, 1.1, 2.5])
def test_the_gain_is_found(gain: float) -> None:
    noise = np.random.default_rng(1).normal(1, 0.003, BLOCKS).astype(np.float32)
    assert ratio(gain * blocks() * noise, blocks()) == pytest.approx(gain, rel=1e-3)


@pytest.mark.parametrize("outlier", [0.5, 0.9, 1.5])
@pytest.mark.parametrize("gain", [0.9, 1.1])
def test_four_tenths_of_outliers_have_no_say(gain: float, outlier: float) -> None:
    """A shadow moves over 40 % of the frame; means and even medians would follow it."""
    rng = np.random.default_rng(1)
    value = gain * blocks() * rng.normal(1, 0.003, BLOCKS).astype(np.float32)
    wrong = rng.random(BLOCKS) < 0.4
    value[wrong] *= outlier * rng.normal(1, 0.05, int(wrong.sum())).astype(np.float32)
    assert ratio(value, blocks()) == pytest.approx(gain, rel=2e-3)


def test_what_is_not_trusted_or_dark_has_no_say() -> None:
    trusted = np.zeros(BLOCKS, bool)
    trusted[:, :4] = True
    value, reference = 1.3 * blocks(), blocks()
    value[:, :4] = 0.9 * reference[:, :4]
    assert ratio_mode(value, reference, trusted) == pytest.approx(0.9, rel=1e-3)
    dark = np.full(BLOCKS, 0.002, np.float32)
    assert ratio(dark, dark) is None


def test_too_few_blocks_give_no_gain() -> None:
    trusted = np.zeros(BLOCKS, bool)
    trusted[0, :3] = True
    assert ratio_mode(blocks(), blocks(), trusted) is None
    assert ratio_mode(blocks(), blocks(), ~trusted) == pytest.approx(1)


def test_what_is_anchored_to_frame_1_comes_first() -> None:
    assert track(1.2, 0.8, 1.0) == 1.2
    assert track(1.0005, None, 1.1) == 1.0005


def test_small_changes_against_the_neighbour_do_not_add_up() -> None:
    gain = 1.0
    for _ in range(100):
        gain = track(None, gain * 1.003, gain)
    assert gain == 1.0
    assert track(None, 1.05, 1.0) == 1.05
    assert track(None, 0.95, 1.0) == 0.95
    assert track(None, None, 1.1) == 1.1


@pytest.mark.parametrize("size", [(64, 96), (67, 101)])
def test_block_means(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random(size, np.float32)
    means = block_means(image)
    assert means.shape == (8, 12)
    assert np.allclose(means, image[:64, :96].reshape(8, 8, 12, 8).mean(axis=(1, 3)), atol=1e-6)


def test_a_gain_that_jumps_in_every_frame_costs_nothing() -> None:
    """LibRaw's auto-brightness: ±10 % from frame to frame, while the RAW stays as it is."""
    scenes = pan(9)
    jumps = [1, 1.1, 0.9, 1.1, 0.9, 1.0, 1.1, 0.9, 1.05]

    def scores(gains: list[float]) -> list[float]:
        chain = Chain(raw_frame(scenes[0]), render(scenes[0]))
        result = []
        for scene, gain in zip(scenes[1:], gains[1:], strict=True):
            step = chain.step(render(scene, gain))
            assert step.state.gain == pytest.approx(gain, rel=0.01)
            result.append(psnr(normalise(step.state.mosaic, BLACK, WHITE), mosaic(scene)))
        return result

    calm, jumping = scores([1.0] * 9), scores(jumps)
    assert min(jumping) > min(calm) - 3
    assert min(jumping) > 55  # 10 % of a signal of 0.2 would be 34 dB
