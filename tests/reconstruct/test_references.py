"""Several references: their frames are unchanged, the others improve, and runs can be resumed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import enumerate as threads_now

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from small_shots import BITS, BLACK, WHITE, Array, mosaic, pan, psnr, raw_frame, render

from rvdtool.errors import BundleError, MismatchError, OutputError
from rvdtool.raw.bayer import normalise
from rvdtool.raw.frame import CfaPhase, RawFrame
from rvdtool.reconstruct.references import (
    Clip,
    Result,
    Start,
    near_flow,
    reconstruct,
    require_usable,
)
from rvdtool.research.dataset.isp import develop
from rvdtool.research.dataset.recipe import CameraIsp, Light, Recipe, Sensor, Source, Trajectory
from rvdtool.research.dataset.scene import SourceFolders
from rvdtool.research.dataset.simulate import Simulation
from rvdtool.video.frame import VideoFrame

FRAMES = 9
SCENES = pan(FRAMES)
RAWS = [raw_frame(scene, seed=index) for index, scene in enumerate(SCENES)]
PICTURES = [render(scene) for scene in SCENES]

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Reference:
    """A substitute for a bundle's reference."""

    index: int
    frame: RawFrame
    is_resampled: bool = False


def references(raws: Sequence[RawFrame], indices: Sequence[int]) -> tuple[Reference, ...]:
    return tuple(Reference(index, raws[index]) for index in indices)


def video(pictures: Sequence[Picture]) -> Iterator[VideoFrame]:
    return (VideoFrame(index, rgb, index) for index, rgb in enumerate(pictures))


def run(
    raws: Sequence[RawFrame], pictures: Sequence[Picture], indices: Sequence[int], **how: object
) -> list[Result]:
    """All frames; checks that each comes once, in order, and that references don't change."""
    clip = Clip(references(raws, indices), **how)  # type: ignore[arg-type]
    results = [result for result in reconstruct(clip, video(pictures)) if result is not None]
    assert [result.index for result in results] == list(range(len(pictures)))
    for index in indices:
        assert results[index].raw is raws[index]
        assert results[index].trusted is None
    return results


def score(result: Result, scene: Array) -> float:
    """PSNR in dB against the noiseless truth."""
    return psnr(normalise(result.raw.mosaic, BLACK, WHITE), mosaic(scene))


@pytest.mark.parametrize(
    "indices", [(0,), (4,), (8,), (0, 8), (2, 3, 6), (0, 1), tuple(range(FRAMES))], ids=str
)
def test_every_frame_is_reconstructed_for_any_references(indices: tuple[int, ...]) -> None:
    results = run(RAWS, PICTURES, indices)
    reconstructed = [result for result in results if result.index not in indices]
    assert min((score(r, SCENES[r.index]) for r in reconstructed), default=99) > 55
    assert all(0.4 < (r.trusted or 0) <= 1 and 0.9 < r.brightness < 1.1 for r in reconstructed)


def test_backwards_is_the_mirror_image_of_forwards() -> None:
    """A clip and its reverse give the same frames, except for rounding where chains are blended."""
    for indices in ((0,), (0, 8), (2, 6)):
        mirrored = [FRAMES - 1 - index for index in reversed(indices)]
        forward = run(RAWS, PICTURES, indices)
        backward = run(RAWS[::-1], PICTURES[::-1], mirrored)[::-1]
        for one, two in zip(forward, backward, strict=True):
            difference = one.raw.mosaic.astype(int) - two.raw.mosaic.astype(int)
            assert np.abs(difference).max() <= (indices != (0,))  # halves are rounded to even


def test_levels_may_differ_between_references() -> None:
    """Other levels at another ISO: frames between have those of the previous reference."""
    other = replace(
        RAWS[8],
        mosaic=(4 * RAWS[8].mosaic).astype(np.uint16),
        black=tuple(4 * black for black in BLACK),
        white=4 * WHITE,
        bits=BITS + 2,
    )
    plain = run(RAWS, PICTURES, (0, 8))
    mixed = run([*RAWS[:8], other], PICTURES, (0, 8))
    for one, two in zip(plain[:8], mixed[:8], strict=True):
        assert two.raw.white == WHITE
        assert np.abs(one.raw.mosaic.astype(int) - two.raw.mosaic.astype(int)).max() <= 1


