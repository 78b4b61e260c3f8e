"""`probe` predicts, from packets alone, exactly what decoding gives."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from video_clips import (
    B_FRAMES,
    HEIGHT,
    RATE,
    WIDTH,
    X265,
    index_of,
    key_packets,
    make_clip,
    rewrap,
)

from rvdtool.errors import VideoError
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.source import FileSource

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
OPEN_GOP = {"x265-params": X265["x265-params"] + ":open-gop=1"}

# name: file suffix, encoder, pixel format, encoder options, bits, FFmpeg's name of the codec
FORMATS = {
    "h264-mp4": (".mp4", "libx264", "yuv420p", B_FRAMES, 8, "h264"),
    "h264-mov": (".mov", "libx264", "yuv420p", B_FRAMES, 8, "h264"),
    "h264-mkv": (".mkv", "libx264", "yuv420p", B_FRAMES, 8, "h264"),
    "h264-avi": (".avi", "libx264", "yuv420p", B_FRAMES, 8, "h264"),
    "h264-ts": (".ts", "libx264", "yuv420p", B_FRAMES, 8, "h264"),
    "h264-10bit-mp4": (".mp4", "libx264", "yuv420p10le", B_FRAMES, 10, "h264"),
    "h264-444-mp4": (".mp4", "libx264", "yuv444p", B_FRAMES, 8, "h264"),
    "h264-rgb-mp4": (".mp4", "libx264rgb", "rgb24", B_FRAMES, 8, "h264"),
    "hevc-mp4": (".mp4", "libx265", "yuv420p", X265, 8, "hevc"),
    "hevc-10bit-mp4": (".mp4", "libx265", "yuv420p10le", X265, 10, "hevc"),
    "hevc-10bit-mkv": (".mkv", "libx265", "yuv420p10le", OPEN_GOP, 10, "hevc"),
    "prores-mov": (".mov", "prores_ks", "yuv422p10le", {}, 10, "prores"),
    "prores-mkv": (".mkv", "prores_ks", "yuv422p10le", {}, 10, "prores"),
    "ffv1-mkv": (".mkv", "ffv1", "yuv420p", {}, 8, "ffv1"),
    "ffv1-avi": (".avi", "ffv1", "bgr0", {}, 8, "ffv1"),
    "ffv1-10bit-mkv": (".mkv", "ffv1", "yuv422p10le", {}, 10, "ffv1"),
    "ffv1-16bit-mkv": (".mkv", "ffv1", "gbrp16le", {}, 16, "ffv1"),
    "mjpeg-avi": (".avi", "mjpeg", "yuvj420p", {}, 8, "mjpeg"),
    "mjpeg-mov": (".mov", "mjpeg", "yuvj420p", {}, 8, "mjpeg"),
    "mpeg4-avi": (".avi", "mpeg4", "yuv420p", {"bf": "2"}, 8, "mpeg4"),
    "vp9-webm": (".webm", "libvpx-vp9", "yuv420p", {"lag-in-frames": "8"}, 8, "vp9"),
    "mpeg2-mxf": (".mxf", "mpeg2video", "yuv420p", {"bf": "2"}, 8, "mpeg2video"),
}


def decoded_indices(path: Path) -> list[int]:
    """Probe, decode, and identify the pictures; `read_frames` itself compares both."""
    source = FileSource(path)
    info = probe(source)
    frames = list(read_frames(source, info))
    assert [f.index for f in frames] == list(range(info.frame_count))
    assert tuple(f.pts for f in frames) == info.timestamps
    return [index_of(f.rgb) for f in frames]


def seconds(path: Path) -> list[Fraction]:
    """The times of the frames, relative to the first."""
    info = probe(FileSource(path))
    return [(t - info.timestamps[0]) * info.time_base for t in info.timestamps]


@pytest.mark.parametrize("name", FORMATS)
def test_probe_agrees_with_a_full_decode(name: str, tmp_path: Path) -> None:
    suffix, codec, pixel_format, options, bits, codec_name = FORMATS[name]
    path = make_clip(tmp_path / f"clip{suffix}", codec, pixel_format, options=options)

    info = probe(FileSource(path))

    assert (info.width, info.height, info.bits) == (WIDTH, HEIGHT, bits)
    assert (info.codec, info.rate, info.rotation) == (codec_name, RATE, 0)
    assert decoded_indices(path) == list(range(12))
    # A file keeps times in ticks, Matroska in milliseconds.
    tolerance = info.time_base / 2
    for k, time in enumerate(seconds(path)):
        assert abs(time - Fraction(k, RATE)) <= tolerance


@pytest.mark.parametrize("name", FORMATS)
def test_probe_agrees_with_ffmpegs_defaults(name: str, tmp_path: Path) -> None:
    suffix, codec, pixel_format, options, *_ = FORMATS[name]
    path = make_clip(tmp_path / f"clip{suffix}", codec, pixel_format, options=options)
    with av.open(str(path)) as container:
        decoded = [frame.pts for frame in container.decode(video=0)]
    # H.264 with B-frames in AVI: FFmpeg shows frames in order, but numbers them as decoded.
    expected = sorted(decoded) if suffix == ".avi" else decoded
    assert list(probe(FileSource(path)).timestamps) == expected


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_frame_rate_keeps_every_time(suffix: str, tmp_path: Path) -> None:
    pts = [0, 1, 2, 5, 6, 7, 11, 12, 13, 14, 20, 21]
    path = make_clip(tmp_path / f"vfr{suffix}", options=B_FRAMES, pts=pts)
    assert decoded_indices(path) == list(range(12))
    assert seconds(path) == [Fraction(t, RATE) for t in pts]


def test_edit_list_hides_frames_that_the_header_counts(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", options=B_FRAMES)
    path = rewrap(whole, tmp_path / "edit.mp4", shift=-4)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 12  # what must not be trusted
    assert decoded_indices(path) == list(range(4, 12))


def test_edit_list_with_hevc(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", "libx265", options=X265)
    assert decoded_indices(rewrap(whole, tmp_path / "edit.mp4", shift=-4)) == list(range(4, 12))


def test_matroska_counts_no_frames_in_its_header(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv")
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 0
    assert probe(FileSource(path)).frame_count == 12


def test_fragmented_mp4(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", options=B_FRAMES, container_options=FRAGMENTED)
    assert decoded_indices(path) == list(range(12))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_clip_cut_before_a_key_frame_starts_at_it(suffix: str, tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", options=B_FRAMES)
    assert key_packets(whole) == [0, 6]
    path = rewrap(whole, tmp_path / f"cut{suffix}", drop=2)
    assert decoded_indices(path) == list(range(6, 12))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_clip_cut_inside_an_open_gop_leaves_out_undecodable_frames(
    suffix: str, tmp_path: Path
) -> None:
    whole = make_clip(tmp_path / "whole.mp4", "libx265", options=OPEN_GOP)
    key = key_packets(whole)[1]
    assert key < 6  # in decoding order before pictures that are shown before it
    path = rewrap(whole, tmp_path / f"cut{suffix}", drop=key)
    assert decoded_indices(path) == list(range(6, 12))


@pytest.mark.parametrize(
    ("counter_clockwise", "clockwise"), [(0, 0), (-90, 90), (180, 180), (90, 270)]
)
def test_rotation_is_reported_clockwise_and_not_applied(
    counter_clockwise: int, clockwise: int, tmp_path: Path
) -> None:
    whole = make_clip(tmp_path / "whole.mp4")
    path = rewrap(whole, tmp_path / "turned.mp4", rotation=counter_clockwise)
    source = FileSource(path)
    info = probe(source)
    assert info.rotation == clockwise
    assert next(read_frames(source, info)).rgb.shape == (HEIGHT, WIDTH, 3)
    assert decoded_indices(path) == list(range(12))


def test_rotation_agrees_with_the_bytes_of_the_track_header(tmp_path: Path) -> None:
    """A phone held upright writes a=0 b=1 c=-1 d=0 (ISO/IEC 14496-12, 8.3.2): rotate clockwise."""
    path = make_clip(tmp_path / "phone.mp4")
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 5 * 4 + 2 * 4 + 4 * 2
    unity = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000]
    assert data[matrix : matrix + 36] == b"".join(v.to_bytes(4, "big") for v in unity)
    turned = [0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000]
    data[matrix : matrix + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in turned)
    path.write_bytes(data)
    assert probe(FileSource(path)).rotation == 90


@pytest.mark.parametrize(
    ("rotation", "mirror", "says"), [(45, False, "rotated"), (0, True, "mirrored")]
)
def test_mirrored_and_oblique_video_is_refused(
    rotation: int, mirror: bool, says: str, tmp_path: Path
) -> None:
    whole = make_clip(tmp_path / "whole.mp4")
    path = rewrap(whole, tmp_path / "odd.mp4", rotation=rotation, mirror=mirror)
    with pytest.raises(VideoError, match=says):
        probe(FileSource(path))


@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format"),
    [(".mkv", "ffv1", "yuv420p"), (".avi", "mjpeg", "yuvj420p"), (".mp4", "libx264", "yuv444p")],
)
def test_odd_sizes(suffix: str, codec: str, pixel_format: str, tmp_path: Path) -> None:
    path = make_clip(tmp_path / f"odd{suffix}", codec, pixel_format, size=(63, 47))
    source = FileSource(path)
    info = probe(source)
    assert (info.width, info.height) == (63, 47)
    assert {f.rgb.shape for f in read_frames(source, info)} == {(47, 63, 3)}
    assert decoded_indices(path) == list(range(12))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_fractional_rate(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"ntsc{suffix}"
    rate = Fraction(30000, 1001)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(WIDTH, HEIGHT, "yuv420p")))
        container.mux(stream.encode(None))
    assert probe(FileSource(path)).rate == rate


def test_sound_does_not_affect_the_video(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", options=B_FRAMES)
    path = tmp_path / "sound.mp4"
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        audio = new.add_stream("aac", rate=48000, layout="mono")
        video = new.add_stream_from_template(old.streams.video[0])
        for k in range(24):
            sound = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            sound.planes[0].update(bytes(4096))
            sound.rate, sound.pts = 48000, 1024 * k
            new.mux(audio.encode(sound))
        new.mux(audio.encode(None))
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = video
                new.mux(packet)
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 1
    assert decoded_indices(path) == list(range(12))
