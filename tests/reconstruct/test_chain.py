"""The chain: nothing drifts or breaks, and a rerun gives the same bytes."""

import numpy as np
import pytest
from numpy.typing import NDArray
from small_shots import (
    BLACK,
    NOISE,
    SIZE,
    WHITE,
    Array,
    mosaic,
    pan,
    psnr,
    raw_frame,
    render,
    texture,
)

from rvdtool.errors import InputError, MismatchError
from rvdtool.raw.bayer import normalise
from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.chain import Chain

Mosaics = list[NDArray[np.uint16]]


def run(scenes: list[Array], phase: CfaPhase = CfaPhase.RGGB) -> Mosaics:
    """The RAW of every frame; also checks what must hold for each."""
    chain = Chain(raw_frame(scenes[0], phase), render(scenes[0]))
    result = [chain.state.mosaic]
    for index, scene in enumerate(scenes[1:], start=1):
        state = chain.step(render(scene)).state
        assert state is chain.state
        assert state.index == index
        assert state.mosaic.dtype == np.uint16
        assert state.mosaic.max() <= WHITE
        assert np.isfinite(state.fit).all()
        assert np.isfinite(state.far).all()
        assert np.isfinite(state.variance).all()
        assert (state.variance >= 0).all()
        assert 0 < state.brightness < np.inf
        result.append(state.mosaic)
    return result


def scores(scenes: list[Array], mosaics: Mosaics, phase: CfaPhase = CfaPhase.RGGB) -> list[float]:
    """PSNR of each frame against the noiseless truth."""
    return [
        psnr(normalise(frame, BLACK, WHITE), mosaic(scene, phase))
        for scene, frame in zip(scenes, mosaics, strict=True)
    ]


def test_the_reference_frame_is_its_true_raw() -> None:
    scene = pan(1)[0]
    reference = raw_frame(scene)
    assert np.array_equal(Chain(reference, render(scene)).state.mosaic, reference.mosaic)


@pytest.mark.parametrize("phase", list(CfaPhase), ids=lambda phase: phase.value)
@pytest.mark.parametrize("size", [(64, 96), (63, 97)], ids=str)
def test_a_pan_has_less_error_than_the_reference_has_noise(
    phase: CfaPhase, size: tuple[int, int]
) -> None:
    """The estimate has less noise than the sensor, so it is closer to the noiseless truth."""
    scenes = pan(5, size=size)
    first, *others = scores(scenes, run(scenes, phase), phase)
    assert first == pytest.approx(-20 * np.log10(NOISE), abs=0.5)
    assert min(others) > first


def test_a_moving_foreground_is_reconstructed() -> None:
    """A foreground with its own motion, and the background that it uncovers."""
    scenes = pan(6)
    patch = 1.3 * texture((30, 40), 5)
    for index, scene in enumerate(scenes):
        scene[30:60, 20 + 4 * index : 60 + 4 * index] = patch
    assert min(scores(scenes, run(scenes))[1:]) > 50


def test_a_static_scene_stays_for_300_frames() -> None:
    scene = texture((48, 64), 1)
    mosaics = run([scene] * 301)
    first, last = (normalise(mosaics[k], BLACK, WHITE) for k in (0, 300))
    assert np.abs(last - first).max() < 6 * NOISE
    assert psnr(last, first) > -20 * np.log10(NOISE) - 1
    early, late = (psnr(normalise(mosaics[k], BLACK, WHITE), mosaic(scene)) for k in (10, 300))
    assert late > early - 0.5
    assert abs(float((last - first).mean())) < NOISE / 20


def test_a_camera_that_goes_and_returns_ends_where_it_began() -> None:
    away = pan(9, step=(3, 1))
    scenes = away + away[::-1]
    result = scores(scenes, run(scenes))
    assert result[-1] > result[1] - 1


def test_the_same_input_gives_the_same_bytes() -> None:
    scenes = pan(5)
    for one, two in zip(run(scenes), run(scenes), strict=True):
        assert np.array_equal(one, two)


def test_a_chain_continues_from_its_state() -> None:
    scenes = pan(6)
    whole = Chain(raw_frame(scenes[0]), render(scenes[0]))
    states = [whole.step(render(scene)).state for scene in scenes[1:]]
    other = Chain(raw_frame(scenes[0]), render(scenes[0]))
    other.resume(states[2])
    for scene, state in zip(scenes[4:], states[3:], strict=True):
        again = other.step(render(scene)).state
        assert again.index == state.index
        assert np.array_equal(again.mosaic, state.mosaic)


BLACK_FRAME = np.zeros((*SIZE, 3), np.float32)
WHITE_FRAME = np.ones((*SIZE, 3), np.float32)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(BLACK_FRAME, id="black"),
        pytest.param(WHITE_FRAME, id="white"),
        pytest.param(texture(SIZE, 99), id="another scene"),
    ],
)
def test_a_frame_of_another_scene_has_no_lasting_effect(other: Array) -> None:
    scenes = pan(8)
    scenes[3] = other
    result = scores(scenes, run(scenes))
    assert min(result[4:]) > 60


@pytest.mark.parametrize("first", [BLACK_FRAME, WHITE_FRAME], ids=["black", "white"])
def test_a_first_frame_without_content_gives_finite_frames(first: Array) -> None:
    run([first, *pan(2), first])