# Quality on simulated cameras


def simulate(
    folder: Path, light: Light, isp_gain: Sequence[float], **isp: float
) -> tuple[list[RawFrame], list[Picture]]:
    """A hand-held clip behind a camera-like ISP whose gain is given frame by frame."""
    rng = np.random.default_rng(5)
    texture = rng.uniform(0, 1, (400, 400, 3)).astype(np.float32)
    texture = sum(cv2.GaussianBlur(texture, (0, 0), s) * s for s in (2, 6, 16))
    low, high = texture.min(axis=(0, 1)), texture.max(axis=(0, 1))
    photo = np.rint(30 + 210 * (texture - low) / (high - low)).astype(np.uint8)
    cv2.imwrite(str(folder / "photo.png"), photo)
    recipe = Recipe(
        name="clip",
        seed=3,
        width=144,
        height=128,
        frames=len(isp_gain),
        background=Source(kind="photo", path="photo.png", shrink=1),
        camera=Trajectory(velocity=(1.1, -0.4), shake=0.7),
        light=light,
        sensor=Sensor(
            name="Test",
            bits=12,
            black=256,
            white=4095,
            color_matrix=(
                (0.7034, -0.0804, -0.1014),
                (-0.442, 1.2564, 0.2058),
                (-0.0851, 0.1994, 0.5758),
            ),
            neutral=(0.5, 1, 0.7),
            electrons_per_dn=4,
        ),
        isp=CameraIsp(kind="camera", gain_drift=0, local_tone=0.2, **isp),
    )
    raws = list(Simulation(recipe, SourceFolders((folder,))).raws())
    pictures = []
    for index, (raw, gain) in enumerate(zip(raws, isp_gain, strict=True)):
        style = recipe.isp.model_copy(update={"gain": gain})
        pictures.append(develop(raw, style, index, light))
    return raws, pictures


def errors(results: Sequence[Result], raws: Sequence[RawFrame], chosen: Sequence[int]) -> float:
    """Mean PSNR in dB over the given frames, on DN / white."""
    values = [
        psnr(results[k].raw.mosaic / raws[k].white, raws[k].mosaic / raws[k].white) for k in chosen
    ]
    return float(np.mean(values))


def test_references_reduce_drift(tmp_path: Path) -> None:
    """The ISP's white balance drifts; there is a reference every eight frames."""
    raws, pictures = simulate(
        tmp_path, Light(exposure=0.5), [1.2] * 17, white_balance_drift=0.1, drift_period=34
    )
    between = [index for index in range(17) if index % 8]
    single = run(raws, pictures, (0,))
    several = run(raws, pictures, (0, 8, 16))
    assert errors(several, raws, between) > errors(single, raws, between) + 2
    assert errors(several, raws, range(9, 16)) > errors(single, raws, range(9, 16)) + 5


def test_known_exposures_correct_steps_that_the_isp_hides(tmp_path: Path) -> None:
    """Twice the exposure, half the gain: the sRGB keeps its brightness, the RAW doesn't."""
    exposure = [1.0] * 3 + [2.0] * 3 + [0.5] * 3
    light = Light(exposure=0.25, steps=((3, 2), (6, 0.25)))
    raws, pictures = simulate(tmp_path, light, [2.4 / factor for factor in exposure])
    assert pictures[5].mean() == pytest.approx(pictures[0].mean(), rel=0.03)
    unknown = run(raws, pictures, (0,))
    known = run(raws, pictures, (0,), exposures=exposure)
    assert errors(known, raws, (1, 2)) == pytest.approx(errors(unknown, raws, (1, 2)), abs=0.5)
    for stretch in (range(3, 6), range(6, 9)):
        assert errors(known, raws, stretch) > errors(unknown, raws, stretch) + 10
    for indices in ((4,), (0, 8)):  # backward and blended chains, too
        reconstructed = [index for index in range(9) if index not in indices]
        results = run(raws, pictures, indices, exposures=exposure)
        ratios = [
            (results[k].raw.mosaic - 256.0).mean() / (raws[k].mosaic - 256.0).mean()
            for k in reconstructed
        ]
        assert ratios == pytest.approx([1] * len(reconstructed), rel=0.03)
        assert errors(results, raws, reconstructed) > errors(known, raws, range(3, 9)) - 1


