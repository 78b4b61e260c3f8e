"""The shipped network in the chain has the same properties as the fusion."""

import numpy as np
import pytest
import torch
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

from rvdtool import DEFAULT_MODEL
from rvdtool.network.calibrated import CalibratedFagdn
from rvdtool.network.checkpoint import load_model
from rvdtool.raw.bayer import normalise
from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.chain import Chain


@pytest.fixture(scope="module")
def network() -> CalibratedFagdn:
    loaded = load_model(DEFAULT_MODEL).network
    assert isinstance(loaded, CalibratedFagdn)
    return loaded


def run(
    scenes: list[Array], network: CalibratedFagdn | None, phase: CfaPhase = CfaPhase.RGGB
) -> list:
    chain = Chain(raw_frame(scenes[0], phase), render(scenes[0]), network=network)
    result = [chain.state.mosaic]
    for scene in scenes[1:]:
        step = chain.step(render(scene))
        assert step.mosaic.dtype == np.uint16
        assert step.mosaic.max() <= WHITE
        assert np.isfinite(step.state.variance).all()
        result.append(step.mosaic)
    return result


def scores(scenes: list[Array], mosaics: list, phase: CfaPhase = CfaPhase.RGGB) -> list[float]:
    return [
        psnr(normalise(frame, BLACK, WHITE), mosaic(scene, phase))
        for scene, frame in zip(scenes, mosaics, strict=True)
    ]


@pytest.mark.parametrize("phase", [CfaPhase.RGGB, CfaPhase.BGGR], ids=lambda phase: phase.value)
@pytest.mark.parametrize("size", [(64, 96), (63, 97)], ids=str)
def test_a_pan_has_less_error_than_the_reference_has_noise(
    network: CalibratedFagdn, phase: CfaPhase, size: tuple[int, int]
) -> None:
    scenes = pan(4, size=size)
    first, *others = scores(scenes, run(scenes, network, phase), phase)
    assert min(others) > first


def test_a_static_scene_stays_for_300_frames(network: CalibratedFagdn) -> None:
    scene = texture((48, 64), 1)
    result = scores([scene] * 301, run([scene] * 301, network))
    assert min(result[1:]) > -20 * np.log10(NOISE)
    assert result[300] > result[10] - 0.5


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
def test_a_frame_of_another_scene_has_no_lasting_effect(
    network: CalibratedFagdn, other: Array
) -> None:
    scenes = pan(7)
    without = scores(scenes, run(scenes, network))
    scenes[3] = other
    result = scores(scenes, run(scenes, network))
    assert min(a - b for a, b in zip(result[4:], without[4:], strict=True)) > -3
    assert min(result[4:]) > 54


def test_a_cut_does_not_reduce_quality(network: CalibratedFagdn) -> None:
    scenes = [*pan(3), *pan(3, seed=77)]
    chain = Chain(raw_frame(scenes[0]), render(scenes[0]), network=network)
    steps = [chain.step(render(scene)) for scene in scenes[1:]]
    assert [step.motion.cut for step in steps] == [False, False, True, False, False]
    for step, scene in zip(steps[2:], scenes[3:], strict=True):
        assert psnr(normalise(step.mosaic, BLACK, WHITE), mosaic(scene)) > 45


@pytest.mark.parametrize("first", [BLACK_FRAME, WHITE_FRAME], ids=["black", "white"])
def test_a_first_frame_without_content_gives_finite_frames(
    network: CalibratedFagdn, first: Array
) -> None:
    run([first, *pan(2), first], network)


def test_the_same_input_gives_the_same_bytes(network: CalibratedFagdn) -> None:
    scenes = pan(4)
    for one, two in zip(run(scenes, network), run(scenes, network), strict=True):
        assert np.array_equal(one, two)


def test_the_chain_continues_from_the_fusion_not_the_network(network: CalibratedFagdn) -> None:
    scenes = pan(3)
    reference, first = raw_frame(scenes[0]), render(scenes[0])
    chains = Chain(reference, first, network=network), Chain(reference, first)
    for scene in scenes[1:]:
        learned, plain = (chain.step(render(scene)) for chain in chains)
        assert np.array_equal(learned.state.mosaic, plain.mosaic)
        assert not np.array_equal(learned.mosaic, plain.mosaic)


def test_bfloat16_is_close_to_float32(network: CalibratedFagdn) -> None:
    scenes = pan(3)
    exact = run(scenes, network)[-1]
    half = load_model(DEFAULT_MODEL).network.to(torch.bfloat16)
    assert isinstance(half, CalibratedFagdn)
    assert psnr(run(scenes, half)[-1], exact, peak=WHITE) > 60


def test_features_stay_channels_last(network: CalibratedFagdn) -> None:
    """Otherwise PyTorch converts them at every layer, which takes as long as the convolutions."""
    seen = []
    hook = network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    run(pan(2), network)
    hook.remove()
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
