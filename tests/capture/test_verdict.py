"""The verdict of `pack` on a match: good, doubtful or refused, and the reason."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from small_shots import pan, raw_frame, render

from rvdtool.bundle.store import open_bundle
from rvdtool.capture.pack import pack
from rvdtool.capture.stills import Still
from rvdtool.capture.verdict import Verdict
from rvdtool.errors import MismatchError
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CfaPhase
from rvdtool.raw.read import MosaicLevels
from rvdtool.video.encode import encode_video

SIZE = (192, 256)


def write_video(folder: Path, lights: list[NDArray[Any]]) -> Path:
    path = folder / "clip.mkv"
    encode_video([render(light) for light in lights], path, rate=Fraction(25), codec="ffv1")
    return path


def verdict_of(video: Path, raw: Any, **options: Any) -> tuple[Verdict, list[str]]:
    verdicts: list[Verdict] = []
    said: list[str] = []
    pack(video, raw, judged=verdicts.append, say=said.append, **options)
    assert len(verdicts) == 1
    return verdicts[0], said


@pytest.fixture(scope="module")
def lights() -> list[NDArray[Any]]:
    return pan(8, size=SIZE, step=(1.25, -0.75))


def test_a_raw_of_the_very_frame_is_good_and_gets_no_preview(
    lights: list[NDArray[Any]], tmp_path: Path
) -> None:
    write_dng(raw_frame(lights[2]), tmp_path / "raw.dng")
    verdict, said = verdict_of(write_video(tmp_path, lights), tmp_path / "raw.dng")
    assert (verdict.word, verdict.index) == ("good", 2)
    assert verdict.differs == 0
    assert said == []
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(("named", "right"), [(3, 2), (1, 2), (7, 4)])
def test_a_frame_that_is_clearly_wrong_is_refused_with_the_right_one(
    lights: list[NDArray[Any]], tmp_path: Path, named: int, right: int
) -> None:
    """The usual mistake: counting from 1."""
    raw = tmp_path / "raw.dng"
    write_dng(raw_frame(lights[right]), raw)
    video = write_video(tmp_path, lights)
    with pytest.raises(MismatchError, match=rf"frame {right}, not of frame {named} .*from 0"):
        pack(video, [Still(raw, frame=named)])
    verdict, _ = verdict_of(video, [Still(raw, frame=named)], force=True)
    assert verdict.word == "doubtful"
    assert open_bundle(tmp_path / "clip.rvd").references[0].index == named


def test_in_a_scene_that_stands_still_every_named_frame_is_right(
    lights: list[NDArray[Any]], tmp_path: Path
) -> None:
    raw = tmp_path / "raw.dng"
    write_dng(raw_frame(lights[0]), raw)
    rng = np.random.default_rng(0)
    noisy = [lights[0] + rng.normal(0, 0.004, lights[0].shape).astype(np.float32) for _ in range(6)]
    verdict, _ = verdict_of(write_video(tmp_path, noisy), [Still(raw, frame=4)])
    assert (verdict.word, verdict.index) == ("good", 4)


def test_motion_is_doubtful_and_shown_without_being_asked(
    lights: list[NDArray[Any]], tmp_path: Path
) -> None:
    other = lights[0].copy()
    other[60:140, 90:150] = lights[0][::-1, ::-1][60:140, 90:150]
    write_dng(raw_frame(other), tmp_path / "raw.dng")
    video = write_video(tmp_path, lights[:1])
    (tmp_path / "clip.preview.png").write_text("mine")
    verdict, said = verdict_of(video, tmp_path / "raw.dng")
    assert verdict.word == "doubtful"
    assert "motion between still and frame" in str(verdict)
    assert verdict.differs == pytest.approx(80 * 60 / (192 * 256), rel=0.5)
    assert (tmp_path / "clip.preview.png").read_text() == "mine"
    assert (tmp_path / "clip.preview-2.png").is_file()
    assert any("clip.preview-2.png" in line for line in said)


def test_a_blurred_frame_is_doubtful(lights: list[NDArray[Any]], tmp_path: Path) -> None:
    write_dng(raw_frame(lights[0]), tmp_path / "raw.dng")
    video = write_video(tmp_path, [cv2.blur(lights[0], (21, 1))])
    verdict, _ = verdict_of(video, tmp_path / "raw.dng")
    assert verdict.word == "doubtful"
    assert "blur" in str(verdict)


def test_an_overexposed_frame_is_doubtful(lights: list[NDArray[Any]], tmp_path: Path) -> None:
    write_dng(raw_frame(lights[0]), tmp_path / "raw.dng")
    verdict, _ = verdict_of(write_video(tmp_path, [lights[0] * 6]), tmp_path / "raw.dng")
    assert verdict.word == "doubtful"
    assert "exposure" in str(verdict)


@pytest.mark.parametrize("wrong", [CfaPhase.GRBG, CfaPhase.RGGB, CfaPhase.BGGR])
def test_a_wrong_phase_is_refused_with_the_right_one(
    lights: list[NDArray[Any]], tmp_path: Path, wrong: CfaPhase
) -> None:
    """For a mosaic without metadata. GRBG instead of GBRG swaps red and blue, and nothing else."""
    frame = raw_frame(lights[0], CfaPhase.GBRG)
    tifffile.imwrite(tmp_path / "raw.tiff", frame.mosaic)
    video = write_video(tmp_path, lights[:1])
    levels = MosaicLevels(frame.black, frame.white, frame.phase, frame.bits)
    assert verdict_of(video, tmp_path / "raw.tiff", levels=levels)[0].word == "good"
    with pytest.raises(MismatchError, match="give --phase GBRG"):
        pack(video, tmp_path / "raw.tiff", tmp_path / "b", levels=replace(levels, phase=wrong))


def test_a_texture_that_repeats_itself_is_doubtful(tmp_path: Path) -> None:
    tile = pan(1, size=(40, 40))[0]
    wide = np.tile(tile, (9, 10, 1))
    write_dng(raw_frame(wide), tmp_path / "raw.dng")
    shown = cv2.resize(wide[57:297, 63:383], (192, 144), interpolation=cv2.INTER_AREA)
    verdict, _ = verdict_of(write_video(tmp_path, [shown]), tmp_path / "raw.dng")
    assert verdict.word == "doubtful"
    assert "the texture repeats" in str(verdict)


def test_a_scene_that_doesnt_repeat_itself_isnt_taken_for_one(tmp_path: Path) -> None:
    wide = pan(1, size=(360, 400))[0]
    write_dng(raw_frame(wide), tmp_path / "raw.dng")
    shown = cv2.resize(wide[57:297, 63:383], (192, 144), interpolation=cv2.INTER_AREA)
    verdict, _ = verdict_of(write_video(tmp_path, [shown]), tmp_path / "raw.dng")
    assert "repeats" not in str(verdict)
