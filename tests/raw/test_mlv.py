"""Magic Lantern videos, compared with FFmpeg's demuxer and with the values written."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from mlv_samples import (
    GUID,
    MATRIX,
    Clip,
    block,
    file_header,
    frame,
    metadata,
    mlv_bytes,
    random_mosaics,
    write_mlv,
)
from numpy.typing import NDArray

from rvdtool.errors import InputError, RawError
from rvdtool.raw.color import neutral_of_white
from rvdtool.raw.frame import CfaPhase, Exposure
from rvdtool.raw.mlv import read_mlv
from rvdtool.raw.one_frame import one_frame_file
from rvdtool.raw.read import read_raw


def _read(path: Path) -> list[NDArray[np.uint16]]:
    video = read_mlv(path)
    return [video.read(index).mosaic for index in range(len(video.frames))]


def _ffmpeg(path: Path, bits: int) -> list[NDArray[np.uint16]]:
    """FFmpeg's output has 16 bits per photosite, with the value in the high bits."""
    with av.open(str(path)) as container:
        frames = []
        for picture in container.decode(video=0):
            plane = picture.planes[0]
            rows = np.frombuffer(plane, np.uint16).reshape(picture.height, -1)
            frames.append(rows[:, : picture.width] >> (16 - bits))
        return frames


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("size", [(24, 32), (7, 24), (6, 12)])
def test_packed_frames_are_read_as_ffmpeg_reads_them(
    bits: int, size: tuple[int, int], tmp_path: Path
) -> None:
    mosaics = random_mosaics(3, size, bits)
    clip = Clip(bits=bits, black=60, white=2**bits - 2)
    path = write_mlv(tmp_path / "clip.MLV", mosaics, clip)
    ours, theirs = _read(path), _ffmpeg(path, bits)
    assert len(ours) == len(theirs) == 3
    for mine, ffmpeg, written in zip(ours, theirs, mosaics, strict=True):
        assert np.array_equal(mine, written)
        assert np.array_equal(mine, ffmpeg)


def test_a_last_word_that_is_not_full(tmp_path: Path) -> None:
    """FFmpeg drops half of it."""
    mosaics = random_mosaics(1, (6, 10))
    path = write_mlv(tmp_path / "clip.mlv", mosaics)
    assert np.array_equal(_read(path)[0], mosaics[0])


@pytest.mark.parametrize("components", [1, 2])
def test_lossless_jpeg(components: int, tmp_path: Path) -> None:
    mosaics = random_mosaics(2)
    path = write_mlv(tmp_path / "clip.mlv", mosaics, Clip(jpeg=components))
    assert all(map(np.array_equal, _read(path), mosaics))


def test_what_the_blocks_say(tmp_path: Path) -> None:
    path = write_mlv(tmp_path / "clip.mlv", random_mosaics(1))
    video = read_mlv(path)
    raw = video.read(0)
    assert video.rate == Fraction(23976, 1000)
    assert (raw.bits, raw.black, raw.white) == (14, (2048,) * 4, 15000)
    assert raw.phase is CfaPhase.RGGB
    assert raw.profile.unique_model == "Canon EOS 5D Mark III"
    assert raw.profile.make == "Canon"
    matrix = np.array(MATRIX).reshape(3, 3) / 10000
    assert np.allclose(raw.profile.color_matrix, matrix)
    assert raw.profile.as_shot_neutral == pytest.approx((500 / 1024, 1, 640 / 1024))
    exposure = raw.exposure
    assert (exposure.time, exposure.iso) == (Fraction(1, 50), 400)
    assert (exposure.f_number, exposure.focal_length) == (Fraction(28, 10), 35)
    assert exposure.lens_model == "EF35mm f/2"
    assert exposure.date_time_original == "2024:01:02 03:04:05"


@pytest.mark.parametrize(
    ("cfa", "phase"),
    [(0x02010100, "RGGB"), (0x01020001, "GRBG"), (0x01000201, "GBRG"), (0x00010102, "BGGR")],
)
def test_cfa_phases(cfa: int, phase: str, tmp_path: Path) -> None:
    path = write_mlv(tmp_path / "clip.mlv", random_mosaics(1), Clip(cfa=cfa))
    assert read_mlv(path).phase.value == phase


