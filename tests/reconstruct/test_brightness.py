"""The brightness of a frame relative to the reference frame, and whether it is exposure or gain."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from small_shots import BLACK, WHITE, Array, mosaic, pan, psnr, raw_frame, render

from rvdtool.raw.bayer import normalise
from rvdtool.raw.render import default_render
from rvdtool.reconstruct.brightness import (
    Ratio,
    Shading,
    block_means,
    has_auto_brightness,
    ignores_unevenness,
    ratio_mode,
    shading_terms,
    track,
)
from rvdtool.reconstruct.chain import Chain, GainMode
from rvdtool.reconstruct.statistics import Curve

BLOCKS = (24, 32)
EVERYWHERE = np.ones(BLOCKS, bool)
UNKNOWN = Shading()


def blocks(seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(0.05, 0.8, BLOCKS).astype(np.float32)


def grain(deviation: float = 0.003) -> Array:
    return np.random.default_rng(1).normal(1, deviation, BLOCKS).astype(np.float32)


def shading_delta(shift: float) -> Array:
    """See `ratio_mode`, for objects that are `shift` blocks further right in the other frame."""
    y, x = np.mgrid[: BLOCKS[0], : BLOCKS[1]].astype(np.float32)
    return shading_terms(np.dstack([x, y]), x.shape) - shading_terms(
        np.dstack([x + shift, y]), x.shape
    )


def ratio(
    value: Array,
    reference: Array,
    trusted: NDArray[np.bool_] = EVERYWHERE,
    far: Array | None = None,
    shading: Shading = UNKNOWN,
    noise: float = 1e-6,
    *,
    tone_mapped: bool = False,
) -> Ratio | None:
    far = shading_delta(0) if far is None else far
    curve = Curve(np.zeros(1, np.float32), np.full(1, noise, np.float32))
    return ratio_mode(value, reference, trusted, far, shading, curve, 1.0, tone_mapped)


def ratio_value(*arguments: Array) -> float:
    result = ratio(*arguments)
    assert result is not None
    return result.value


@pytest.mark.parametrize("factor", [1 / 128, 0.4, 0.9, 0.998, 1.0, 1.1, 2.5, 200])
def test_the_brightness_is_found(factor: float) -> None:
    assert ratio_value(factor * blocks() * grain(), blocks()) == pytest.approx(factor, rel=1e-3)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_change_within_the_spread_of_local_tone_is_not_one_of_light(factor: float) -> None:
    """A sixth of the frame keeps one ratio, and tone mapping has changed the others."""
    rng = np.random.default_rng(1)
    tone = np.exp(cv2.GaussianBlur(rng.normal(0, 1, BLOCKS), (0, 0), 3))
    tone = tone ** (0.2 / np.log(tone).std())
    tone[: BLOCKS[0] // 6] = 1
    measured = ratio((factor * blocks() * grain() * tone).astype(np.float32), blocks())
    careful = ratio(
        (factor * blocks() * grain() * tone).astype(np.float32), blocks(), tone_mapped=True
    )
    assert measured is not None
    assert careful is not None
    assert measured.value == careful.value == pytest.approx(factor, rel=0.02)
    before = Ratio(1.0, UNKNOWN)
    assert track(measured, None, before).value == pytest.approx(factor, rel=0.02)
    assert track(careful, None, before).value == 1


@pytest.mark.parametrize("factor", [0.6, 1.6])
def test_a_part_that_tone_mapping_changes_evenly_is_not_one_of_light(factor: float) -> None:
    """Its ratio is the mode, far beyond the others' spread; their median hasn't changed."""
    tone = np.exp(np.random.default_rng(1).normal(0, 0.15, BLOCKS))
    tone[: BLOCKS[0] // 4] = factor
    measured = ratio((blocks() * grain() * tone).astype(np.float32), blocks(), tone_mapped=True)
    assert measured is not None
    assert measured.value == pytest.approx(factor, rel=0.02)
    assert measured.unevenness < abs(np.log(factor)) / 2
    found = track(measured, None, Ratio(1.0, UNKNOWN))
    assert found.value == pytest.approx(1, abs=0.02)
    assert ignores_unevenness(measured, found)


@pytest.mark.parametrize("factor", [0.4, 0.9, 1.1, 2.5])
def test_a_change_of_light_is_found_behind_local_tone_mapping(factor: float) -> None:
    measured = ratio(factor * blocks() * grain(0.01), blocks(), tone_mapped=True)
    assert measured is not None
    assert track(measured, None, Ratio(1.0, UNKNOWN)).value == pytest.approx(factor, rel=0.01)


@pytest.mark.parametrize("share", [0.4, 0.65])
@pytest.mark.parametrize("outlier", [0.5, 0.8, 1.5])
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_outliers_have_no_effect(factor: float, outlier: float, share: float) -> None:
    """Shadows and wrong matches would affect a mean and, beyond one half, also a median."""
    rng = np.random.default_rng(1)
    value = factor * blocks() * grain()
    wrong = rng.random(BLOCKS) < share
    value[wrong] *= outlier * rng.normal(1, 0.1, int(wrong.sum())).astype(np.float32)
    assert ratio_value(value, blocks()) == pytest.approx(factor, rel=2e-3)


def test_untrusted_or_dark_areas_have_no_effect() -> None:
    trusted = np.zeros(BLOCKS, bool)
    trusted[:, :4] = True
    value, reference = 1.3 * blocks(), blocks()
    value[:, :4] = 0.9 * reference[:, :4]
    result = ratio(value, reference, trusted)
    assert result is not None
    assert result.value == pytest.approx(0.9, rel=1e-3)
    dark = np.full(BLOCKS, 0.002, np.float32)
    assert ratio(dark, dark) is None


def test_too_few_blocks_give_no_ratio() -> None:
    trusted = np.zeros(BLOCKS, bool)
    trusted[0, :3] = True
    assert ratio(blocks(), blocks(), trusted) is None
    assert ratio(blocks(), blocks(), ~trusted) is not None


@pytest.mark.parametrize("slope", [-0.4, 0.2])
def test_shading_is_separated_from_brightness_and_kept(slope: float) -> None:
    """A lens that darkens the corners changes the ratio from place to place."""
    far = shading_delta(6)
    true = slope * far[..., :2].sum(axis=-1)
    shading = UNKNOWN
    for factor in (0.9, 1.05, 1.1, 0.95):
        value = factor * blocks() * np.exp(true) * grain()
        result = ratio(value, blocks(), far=far, shading=shading)
        assert result is not None
        assert result.value == pytest.approx(factor, rel=5e-3)
        shading = result.shading
    assert np.abs(true).max() > 0.05
    assert np.abs(far @ shading.terms - true).max() < 0.015


def test_without_shading_none_is_learned() -> None:
    result = ratio(1.1 * blocks() * grain(), blocks(), far=shading_delta(6))
    assert result is not None
    assert np.abs(shading_delta(6) @ result.shading.terms).max() < 0.005
    assert np.array_equal(UNKNOWN.terms, (0, 0, 0))


def test_shading_terms_are_measured_from_the_centre() -> None:
    y, x = np.mgrid[:9, :13].astype(np.float32)
    terms = shading_terms(np.dstack([x, y]), x.shape)
    assert np.allclose(terms[4, 6], 0)
    assert np.allclose(terms[0, 0, :2].sum(), 1)
    assert np.allclose(terms[..., 2], terms[..., :2].sum(axis=-1) ** 2)
    assert np.allclose(terms, terms[::-1, ::-1])


def test_noise_widens_the_search_and_the_standard_error() -> None:
    """Blocks with 5 % of noise, as behind a telescope: in a narrow histogram, the mode is
    arbitrary."""
    errors, claimed = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        value = 0.98 * blocks() * rng.normal(1, 0.05, BLOCKS).astype(np.float32)
        result = ratio(value, blocks(), noise=64 * (0.05 * 0.3) ** 2)
        assert result is not None
        errors.append(np.log(result.value / 0.98))
        claimed.append(result.error)
    assert np.sqrt(np.mean(np.square(errors))) < 0.004
    assert 0.5 < np.mean(claimed) / np.sqrt(np.mean(np.square(errors))) < 4


def test_a_lamp_that_lights_part_of_the_scene_has_no_effect() -> None:
    value = blocks() * grain()
    value[:, 14:] *= 6  # 18 of 32 columns
    assert ratio_value(value, blocks()) == pytest.approx(1, rel=1e-3)


def test_changes_within_the_error_count_as_none() -> None:
    before = Ratio(1.0, UNKNOWN)
    assert track(Ratio(1.004, UNKNOWN, error=0.003), None, before).value == 1.0
    assert track(Ratio(1.1, UNKNOWN, error=0.003), None, before).value == pytest.approx(
        1.1, abs=1e-3
    )
    known = Ratio(8.0, UNKNOWN)
    assert track(Ratio(8.02, UNKNOWN, error=0.01), None, known).value == 8.0


def test_the_ratio_to_the_reference_is_preferred() -> None:
    one, other, before = (Ratio(value, UNKNOWN) for value in (1.0005, 0.8, 1.1))
    assert track(one, other, before).value == pytest.approx(one.value)
    assert track(one, None, before).value == pytest.approx(one.value)


def test_small_changes_against_the_neighbour_do_not_add_up() -> None:
    last = start = Ratio(1.0, UNKNOWN)
    for _ in range(100):
        last = track(None, Ratio(last.value * 1.003, UNKNOWN), last)
    assert last.value == 1.0
    for value in (1.05, 0.95):
        assert track(None, Ratio(value, UNKNOWN), start).value == value
    assert track(None, None, Ratio(1.1, UNKNOWN)).value == 1.1


@pytest.mark.parametrize("size", [(64, 96), (67, 101)])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_block_means(size: tuple[int, int], shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).random((*size, *shape), np.float32)
    means = block_means(image)
    assert means.shape == (8, 12, *shape)
    expected = image[:64, :96].reshape(8, 8, 12, 8, *shape).mean(axis=(1, 3))
    assert np.allclose(means, expected, atol=1e-6)


def test_the_rendering_of_libraw_is_recognised() -> None:
    scene = pan(1)[0]
    reference = raw_frame(scene)
    by_libraw = default_render(reference)
    assert has_auto_brightness(reference, by_libraw)
    assert has_auto_brightness(reference, by_libraw.astype(np.uint16) * 257)
    assert not has_auto_brightness(reference, render(scene))
    assert not has_auto_brightness(reference, (0.8 * by_libraw).astype(np.uint8))


FACTORS = (1.0, 1.1, 0.9, 1.1, 0.9, 1.0, 1.1, 0.9, 1.05)


def scores(gain: GainMode, isp: tuple[float, ...], light: tuple[float, ...]) -> list[float]:
    """PSNR of each frame, with these factors on the ISP's gain and on the light."""
    scenes = [factor * scene for factor, scene in zip(light, pan(9), strict=True)]
    chain = Chain(raw_frame(scenes[0]), render(scenes[0]), gain=gain)
    result = []
    for index, scene in enumerate(scenes[1:], start=1):
        state = chain.step(render(scene, isp[index])).state
        assert state.brightness == pytest.approx(isp[index] * light[index], rel=0.01)
        result.append(psnr(normalise(state.mosaic, BLACK, WHITE), mosaic(scene)))
    return result