def test_clipped_areas_without_noise_stay_finite() -> None:
    """Without noise and detail, variances could become zero."""
    scenes = pan(4)
    for scene in scenes:
        scene[20:60, 20:60] = 1
        scene[80:] = 0
    chain = Chain(raw_frame(scenes[0], noise=0), render(scenes[0]))
    for scene in scenes[1:]:
        state = chain.step(render(scene)).state
        assert np.isfinite(state.fit).all()
        assert np.isfinite(state.variance).all()
        box = normalise(state.mosaic, BLACK, WHITE)[24:56, 24:56]
        assert np.abs(box - 1).max() < 0.05
        assert psnr(normalise(state.mosaic, BLACK, WHITE), mosaic(scene)) > 40


@pytest.mark.parametrize("exposure", [1.0, 0.8])
def test_unseen_clip_states_have_a_large_expected_error(
    exposure: float,
) -> None:
    scenes = [exposure * scene for scene in pan(2)]
    bright = scenes[1].copy()
    bright[20:60, 20:60] = 0.8
    inside = np.s_[26:54, 26:54]

    def error_and_deviation(first: Array) -> tuple[Array, Array]:
        """The fit's error in the box, and its expected standard deviation."""
        chain = Chain(raw_frame(first), render(first))
        evidence = chain.observe(render(bright)).evidence
        red = np.s_[inside[0].start : inside[0].stop : 2, inside[1].start : inside[1].stop : 2]
        assert (evidence.clipped[red] & 1).all()
        assert (evidence.fit.value[red] > evidence.lower_bound[red]).all()
        return (mosaic(bright) - evidence.fit.value)[red], np.sqrt(evidence.fine[red])

    error, expected = error_and_deviation(scenes[0])
    assert np.sqrt((error**2).mean()) > 0.05
    assert 0.1 < np.sqrt(((error / expected) ** 2).mean()) < 3
    first = scenes[0].copy()
    first[20:60, 20:60] = 0.8
    error, expected = error_and_deviation(first)
    assert np.sqrt((error**2).mean()) < 0.05
    assert expected.max() < 0.05


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (17, 33), (8, 64)], ids=str)
def test_small_frames(size: tuple[int, int]) -> None:
    scenes = pan(3, size=size)
    assert min(scores(scenes, run(scenes))) > 30


def test_sizes_must_be_equal() -> None:
    scene = pan(1)[0]
    with pytest.raises(MismatchError, match=r"128×96 photosites.*126×96 pixels"):
        Chain(raw_frame(scene), render(scene[:, :-2]))


@pytest.mark.parametrize("size", [(7, 9), (64, 6), (2, 2)], ids=str)
def test_frames_smaller_than_a_block_are_refused(size: tuple[int, int]) -> None:
    scene = pan(1, size=size)[0]
    with pytest.raises(InputError, match="8×8 are needed"):
        Chain(raw_frame(scene), render(scene))


def test_frames_of_16_bits_give_the_same_picture() -> None:
    scenes = pan(3)
    deep = [render(scene).astype(np.uint16) * 257 for scene in scenes]
    chain = Chain(raw_frame(scenes[0]), deep[0])
    mosaics = [chain.state.mosaic, *(chain.step(rgb).state.mosaic for rgb in deep[1:])]
    assert min(scores(scenes, mosaics)[1:]) > 55


def hidden(seed: int) -> Array:
    """A smooth factor on the light that the video doesn't show, [H, W, 1]."""
    return 0.7 + 1.5 * texture(SIZE, seed).mean(axis=2, keepdims=True)


OBJECT_ROWS = slice(42, 74)
"""Rows of the moving object, without its border."""


@pytest.mark.parametrize("first", [30, None])
def test_moving_objects_leave_no_trace_and_keep_their_own_detail(first: int | None) -> None:
    """Every surface has detail in the RAW that the video doesn't show, and the chain carries it.

    With `first`, the column of an object in the reference frame, its motion reveals background that
    the reference RAW doesn't show. Otherwise the object comes in later and hides background.
    """
    behind, patch = pan(1)[0], 0.8 * pan(1, seed=9)[0][:36, :36, ::-1]
    columns = [first, *range(36, 78, 6)]
    lit, seen = [], []
    for at in columns:
        light, shown = behind * hidden(3), behind.copy()
        if at is not None:
            light[40:76, at : at + 36] = patch / hidden(4)[:36, :36]
            shown[40:76, at : at + 36] = patch
        lit.append(light)
        seen.append(shown)
    chain = Chain(raw_frame(lit[0]), render(seen[0]))
    for frame in seen[1:]:
        step = chain.step(render(frame))
    value, true = normalise(step.mosaic, BLACK, WHITE), mosaic(lit[-1])

    def gained(rows: slice, columns: slice) -> float:
        """How much better the frame is than its inverse ISP, in dB."""
        place = rows, columns
        return psnr(value[place], true[place]) - psnr(step.prior.fit.value[place], true[place])

    assert gained(slice(0, 36), slice(None)) > 4
    moved, revealed = gained(OBJECT_ROWS, slice(74, 106)), gained(OBJECT_ROWS, slice(32, 64))
    if first is None:
        # The RAW of the hidden background is 15 dB worse than the inverse ISP here.
        assert moved > -1
        assert revealed > 2
    else:
        assert moved > 3
        assert revealed > -1
