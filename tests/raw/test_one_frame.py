"""One frame of a recording or a folder: read, and as a file to keep."""

import struct
from pathlib import Path

import numpy as np
import pytest
from mlv_samples import Clip, block, file_header, frame, metadata, mlv_bytes, random_mosaics
from raw_samples import make_frame

from rvdtool.errors import InputError, RawError, UsageError
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CfaPhase, RawFrame
from rvdtool.raw.mlv import read_mlv
from rvdtool.raw.one_frame import one_frame_file
from rvdtool.raw.read import MosaicLevels, read_raw

LEVELS = MosaicLevels((64.0,) * 4, 1023, CfaPhase.RGGB, 10)


def same(one: RawFrame, two: RawFrame) -> bool:
    described = [{**vars(frame), "mosaic": None} for frame in (one, two)]
    return np.array_equal(one.mosaic, two.mosaic) and described[0] == described[1]


@pytest.mark.parametrize("clip", [Clip(), Clip(jpeg=2), Clip(bits=10, black=64, white=1000)])
def test_a_recording_gives_its_first_frame_alone(clip: Clip, tmp_path: Path) -> None:
    """Frames lie out of order, and the exposure changes before the second one."""
    mosaics = random_mosaics(3, bits=clip.bits)
    path = tmp_path / "M24-1337.MLV"
    path.write_bytes(mlv_bytes(mosaics, clip, order=(2, 0, 1)))
    whole = read_mlv(path).read(0)
    assert np.array_equal(whole.mosaic, mosaics[0])
    assert same(read_raw(path), whole)
    with one_frame_file(path) as alone:
        assert alone.name == path.name
        assert len(read_mlv(alone).frames) == 1
        assert same(read_raw(alone), whole)
        assert alone.stat().st_size < path.stat().st_size
    assert not alone.exists()


def test_the_exposure_that_holds_for_the_first_frame_is_kept(tmp_path: Path) -> None:
    mosaics, clip = random_mosaics(2), Clip()
    exposures = [block(b"EXPO", struct.pack("<4IQ", 0, iso, iso, 0, 1000)) for iso in (50, 200)]
    head = [file_header(clip, 2), *metadata(clip, (24, 32)), block(b"NULL", bytes(100_000))]
    path = tmp_path / "clip.mlv"
    path.write_bytes(
        b"".join([*head, exposures[0], frame(clip, mosaics[0], 0), exposures[1]])
        + frame(clip, mosaics[1], 1)
    )
    with one_frame_file(path) as alone:
        assert read_raw(alone).exposure.iso == 50
        assert alone.stat().st_size < 3000


def test_the_first_frame_may_lie_in_another_file(tmp_path: Path) -> None:
    mosaics, clip = random_mosaics(2), Clip(file_count=2)
    path = tmp_path / "clip.MLV"
    start = [file_header(clip, 1), *metadata(clip, (24, 32)), frame(clip, mosaics[1], 1)]
    path.write_bytes(b"".join(start))
    (tmp_path / "clip.M00").write_bytes(file_header(clip, 1, 1) + frame(clip, mosaics[0], 0))
    with one_frame_file(path) as alone:
        assert same(read_raw(alone), read_mlv(path).read(0))
        assert np.array_equal(read_raw(alone).mosaic, mosaics[0])


def test_a_folder_of_frames_gives_its_first(tmp_path: Path) -> None:
    frames = [make_frame(bits=bits) for bits in (12, 10)]
    write_dng(frames[0], tmp_path / "A001_000009.dng")
    write_dng(frames[1], tmp_path / "A001_000010.dng")
    (tmp_path / "A001.wav").write_bytes(b"sound")
    assert np.array_equal(read_raw(tmp_path).mosaic, frames[0].mosaic)
    with one_frame_file(tmp_path) as alone:
        assert alone == tmp_path / "A001_000009.dng"


def test_a_file_of_one_frame_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "first.dng"
    path.write_bytes(b"whatever it is")
    with one_frame_file(path) as alone:
        assert alone == path
    assert path.exists()


def test_what_has_no_first_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RawError, match="no RAW frames in it"):
        read_raw(tmp_path)
    for path in (tmp_path, tmp_path / "none.mlv"):
        with pytest.raises(InputError), one_frame_file(path):
            pass
    path = tmp_path / "clip.mlv"
    path.write_bytes(mlv_bytes(random_mosaics(1))[:-1])
    with pytest.raises(RawError, match=r"^[^:]*clip\.mlv: it has no complete frame"):
        read_raw(path)
    with pytest.raises(RawError, match="no complete frame"), one_frame_file(path):
        pass


def test_a_recording_has_its_own_levels(tmp_path: Path) -> None:
    path = tmp_path / "clip.mlv"
    path.write_bytes(mlv_bytes(random_mosaics(1)))
    with pytest.raises(UsageError, match="states its own levels"):
        read_raw(path, levels=LEVELS)


def test_a_frame_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    clip = Clip(space=0)
    path = tmp_path / "clip.mlv"
    path.write_bytes(
        b"".join([file_header(clip, 1), *metadata(clip, (24, 32))])
        + block(b"VIDF", struct.pack("<I4HI", 0, 0, 0, 0, 0, 0) + bytes(2**20 + 4 * 24 * 32 + 1))
    )
    with pytest.raises(RawError, match="absurd"):
        read_raw(path)