# Given flows


def test_given_flows_are_inverted_for_forward_chains_only(tmp_path: Path) -> None:
    """File k leads from frame k to k+1, as backward chains need; forward ones invert it."""
    files = [tmp_path / f"{index}.npy" for index in range(5)]
    for index, file in enumerate(files):
        np.save(file, np.full((16, 24, 2), (index + 1, 0), np.float32))
    forward, backward = near_flow(files, 2, 1), near_flow(files, 4, -1)
    for age in (1, 2, 3):  # frames 3, 4, 5 to the one before
        assert np.allclose(forward(age, (16, 24))[..., 0], -(2 + age))
    for age in (1, 2, 3, 4):  # frames 3, 2, 1, 0 to the one after
        assert np.allclose(backward(age, (16, 24))[..., 0], 5 - age)


def test_given_flows_are_used_in_both_directions(tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.npy" for index in range(FRAMES - 1)]
    for file in files:
        np.save(file, np.full((*RAWS[0].size, 2), (-1.25, 0.75), np.float32))
    results = run(RAWS, PICTURES, (5,), flows=files)
    assert min(score(r, SCENES[r.index]) for r in results if r.index != 5) > 55


# Resuming, and errors


@pytest.mark.parametrize("indices", [(0,), (0, 8), (2, 6), (5,)], ids=str)
def test_resuming_gives_the_same_frames(indices: tuple[int, ...]) -> None:
    clip = Clip(references(RAWS, indices))
    whole = run(RAWS, PICTURES, indices)
    for last in (1, 4, 7):
        start = Start(last, whole[last].state)
        results = list(reconstruct(clip, video(PICTURES), start))
        assert results[: last + 1] == [None] * (last + 1)
        for one, two in zip(whole[last + 1 :], results[last + 1 :], strict=True):
            assert two is not None
            assert np.array_equal(one.raw.mosaic, two.raw.mosaic)


@pytest.mark.parametrize("taken", [1, 4, 7])
def test_stopping_early_leaves_no_thread_and_no_file(tmp_path: Path, taken: int) -> None:
    before = set(threads_now())
    clip = Clip(references(RAWS, (2, 6)), scratch=tmp_path)
    results = reconstruct(clip, video(PICTURES))
    for _ in range(taken):
        next(results)
    results.close()
    left = set(threads_now()) - before
    assert [one.name for one in left if not one.name.startswith("strips")] == []  # kept for reuse
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_scratch_folder_is_reported(tmp_path: Path) -> None:
    clip = Clip(references(RAWS, (0, 8)), scratch=tmp_path / "none")
    with pytest.raises(OutputError, match="can't use temporary files"):
        list(reconstruct(clip, video(PICTURES)))


def test_references_must_share_a_phase() -> None:
    other = raw_frame(SCENES[4], CfaPhase.GBRG)
    mixed = (Reference(0, RAWS[0]), Reference(4, other))
    with pytest.raises(MismatchError, match=r"frame 0 has CFA phase RGGB.*frame 4 has GBRG"):
        require_usable(mixed, Path("clip.rvd"))
    require_usable(references(RAWS, (0, 4)), Path("clip.rvd"))


def test_a_reference_is_needed() -> None:
    with pytest.raises(BundleError, match="no RAW frame"):
        require_usable((), Path("clip.rvd"))
