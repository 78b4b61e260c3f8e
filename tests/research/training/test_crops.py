"""Evidence read back is the chain's; crops are as in the chain."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import TINY, make, write_folder

from rvdtool.errors import InputError
from rvdtool.raw.bayer import normalise
from rvdtool.raw.frame import CfaPhase, Rect
from rvdtool.reconstruct.chain import Chain
from rvdtool.research.dataset.augment import Augmentation
from rvdtool.research.dataset.rvd import RvdFolder
from rvdtool.research.training import evidence
from rvdtool.research.training.calibrated import CalibratedTask
from rvdtool.research.training.crops import Crops
from rvdtool.research.training.evidence import (
    EvidenceClip,
    require_same,
    write_evidence,
)

EVERYTHING = Augmentation(Rect(0, 0, 96, 112))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RvdFolder:
    return write_folder(tmp_path_factory.mktemp("set") / "videos")


@pytest.fixture(scope="module")
def clips(folder: RvdFolder, tmp_path_factory: pytest.TempPathFactory) -> list[EvidenceClip]:
    out = tmp_path_factory.mktemp("evidence")
    for video in folder.videos:
        write_evidence(folder, video, out / video.video_name)
    return [EvidenceClip(out / video.video_name) for video in folder.videos]


@pytest.mark.parametrize("number", [0, 1])
def test_evidence_is_what_the_chain_observes(
    folder: RvdFolder, clips: list[EvidenceClip], number: int
) -> None:
    video, clip = folder.videos[number], clips[number]
    chain = Chain(folder.read_first(video), folder.read_srgb(video, 0))
    for index in range(1, len(clip)):
        true = chain.observe(folder.read_srgb(video, index)).evidence
        kept = clip.evidence(index, EVERYTHING)
        for name in ("fit", "anchored", "warped"):
            one, two = getattr(true, name), getattr(kept, name)
            np.testing.assert_allclose(two.value, one.value, atol=2e-3)
            # Beyond the largest code, a candidate has no say anyway.
            true_log, kept_log = (
                np.log(np.clip(v, 1e-9, 1000)) for v in (one.variance, two.variance)
            )
            np.testing.assert_allclose(kept_log, true_log, atol=0.1)
        np.testing.assert_allclose(kept.near, true.near, atol=0.01)
        raw = normalise(folder.read_raw(video, index), clip.levels[0], clip.levels[1])
        np.testing.assert_allclose(
            clip.raw(index, EVERYTHING) * clip.exposure(index), raw, atol=1e-5
        )


def test_a_crop_of_the_evidence_is_the_evidence_of_the_crop(clips: list[EvidenceClip]) -> None:
    augmentation = Augmentation(Rect(16, 24, 64, 48), transpose=True, flip_rows=True)
    part, everything = clips[0].evidence(2, augmentation), clips[0].evidence(2, EVERYTHING)
    np.testing.assert_array_equal(part.fit.value, augmentation.apply(everything.fit.value))
    np.testing.assert_array_equal(
        part.warped.variance, augmentation.apply(everything.warped.variance)
    )
    np.testing.assert_array_equal(part.near, augmentation.apply_flow(everything.near))
    np.testing.assert_array_equal(
        clips[0].rgb(2, augmentation), augmentation.apply(clips[0].rgb(2, EVERYTHING))
    )


def test_evidence_of_other_code_is_refused(
    clips: list[EvidenceClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "code_fingerprint", lambda _: "code of last week")
    with pytest.raises(InputError, match="another version"):
        EvidenceClip(clips[0].folder)


def test_evidence_of_another_video_is_refused(
    folder: RvdFolder, clips: list[EvidenceClip], tmp_path: Path
) -> None:
    require_same(clips[0], folder, folder.videos[0])
    with pytest.raises(InputError, match="another video"):
        require_same(clips[0], folder, folder.videos[1])
    with pytest.raises(InputError, match="no evidence"):
        EvidenceClip(tmp_path)


def test_the_states_are_what_the_chain_made(folder: RvdFolder, clips: list[EvidenceClip]) -> None:
    video, clip = folder.videos[1], clips[1]
    chain = Chain(folder.read_first(video), folder.read_srgb(video, 0))
    for index in range(1, len(clip)):
        state = chain.step(folder.read_srgb(video, index)).state
        raw, variance = clip.state(index, EVERYTHING)
        expected = normalise(state.mosaic, clip.levels[0], clip.levels[1])
        np.testing.assert_allclose(raw * clip.exposure(index), expected, atol=1e-5)
        np.testing.assert_allclose(np.log(variance), np.log(state.variance), atol=0.1)
        true = clip.raw(index, EVERYTHING)
        # Whatever factor makes the best of it, it is no better than this by much.
        best = min(float(((raw - gain * true) ** 2).mean()) for gain in np.linspace(0.9, 1.1, 201))
        assert 0.99 * best <= clip.error(index) <= 1.05 * best


def test_the_previous_raw_is_the_states(clips: list[EvidenceClip]) -> None:
    """In the middle of a crop, far from its edges, the candidate equals the whole frame's."""
    augmentation = Augmentation(Rect(16, 24, 64, 64), transpose=True, flip_columns=True)
    for index in range(1, len(clips[0])):
        part, everything = (
            clips[0].evidence(index, one).with_previous(*clips[0].state(index - 1, one)).previous
            for one in (augmentation, EVERYTHING)
        )
        inside = (slice(16, -16), slice(16, -16))
        expected = augmentation.apply(everything.value)
        np.testing.assert_allclose(part.value[inside], expected[inside], atol=1e-6)