@pytest.mark.parametrize(
    ("mode", "kelvin", "white"),
    [
        (9, 6504, (0.3128, 0.3292)),  # D65
        (0, 5003, (0.3457, 0.3587)),  # D50
        (1, 0, (0.3324, 0.3474)),  # D55
        (9, 2856, (0.4476, 0.4074)),  # illuminant A
        (3, 0, (0.4234, 0.3990)),  # black body of 3200 K
    ],
)
def test_white_balance_by_temperature(
    mode: int, kelvin: int, white: tuple[float, float], tmp_path: Path
) -> None:
    clip = Clip(balance=(mode, kelvin, 0, 0, 0))
    path = write_mlv(tmp_path / "clip.mlv", random_mosaics(1), clip)
    matrix = np.array(MATRIX).reshape(3, 3) / 10000
    expected = neutral_of_white(white, [(matrix, 21)], [], np.ones(3))
    assert read_mlv(path).profile.as_shot_neutral == pytest.approx(expected, rel=0.004)


def test_frames_out_of_order_and_exposure_that_changes(tmp_path: Path) -> None:
    mosaics = random_mosaics(3)
    clip = Clip(first=5)
    path = tmp_path / "clip.mlv"
    path.write_bytes(mlv_bytes(mosaics, clip, order=(1, 2, 0)))
    assert all(map(np.array_equal, _read(path), mosaics))
    assert [one.number for one in read_mlv(path).frames] == [5, 6, 7]

    darker = block(b"EXPO", struct.pack("<4IQ", 0, 100, 100, 0, 1000))
    head = [file_header(clip, 2), *metadata(clip, (24, 32))]
    frames = [frame(clip, mosaics[0], 0), darker, frame(clip, mosaics[1], 1)]
    path.write_bytes(b"".join([*head, *frames]))
    video = read_mlv(path)
    assert [video.read(k).exposure.iso for k in (0, 1)] == [400, 100]


def test_split_recordings(tmp_path: Path) -> None:
    mosaics = random_mosaics(3)
    clip = Clip(file_count=3)
    chunks = [file_header(clip, 1, k) + frame(clip, mosaics[k], k) for k in range(3)]
    start = file_header(clip, 1) + b"".join(metadata(clip, (24, 32)))
    path = tmp_path / "clip.MLV"
    path.write_bytes(start + chunks[0][52:])
    (tmp_path / "clip.M00").write_bytes(chunks[1])
    with pytest.raises(RawError, match="split into 3 files, but 2 are here"):
        read_mlv(path)
    (tmp_path / "clip.M01").write_bytes(chunks[2])
    assert all(map(np.array_equal, _read(path), mosaics))
    assert all(map(np.array_equal, _ffmpeg(path, 14), mosaics))
    other = file_header(clip, 1, 2, GUID + 1) + frame(clip, mosaics[2], 2)
    (tmp_path / "clip.M01").write_bytes(other)
    with pytest.raises(RawError, match="another recording"):
        read_mlv(path)


@pytest.mark.parametrize(
    ("clip", "says"),
    [
        (Clip(video_class=0x81), "video class is 0x81"),
        (Clip(video_class=4), "video class is 0x4"),
        (Clip(bits=16), "expected 10, 12 or 14 bits"),
        (Clip(black=15000), "black level 15000 and white level 15000"),
        (Clip(white=20000), "white level 20000"),
        (Clip(cfa=0), "isn't Bayer"),
        (Clip(balance=(9, 5500, 0, 0, 0), matrix=(0,) * 9), "neither a custom white balance"),
    ],
)
def test_what_cannot_be_read_is_said(clip: Clip, says: str, tmp_path: Path) -> None:
    path = write_mlv(tmp_path / "clip.mlv", random_mosaics(1), clip)
    with pytest.raises(RawError, match=says) as caught:
        read_mlv(path)
    assert str(path) in str(caught.value)


def test_missing_frames(tmp_path: Path) -> None:
    mosaics, clip = random_mosaics(3), Clip()
    head = b"".join(metadata(clip, (24, 32)))
    frames = [frame(clip, mosaics[k], k) for k in range(3)]
    path = tmp_path / "clip.mlv"
    path.write_bytes(file_header(clip, 0) + head + frames[0] + frames[2])
    with pytest.raises(RawError, match="frame 2 follows frame 0"):
        read_mlv(path)
    path.write_bytes(file_header(clip, 3) + head + frames[0] + frames[1])
    with pytest.raises(RawError, match="2 frames instead of 3"):
        read_mlv(path)
    path.write_bytes(file_header(clip, 0) + head)
    with pytest.raises(RawError, match="0 frames"):
        read_mlv(path)
    path.write_bytes(file_header(clip, 1) + frames[0])
    with pytest.raises(RawError, match="no RAWI"):
        read_mlv(path)
    with pytest.raises(InputError, match="no such file"):
        read_mlv(tmp_path / "none.mlv")


