"""Evidence read back is what the chain sees; streams follow crops as the chain follows frames."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import TINY, make, write_folder

from rvdtool.dataset.augment import Move
from rvdtool.dataset.rvd import RvdFolder
from rvdtool.derender.chain import Chain
from rvdtool.errors import InputError
from rvdtool.raw.bayer import normalise
from rvdtool.raw.frame import CfaPhase, Rect
from rvdtool.training.evidence import EvidenceClip, reference_of, require_same, write_evidence
from rvdtool.training.fagdn import FagdnRecipe
from rvdtool.training.streams import Stream

EVERYTHING = Move(Rect(0, 0, 96, 112))


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
    chain = Chain(reference_of(folder, video), folder.read_srgb(video, 0))
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
    move = Move(Rect(16, 24, 64, 48), transpose=True, flip_rows=True)
    part, everything = clips[0].evidence(2, move), clips[0].evidence(2, EVERYTHING)
    np.testing.assert_array_equal(part.fit.value, move.apply(everything.fit.value))
    np.testing.assert_array_equal(part.warped.variance, move.apply(everything.warped.variance))
    np.testing.assert_array_equal(part.near, move.apply_flow(everything.near))
    np.testing.assert_array_equal(clips[0].rgb(2, move), move.apply(clips[0].rgb(2, EVERYTHING)))


def test_evidence_of_another_video_is_refused(
    folder: RvdFolder, clips: list[EvidenceClip], tmp_path: Path
) -> None:
    require_same(clips[0], folder, folder.videos[0])
    with pytest.raises(InputError, match="another video"):
        require_same(clips[0], folder, folder.videos[1])
    with pytest.raises(InputError, match="no evidence"):
        EvidenceClip(tmp_path)


def follow(stream: Stream, steps: int) -> list[Any]:
    """Let a made-up network darken each frame's fit; what the stream shows at each step."""
    shown = []
    for _ in range(steps):
        sample = stream.sample()
        shown.append(sample)
        stream.keep(0.9 * sample.planes.values[:, 0], torch.full_like(sample.true, 0.25))
    return shown


def test_a_prediction_is_the_next_frames_previous_raw(clips: list[EvidenceClip]) -> None:
    clip = clips[:1]
    stream = Stream(clip, 64, (0, 0))
    for _ in range(9):
        sample = stream.sample()
        made = 0.9 * sample.planes.values[:, 0]
        stream.keep(made, torch.full_like(sample.true, 0.25))
        position = stream.position()
        exposure = clip[0].exposure(int(position["index"]))
        expected = torch.nn.functional.pixel_shuffle(made.clamp(0, 1 / exposure), 2)[0, 0]
        # Quantised as the chain's state is: half a step of 12 bits.
        torch.testing.assert_close(position["raw"], expected, atol=2e-4, rtol=0)
        assert (position["variance"] == 0.25).all()


def test_without_chains_the_previous_raw_is_the_true_one(clips: list[EvidenceClip]) -> None:
    stream = Stream(clips, 64, (0, 0), chained=False)
    for sample in follow(stream, 5):
        true = sample.true
    raw = torch.nn.functional.pixel_shuffle(true, 2)[0, 0]
    torch.testing.assert_close(stream.position()["raw"], raw, atol=1e-6, rtol=0)
    assert (stream.position()["variance"] == 0).all()


def test_a_stream_goes_on_where_another_stood(clips: list[EvidenceClip]) -> None:
    one = Stream(clips, 64, (3, 1))
    follow(one, 2)
    two = Stream(clips, 64, (3, 1), begun=7)
    two.restore({name: value.clone() for name, value in one.position().items()})
    for left, right in zip(follow(one, 6), follow(two, 6), strict=True):
        for a, b in zip(left.planes, right.planes, strict=True):
            assert torch.equal(a, b)
        assert torch.equal(left.true, right.true)


def test_crops_begin_with_red(clips: list[EvidenceClip]) -> None:
    """Both cameras' mosaics: means of the planes are those of the picture's colours."""
    assert clips[1].phase is not CfaPhase.RGGB
    for clip in clips:
        for number in range(4):
            sample = Stream([clip], 64, (5, number)).sample()
            rgb = sample.planes.rgb.reshape(3, 4, 32, 32) ** (1 / 0.45)
            for site, color in enumerate((0, 1, 1, 2)):
                torch.testing.assert_close(
                    sample.true[0, site], rgb[color, site], atol=0.02, rtol=0
                )


def test_at_first_our_network_is_the_fusion(folder: RvdFolder, tmp_path: Path) -> None:
    recipe = make("fagdn", folder, tmp_path, TINY)
    assert isinstance(recipe, FagdnRecipe)
    recipe.begin(0, 0, 1, None)
    network: Any = recipe.make_network()
    outcome = recipe.loss(network, recipe.next_batch())
    assert float(outcome.loss.detach()) == pytest.approx(float(outcome.figures), abs=1e-4)
    ours, fusion = recipe.validate(network.eval(), 0)
    # In bfloat16 features, but the sums are float32.
    assert ours == pytest.approx(fusion, abs=0.05)