def test_without_chains_the_true_raw_takes_the_states_place(
    clips: list[EvidenceClip], tmp_path: Path
) -> None:
    """As if the chain's result for each frame were the true RAW."""
    perfect = shutil.copytree(clips[0].folder, tmp_path / "perfect")
    shutil.copy(perfect / "raw.npy", perfect / "state.npy")
    np.save(perfect / "state_v.npy", np.zeros_like(np.load(perfect / "state_v.npy")))
    for number in range(8):
        one = Crops(clips[:1], 64, 0, chained=False).read(number).planes
        two = Crops([EvidenceClip(perfect)], 64, 0).read(number).planes
        made = Crops(clips[:1], 64, 0).read(number).planes
        torch.testing.assert_close(one.values, two.values)
        torch.testing.assert_close(one.variances, two.variances, rtol=1e-3, atol=1e-9)
        assert torch.equal(made.values[:, (0, 1, 3)], two.values[:, (0, 1, 3)])
    assert not torch.equal(made.values[:, 2], two.values[:, 2])


def test_crops_follow_from_seed_and_number(clips: list[EvidenceClip]) -> None:
    one, two = Crops(clips, 64, 3).read(11), Crops(clips, 64, 3).read(11)
    for a, b in zip(one.planes, two.planes, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(one.true, two.true)
    assert not torch.equal(one.true, Crops(clips, 64, 3).read(12).true)
    assert not torch.equal(one.true, Crops(clips, 64, 4).read(11).true)


def test_crops_begin_with_red(clips: list[EvidenceClip]) -> None:
    """In both cameras' mosaics, the means of the planes are those of the picture's colours."""
    assert clips[1].phase is not CfaPhase.RGGB
    for clip in clips:
        for number in range(4):
            sample = Crops([clip], 64, 5).read(number)
            rgb = sample.planes.rgb.reshape(3, 4, 32, 32) ** (1 / 0.45)
            for site, color in enumerate((0, 1, 1, 2)):
                torch.testing.assert_close(
                    sample.true[0, site], rgb[color, site], atol=0.02, rtol=0
                )


def test_at_first_our_network_is_the_fusion(folder: RvdFolder, tmp_path: Path) -> None:
    task = make("fagdn-calibrated", folder, tmp_path, TINY)
    assert isinstance(task, CalibratedTask)
    task.begin(0, 0, 1)
    network: Any = task.make_network()
    outcome = task.loss(network, task.next_batch())
    assert float(outcome.loss.detach()) == pytest.approx(float(outcome.figures), abs=1e-4)
    ours, fusion = task.validate(network.eval(), 0)
    # In bfloat16 features, but the sums are float32.
    assert ours == pytest.approx(fusion, abs=0.05)