def test_an_isp_that_jumps_in_every_frame_costs_little() -> None:
    """LibRaw's auto-brightness: ±10 % from frame to frame, while the RAW is constant."""
    calm = scores("track", (1.0,) * 9, (1.0,) * 9)
    jumping = scores("track", FACTORS, (1.0,) * 9)
    assert min(jumping) > min(calm) - 4
    assert min(jumping) > 55  # 10 % of this signal are 33 dB


@pytest.mark.parametrize("gain", ["fixed", "auto"])
def test_light_that_jumps_in_every_frame_costs_little(gain: GainMode) -> None:
    """The RAW follows, as `auto` expects, since this ISP isn't LibRaw's."""
    calm = scores(gain, (1.0,) * 9, (1.0,) * 9)
    jumping = scores(gain, (1.0,) * 9, FACTORS)
    assert min(jumping) > min(calm) - 4
    assert min(jumping) > 55


@pytest.mark.parametrize("noise", [0.002, 0.02])
def test_tracking_a_steady_gain_costs_no_quality(noise: float) -> None:
    """Earlier, it cost 1.0 to 1.8 dB on real lossless frames of a telescope."""
    frames = [raw_frame(s, noise=noise, seed=i) for i, s in enumerate(pan(6))]
    quality = {}
    modes: tuple[GainMode, ...] = ("auto", "fixed")
    for gain in modes:
        chain = Chain(frames[0], default_render(frames[0]), gain=gain)
        steps = [chain.step(default_render(frame)) for frame in frames[1:]]
        got = [normalise(step.mosaic, BLACK, WHITE) for step in steps]
        quality[gain] = np.mean([psnr(g, mosaic(s)) for g, s in zip(got, pan(6)[1:], strict=True)])
    assert quality["auto"] > quality["fixed"] - 0.1


def test_gain_is_tracked_by_default_only_for_libraws_rendering() -> None:
    scene = pan(1)[0]
    reference = raw_frame(scene)
    assert Chain(reference, default_render(reference)).tracks_gain
    assert not Chain(reference, render(scene)).tracks_gain
    assert Chain(reference, render(scene), gain="track").tracks_gain
    assert not Chain(reference, default_render(reference), gain="fixed").tracks_gain