def test_only_the_first_frame_must_be_whole(tmp_path: Path) -> None:
    mosaics, clip = random_mosaics(4), Clip()
    start = file_header(clip, 4) + b"".join(metadata(clip, (24, 32)))
    frames = [frame(clip, mosaics[k], k) for k in range(4)]
    path = tmp_path / "clip.mlv"
    for damaged in (
        start + frames[0] + frames[1] + frames[3],
        start + frames[1] + frames[0] + frames[2][:-50],
        start + frames[0] + b"VIDF\3\0\0\0" + bytes(90),
    ):
        path.write_bytes(damaged)
        assert np.array_equal(read_raw(path).mosaic, mosaics[0])
        with one_frame_file(path) as alone:
            assert np.array_equal(read_raw(alone).mosaic, mosaics[0])
        with pytest.raises(RawError):
            read_mlv(path)
    path.write_bytes(start + frames[1] + frames[0][:-50])
    with pytest.raises(RawError, match="first complete frame has the number 1"):
        read_raw(path)
    path.write_bytes(start + frames[0][:-50])
    with pytest.raises(RawError, match="no complete frame"):
        read_raw(path)


def test_a_missing_file_matters_only_to_what_is_in_it(tmp_path: Path) -> None:
    mosaics, clip = random_mosaics(2), Clip(file_count=2)
    start = file_header(clip, 1) + b"".join(metadata(clip, (24, 32)))
    path = tmp_path / "clip.mlv"
    path.write_bytes(start + frame(clip, mosaics[0], 0))
    assert np.array_equal(read_raw(path).mosaic, mosaics[0])
    path.write_bytes(start + frame(clip, mosaics[1], 1))
    with pytest.raises(RawError, match="split into 2 files"):
        read_raw(path)


def test_every_truncation_is_found(tmp_path: Path) -> None:
    data = mlv_bytes(random_mosaics(2, (6, 8)))
    path = tmp_path / "clip.mlv"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(RawError):
            _read(path)


@pytest.mark.parametrize("components", [0, 2])
def test_damage_gives_typed_errors(components: int, tmp_path: Path) -> None:
    clip = Clip(jpeg=components, space=0)
    data = mlv_bytes(random_mosaics(1, (6, 8)), clip)
    path = tmp_path / "clip.mlv"
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(400):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            _read(path)
        except RawError:
            refused += 1
    assert refused > 50


def test_lossless_jpegs_that_are_not_whole_or_tiled(tmp_path: Path) -> None:
    mosaics = random_mosaics(1)
    path = write_mlv(tmp_path / "clip.mlv", mosaics, Clip(jpeg=2, prefix=b"\0\6\0\0"))
    with pytest.raises(RawError, match=r"frame 0: compressed in tiles by an old mlv_dump"):
        read_mlv(path).read(0)
    data = mlv_bytes(mosaics, Clip(jpeg=2))
    path.write_bytes(data.replace(b"\xff\xd9", b"\0\0"))
    with pytest.raises(RawError, match="not a complete lossless JPEG"):
        read_mlv(path).read(0)
    path.write_bytes(data[: data.index(b"\xff\xc3") + 5] + b"\xff" * 4 + data[-900:])
    with pytest.raises(RawError):
        read_mlv(path)


def test_dates_and_exposures_that_cannot_be(tmp_path: Path) -> None:
    mosaics, clip = random_mosaics(1), Clip()
    blocks = [
        block(b"RTCI", struct.pack("<10H8s", 5, 4, 3, 0, 0, 0, 0, 0, 0, 0, b"")),
        block(b"EXPO", struct.pack("<4IQ", 0, 0, 0, 0, 2**63)),
        block(b"LENS", bytes(80)),
    ]
    others = [one for one in metadata(clip, (24, 32)) if one[:4] not in {b"RTCI", b"EXPO", b"LENS"}]
    path = tmp_path / "clip.mlv"
    path.write_bytes(b"".join([file_header(clip, 1), *blocks, *others, frame(clip, mosaics[0], 0)]))
    assert read_mlv(path).read(0).exposure == Exposure()
