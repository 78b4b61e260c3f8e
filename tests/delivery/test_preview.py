"""The preview: all frames developed alike, with the right tags, beside the input."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_shots import CAMERA, RATE, SIZE, pan, raw_frame, render

from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.capture.pack import pack
from rvdtool.capture.stills import Still
from rvdtool.delivery.folder import DerenderReport, derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.preview import require_preview, upright, write_preview
from rvdtool.errors import OutputError, UsageError
from rvdtool.raw.dng import write_dng
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.encode import encode_video
from rvdtool.video.frame import VideoInfo
from rvdtool.video.source import FileSource

FRAMES = 5
SCENES = pan(FRAMES, step=(0.5, 0.25))


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, DerenderReport]:
    """Two RAWs with different white balance."""
    folder = tmp_path_factory.mktemp("clip")
    stills = [Still(folder / f"{index}.dng", index) for index in (0, 3)]
    warm = replace(CAMERA, as_shot_neutral=(0.9, 1.0, 0.4))
    write_dng(raw_frame(SCENES[0]), stills[0].path)
    write_dng(replace(raw_frame(SCENES[3], seed=3), profile=warm), stills[1].path)
    video = folder / "clip.mkv"
    encode_video((render(scene, 2) for scene in SCENES), video, rate=RATE, codec="ffv1")
    bundle = open_bundle(pack(video, stills))
    return bundle, derender_to_folder(bundle, folder / "raws", DerenderOptions(gain="fixed"))


def decoded(path: Path) -> tuple[VideoInfo, list[NDArray[np.generic]]]:
    info = probe(FileSource(path))
    return info, [frame.rgb for frame in read_frames(FileSource(path), info)]


def test_frames_are_developed_alike(
    delivered: tuple[Bundle, DerenderReport], tmp_path: Path
) -> None:
    bundle, report = delivered
    advanced: list[int] = []
    write_preview(bundle, report, tmp_path / "look.mp4", advance=advanced.append)
    info, pictures = decoded(tmp_path / "look.mp4")
    assert len(pictures) == sum(advanced) == FRAMES
    assert (info.height, info.width, info.rate, info.codec) == (*SIZE, RATE, "h264")
    color = info.color
    tags = color.matrix, color.range, color.transfer, color.primaries
    assert [tag.value for tag in tags] == ["bt709", "limited", "bt709", "bt709"]
    assert {tag.source for tag in tags} == {"stream"}
    means = np.array([picture.mean(axis=(0, 1)) for picture in pictures])
    assert np.ptp(means, axis=0).max() < 4
    # As bright as the video, which is twice as bright as the RAW would be developed.
    assert pictures[0].mean() == pytest.approx(render(SCENES[0], 2).mean(), rel=0.1)


def test_the_input_lies_at_its_left(
    delivered: tuple[Bundle, DerenderReport], tmp_path: Path
) -> None:
    bundle, report = delivered
    part = replace(report, first=2, frames=3)
    write_preview(bundle, part, tmp_path / "look.mp4", side_by_side=True)
    info, pictures = decoded(tmp_path / "look.mp4")
    assert (info.height, info.width, len(pictures)) == (SIZE[0], 2 * SIZE[1], 3)
    for picture, scene in zip(pictures, SCENES[2:], strict=True):
        left = picture[:, : SIZE[1]].astype(float)
        assert np.abs(left - render(scene, 2)).mean() < 6


def test_the_input_is_at_left_of_rotated_frames_too(
    delivered: tuple[Bundle, DerenderReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, report = delivered
    turned = replace(bundle.video_info, rotation=90)
    monkeypatch.setattr(type(bundle), "video_info", property(lambda _: turned))
    write_preview(bundle, report, tmp_path / "look.mp4", side_by_side=True)
    info, pictures = decoded(tmp_path / "look.mp4")
    assert (info.height, info.width) == (SIZE[1], 2 * SIZE[0])
    left = pictures[0][:, : SIZE[0]].astype(float)
    assert np.abs(left - np.rot90(render(SCENES[0], 2), -1)).mean() < 6


def test_pictures_are_shown_upright_with_square_pixels(
    delivered: tuple[Bundle, DerenderReport],
) -> None:
    picture = np.zeros((31, 41, 3), np.uint8)
    picture[:10, :10] = 255  # top left, which a turn by 90° clockwise brings to the top right
    info = replace(delivered[0].video_info, rotation=90, sample_aspect=Fraction(2))
    shown = upright(picture, info)
    assert shown.shape == (82, 30, 3)
    assert shown[:18, 22:].min() == 255
    assert shown[:, :18].max() == 0


def test_a_preview_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    raws, there = tmp_path / "raws", tmp_path / "there.mp4"
    there.touch()
    with pytest.raises(UsageError, match=r"\.mp4, \.mov, \.mkv"):
        require_preview(tmp_path / "look.gif", raws, overwrite=False)
    with pytest.raises(UsageError, match="is in the folder of the DNGs"):
        require_preview(raws / "look.mp4", raws, overwrite=False)
    with pytest.raises(OutputError, match="already exists"):
        require_preview(there, raws, overwrite=False)
    require_preview(there, raws, overwrite=True)
    with pytest.raises(OutputError, match="isn't a folder"):
        require_preview(tmp_path / "none" / "look.mp4", raws, overwrite=False)
