"""Encoding: right colours and tags, all frames, and nothing half-written."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from video_clips import picture

from rvdtool.errors import MismatchError, OutputError, UsageError
from rvdtool.video import encode
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.encode import VideoCodec, encode_video
from rvdtool.video.source import FileSource

RATE = Fraction(24000, 1001)
FILES: list[tuple[VideoCodec, str]] = [
    ("h264", ".mp4"),
    ("h264", ".mov"),
    ("h264", ".mkv"),
    ("hevc", ".mp4"),
    ("hevc", ".mkv"),
    ("prores", ".mov"),
    ("ffv1", ".mkv"),
]
PIXELS = {"h264": "yuv420p", "hevc": "yuv420p", "prores": "yuv422p10le", "ffv1": "bgr0"}


def patches() -> NDArray[np.uint8]:
    """[96, 128, 3]: 16×16 patches of colours, neutral ones first."""
    colors = np.random.default_rng(0).integers(0, 256, (6, 8, 3))
    colors[0] = np.linspace(0, 255, 8)[:, None]
    colors[1] = [[255 * (k >> b & 1) for b in range(3)] for k in range(8)]
    return colors.astype(np.uint8).repeat(16, 0).repeat(16, 1)


@pytest.mark.parametrize(("codec", "suffix"), FILES)
def test_tags_count_and_times(codec: VideoCodec, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip{suffix}"
    written = encode_video((picture(k) for k in range(12)), path, rate=RATE, codec=codec)

    assert written == 12
    info = probe(FileSource(path))
    assert (info.frame_count, info.rate, info.pixel_format) == (12, RATE, PIXELS[codec])
    values = ("rgb", "full", "iec61966-2-1") if codec == "ffv1" else ("bt709", "limited", "bt709")
    tags = (info.color.matrix, info.color.range, info.color.transfer)
    assert tuple(t.value for t in tags) == values
    assert (info.color.primaries.value, info.color.primaries.source) == ("bt709", "stream")
    assert {t.source for t in tags} == {"stream"}
    with av.open(str(path)) as container:  # and as another program sees them
        context = container.streams.video[0].codec_context
        if codec != "ffv1":
            assert (context.colorspace, context.color_range) == (1, 1)
        assert context.color_primaries == 1
        if (codec, suffix) == ("hevc", ".mp4"):
            assert context.codec_tag == "hvc1"  # Apple's players know no other
        assert [f.name for f in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(("codec", "suffix"), FILES)
def test_colours_are_preserved(codec: VideoCodec, suffix: str, tmp_path: Path) -> None:
    path, rgb = tmp_path / f"clip{suffix}", patches()
    encode_video([rgb] * 2, path, rate=RATE, codec=codec, crf=1)
    source = FileSource(path)
    for frame in read_frames(source, probe(source)):
        peak = 1 if frame.rgb.dtype == np.uint8 else 257
        error = np.abs(frame.rgb[8::16, 8::16] / peak - rgb[8::16, 8::16].astype(float))
        # An 8-bit Y'CbCr code is up to 2.1 codes of blue; then comes what the encoder loses.
        assert error.max() <= (0 if codec == "ffv1" else 3)
        assert error.mean() <= (0 if codec == "ffv1" else 1)


def test_ffv1_is_lossless_at_any_size(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (31, 45, 3), np.uint8)
    encode_video([rgb, rgb[::-1]], tmp_path / "clip.mkv", rate=RATE, codec="ffv1")
    source = FileSource(tmp_path / "clip.mkv")
    first, second = read_frames(source, probe(source))
    np.testing.assert_array_equal(first.rgb, rgb)
    np.testing.assert_array_equal(second.rgb, rgb[::-1])


def test_crf_and_preset_reach_the_encoder(tmp_path: Path) -> None:
    sizes = {}
    for crf, preset in [(5, "medium"), (40, "medium"), (40, "ultrafast")]:
        path = tmp_path / f"{crf}{preset}.mp4"
        frames = [picture(k) for k in range(6)]
        encode_video(frames, path, rate=RATE, crf=crf, preset=preset)
        sizes[crf, preset] = path.stat().st_size
    assert sizes[5, "medium"] > sizes[40, "medium"]
    assert sizes[40, "medium"] != sizes[40, "ultrafast"]


def test_encoders_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for codec, suffix in FILES:
        path = tmp_path / f"{codec}{suffix}"
        encode_video([picture(0)], path, rate=RATE, codec=codec)
    assert capfd.readouterr() == ("", "")


def test_frames_are_taken_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"

    def frames() -> Iterator[NDArray[np.uint8]]:
        for k in range(200):
            yield np.random.default_rng(k).integers(0, 256, (48, 64, 3), np.uint8)
        # By now the first frames must be on the disk.
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) > 100_000

    encode_video(frames(), path, rate=RATE, codec="ffv1")
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("clip.mp4", {"codec": "ffv1"}, r"ffv1 goes into \.mkv"),
        ("clip.mp4", {"codec": "prores"}, r"prores goes into \.mov, \.mkv"),
        ("clip.avi", {}, r"h264 goes into \.mp4, \.mov, \.mkv"),
        ("clip.mp4", {"crf": 52}, "crf 0..51"),
        ("clip.mp4", {"preset": "best"}, "medium"),
        ("clip.mp4", {"rate": Fraction(0)}, "above 0"),
        ("clip.mp4", {"frames": []}, "no frames"),
        ("clip.mp4", {"frames": [picture(0, 63, 48)]}, "even sizes"),
    ],
)
def test_invalid_options_are_refused(
    name: str, given: dict[str, object], says: str, tmp_path: Path
) -> None:
    arguments = {"frames": [picture(0)], "rate": RATE} | given
    with pytest.raises(UsageError, match=says):
        encode_video(arguments.pop("frames"), tmp_path / name, **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "odd", [picture(1, 32, 48), picture(1).astype(np.uint16), picture(1)[..., 0]]
)
def test_frames_that_differ_leave_nothing(odd: NDArray[np.generic], tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"frame 1 is .*expected uint8 \[48, 64, 3\]"):
        encode_video([picture(0), odd], tmp_path / "clip.mp4", rate=RATE)
    assert not list(tmp_path.iterdir())


def test_an_error_in_the_frames_leaves_nothing(tmp_path: Path) -> None:
    def frames() -> Iterator[NDArray[np.uint8]]:
        yield picture(0)
        raise KeyError("from the caller")

    with pytest.raises(KeyError, match="from the caller"):
        encode_video(frames(), tmp_path / "clip.mp4", rate=RATE)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="already exists"):
        encode_video([picture(0)], path, rate=RATE)
    assert path.read_bytes() == b"mine"
    encode_video([picture(0)], path, rate=RATE, overwrite=True)
    assert probe(FileSource(path)).frame_count == 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_leaves_nothing(suffix: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")  # a limit on file size behaves like a full disk
    noise = np.random.default_rng(0).integers(0, 256, (20, 96, 128, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="can't be written"):
            encode_video(noise, tmp_path / f"clip{suffix}", rate=RATE, crf=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_a_missing_encoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = encode.ENCODERS | {"h264": encode._Encoder("libnothing", "yuv420p", (".mp4",))}
    monkeypatch.setattr(encode, "ENCODERS", lacking)
    with pytest.raises(OutputError, match="no encoder libnothing"):
        encode_video([picture(0)], tmp_path / "clip.mp4", rate=RATE)
    assert not list(tmp_path.iterdir())
