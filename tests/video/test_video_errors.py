"""Files that aren't videos, are damaged or of an unsupported kind raise a VideoError that says
so."""

import gc
import re
import weakref
from dataclasses import replace
from pathlib import Path

import av
import imagecodecs
import numpy as np
import pytest
from video_clips import B_FRAMES, X265, make_clip, picture

from rvdtool.errors import InputError, VideoError
from rvdtool.video import container
from rvdtool.video import picture as picture_module
from rvdtool.video.decode import Assume, probe, read_frames
from rvdtool.video.frame import ColorTag, VideoFrame
from rvdtool.video.source import FileSource, open_bytes

FASTSTART = {"movflags": "faststart"}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


def refused(path: Path, says: str) -> str:
    with pytest.raises(VideoError, match=says) as caught:
        probe(FileSource(path))
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"This is no video.\n" * 500, "can't be opened as a video"),
        (bytes(20000), "can't be opened as a video"),
        (np.random.default_rng(0).bytes(20000), "can't be opened as a video"),
        (b"\x1a\x45\xdf\xa3", "can't be opened as a video"),
        (imagecodecs.png_encode(picture(0)), "can't be opened as a video"),  # a still
        # Playlists would make FFmpeg open other files, or servers.
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nclip.mp4\n#EXT-X-ENDLIST\n", "opened"),
        (b"ffconcat version 1.0\nfile clip.mp4\n", "can't be opened as a video"),
    ],
)
def test_files_that_are_not_videos(content: bytes, says: str, tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4")
    path = tmp_path / "named.mp4"
    path.write_bytes(content)
    refused(path, says)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(InputError, match=re.escape(str(path))):
            probe(FileSource(path))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_video_without_frames(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"none{suffix}"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        output.start_encoding()
    refused(path, "no video stream|no frame|without frames")


def test_sound_with_cover_art_has_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as output:
        audio = output.add_stream("aac", rate=48000, layout="mono")
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in cover.encode(av.VideoFrame(64, 48, "yuvj420p")):
            output.mux(packet)
        sound = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        sound.planes[0].update(bytes(4096))
        sound.rate = 48000
        output.mux(audio.encode(sound))
        output.mux(audio.encode(None))
    with av.open(str(path)) as opened:
        assert len(opened.streams.video) == 1
    refused(path, "no video stream")


@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format"),
    [(".mp4", "libx264", "yuv420p"), (".mov", "prores_ks", "yuv422p10le")],
)
def test_interlaced_video(suffix: str, codec: str, pixel_format: str, tmp_path: Path) -> None:
    options = {"flags": "+ilme+ildct"}
    path = make_clip(tmp_path / f"tv{suffix}", codec, pixel_format, options=options)
    refused(path, "interlaced.*Deinterlace it.*--assume progressive")
    info = probe(FileSource(path), Assume(progressive=True))
    assert len(list(read_frames(FileSource(path), info))) == 12


@pytest.mark.parametrize("pixel_format", ["gray", "gray16le", "gbrpf32le", "gbrpf16le"])
def test_unsupported_pixel_formats(pixel_format: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25, options={"strict": "experimental"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        output.mux(stream.encode(av.VideoFrame(64, 48, pixel_format)))
        output.mux(stream.encode(None))
    refused(path, f"pixel format {pixel_format}")


# How much of the file is left, and whether its packets already tell.
CUT = {
    "mp4": (".mp4", "libx264", "yuv420p", B_FRAMES, {}, True),
    "mp4-faststart": (".mp4", "libx264", "yuv420p", B_FRAMES, FASTSTART, True),
    "mp4-fragmented": (".mp4", "libx264", "yuv420p", B_FRAMES, FRAGMENTED, True),
    "mov-prores": (".mov", "prores_ks", "yuv422p10le", {}, FASTSTART, True),
    "mkv": (".mkv", "libx264", "yuv420p", B_FRAMES, {}, True),
    "mkv-hevc": (".mkv", "libx265", "yuv420p", X265, {}, True),
    "avi-mjpeg": (".avi", "mjpeg", "yuvj420p", {}, {}, True),
    "avi-h264": (".avi", "libx264", "yuv420p", B_FRAMES, {}, True),
    "ts": (".ts", "libx264", "yuv420p", B_FRAMES, {}, False),  # a stream has no end to miss
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("left", [0.5, 0.9])
def test_cut_off_files(name: str, left: float, tmp_path: Path) -> None:
    suffix, codec, pixel_format, options, container_options, told = CUT[name]
    path = make_clip(
        tmp_path / f"clip{suffix}",
        codec,
        pixel_format,
        options=options,
        container_options=container_options,
    )
    source, whole = FileSource(path), probe(FileSource(path))
    data = path.read_bytes()
    path.write_bytes(data[: int(left * len(data))])
    if told:
        refused(path, "cut off|damaged|can't be opened|no video stream")
    else:
        assert probe(source).frame_count < whole.frame_count
    with pytest.raises(VideoError):
        list(read_frames(source, whole))


@pytest.mark.parametrize("kept", [9, 15])
def test_an_unexpected_frame_count_is_named(kept: int, tmp_path: Path) -> None:
    promised = probe(FileSource(make_clip(tmp_path / "promised.mp4", options=B_FRAMES)))
    other = FileSource(make_clip(tmp_path / "other.mp4", options=B_FRAMES, count=kept))
    with pytest.raises(VideoError, match=rf"\b{kept} frames.*\b12 were expected"):
        list(read_frames(other, promised))


def test_a_missing_frame_is_named_with_both_counts(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mkv", "ffv1")
    promised = probe(FileSource(whole))
    path = tmp_path / "lost.mkv"
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        for k, packet in enumerate(old.demux(old.streams.video[0])):
            if packet.size and k != 5:
                packet.stream = copy
                new.mux(packet)
    frames = []
    with pytest.raises(VideoError, match=r"\b11 frames.*\b12 were expected"):
        frames.extend(read_frames(FileSource(path), promised))
    assert probe(FileSource(path)).frame_count == 11


def test_the_same_count_at_other_times(tmp_path: Path) -> None:
    promised = probe(FileSource(make_clip(tmp_path / "promised.mp4", options=B_FRAMES)))
    pts = [*range(7), *range(8, 13)]
    other = FileSource(make_clip(tmp_path / "other.mp4", options=B_FRAMES, pts=pts))
    with pytest.raises(VideoError, match="at different times from frame 7 on"):
        list(read_frames(other, promised))


def test_a_clip_of_another_size(tmp_path: Path) -> None:
    promised = probe(FileSource(make_clip(tmp_path / "promised.mp4")))
    other = FileSource(make_clip(tmp_path / "other.mp4", size=(32, 48)))
    with pytest.raises(VideoError, match=r"32×48.*64×48"):
        list(read_frames(other, promised))


def concatenated(path: Path, parts: list[Path]) -> FileSource:
    """Put H.264 clips of 12 frames, each with headers of its own, into one stream."""
    with av.open(str(path), "w") as output:
        copy = None
        for k, part in enumerate(parts):
            with av.open(str(part)) as opened:
                stream = opened.streams.video[0]
                copy = copy or output.add_stream_from_template(stream)
                for packet in opened.demux(stream):
                    if packet.size:
                        packet.stream = copy
                        packet.pts += k * 12 * 3600
                        packet.dts += k * 12 * 3600
                        output.mux(packet)
    return FileSource(path)


@pytest.mark.parametrize(
    ("size", "options", "says"),
    [
        ((32, 48), {}, "frame 12 changes to 32×48"),
        ((64, 48), {"flags": "+ilme+ildct"}, "frame 12 is interlaced"),
    ],
)
def test_a_clip_that_changes_its_format(
    size: tuple[int, int], options: dict[str, str], says: str, tmp_path: Path
) -> None:
    no_delay = {"bf": "0"}
    parts = [
        make_clip(tmp_path / "0.ts", options=no_delay),
        make_clip(tmp_path / "1.ts", size=size, options=no_delay | options),
    ]
    source = concatenated(tmp_path / "both.ts", parts)
    info = probe(source)
    assert info.frame_count == 24
    with pytest.raises(VideoError, match=says):
        list(read_frames(source, info))


@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format"),
    [(".mov", "prores_ks", "yuv422p10le"), (".mp4", "libx264", "yuv420p")],
)
def test_a_damaged_frame_is_named(
    suffix: str, codec: str, pixel_format: str, tmp_path: Path
) -> None:
    path = make_clip(tmp_path / f"clip{suffix}", codec, pixel_format)
    with av.open(str(path)) as opened:
        packets = [(p.pos, p.size) for p in opened.demux(opened.streams.video[0]) if p.size]
    start, size = packets[4]
    data = bytearray(path.read_bytes())
    data[start + size // 2 : start + size] = bytes(size - size // 2)
    path.write_bytes(data)
    source = FileSource(path)
    info = probe(source)  # from packets alone, all seems well
    assert info.frame_count == 12
    good: list[VideoFrame] = []
    with pytest.raises(VideoError, match=r"frame \d of 12.*damaged|damaged.*frame \d of 12"):
        good.extend(read_frames(source, info))
    assert len(good) <= 4


def test_a_damaged_first_frame(tmp_path: Path) -> None:
    """HEVC decoders silently start at the next key frame; frames must not vanish."""
    path = make_clip(tmp_path / "clip.mp4", "libx265", options=X265)
    with av.open(str(path)) as opened:
        packet = next(opened.demux(opened.streams.video[0]))
        start, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[start + 4 : start + size] = b"\xff" * (size - 4)
    path.write_bytes(data)
    refused(path, "damaged")


def test_ffmpeg_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = make_clip(tmp_path / "clip.mkv", "libx265", options=X265)
    probe(FileSource(path))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(VideoError):
        probe(FileSource(path))
    path.write_bytes(b"no video" * 1000)
    with pytest.raises(VideoError):
        probe(FileSource(path))
    assert capfd.readouterr() == ("", "")


def test_metadata_in_an_unknown_encoding(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as output:
        output.metadata["title"] = "S_den"
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        output.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        output.mux(stream.encode(None))
    data = path.read_bytes()
    assert data.count(b"S_den") == 1
    path.write_bytes(data.replace(b"S_den", "Süden".encode("latin-1")))
    assert probe(FileSource(path)).frame_count == 1


def test_the_file_is_closed_when_reading_stops_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FileSource(make_clip(tmp_path / "clip.mp4", options=B_FRAMES))
    opened = []

    def spy(given: FileSource) -> object:
        opened.append(open_bytes(given))
        return opened[-1]

    monkeypatch.setattr(container, "open_bytes", spy)
    info = probe(source)
    for stop in ("close", "drop", "end", "error"):
        frames = read_frames(source, info)
        next(frames)
        assert not opened[-1].closed
        if stop == "close":
            frames.close()
        elif stop == "end":
            assert len(list(frames)) == 11
        elif stop == "error":
            with pytest.raises(KeyError):
                frames.throw(KeyError())
        del frames
        gc.collect()
        assert opened[-1].closed, stop
    assert len(opened) == 5


def test_reading_ahead_changes_nothing(tmp_path: Path) -> None:
    source = FileSource(make_clip(tmp_path / "clip.mp4", options=B_FRAMES))
    info = probe(source)
    both = (read_frames(source, info, ahead=ahead) for ahead in (True, False))
    for quick, frugal in zip(*both, strict=True):
        assert (quick.index, quick.pts) == (frugal.index, frugal.pts)
        np.testing.assert_array_equal(quick.rgb, frugal.rgb)


def test_frames_are_not_kept(tmp_path: Path) -> None:
    source = FileSource(make_clip(tmp_path / "clip.mkv", "ffv1"))
    alive: list[weakref.ref[np.ndarray]] = []
    for frame in read_frames(source, probe(source)):
        alive.append(weakref.ref(frame.rgb))
        del frame
        assert sum(ref() is not None for ref in alive) == 0
    assert len(alive) == 12


def test_frames_do_not_share_memory(tmp_path: Path) -> None:
    source = FileSource(make_clip(tmp_path / "clip.mkv", "ffv1", "bgr0"))
    frames = list(read_frames(source, probe(source)))
    for frame in frames:
        np.testing.assert_array_equal(frame.rgb, picture(frame.index))


@pytest.mark.parametrize(
    ("name", "value"),
    [("pixel_format", "C:\\evil"), ("matrix", "bt000"), ("range", "full:flags=nothing")],
)
def test_names_unknown_to_ffmpeg_are_refused(tmp_path: Path, name: str, value: str) -> None:
    """They come from a bundle's manifest, which may contain anything."""
    source = FileSource(make_clip(tmp_path / "clip.mp4"))
    info = probe(source)
    if name == "pixel_format":
        forged = replace(info, pixel_format=value)
    else:
        forged = replace(info, color=replace(info.color, **{name: ColorTag(value, "user")}))
    with pytest.raises(VideoError, match="not known to FFmpeg"):
        next(read_frames(source, forged))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("avi", "mpeg4"), ("mkv", "ffv1")]
)
def test_frames_too_large_for_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, codec: str
) -> None:
    """The bound is 8K for small files; it is lowered here to avoid such large frames."""
    path = make_clip(tmp_path / f"clip.{suffix}", codec, count=2)
    info = probe(FileSource(path))
    monkeypatch.setattr(picture_module, "_ALWAYS_READ", 6 * (info.width * info.height - 1))
    monkeypatch.setattr(picture_module, "_LARGEST_RATIO", 0)
    for read in (probe, lambda source: next(read_frames(source, info))):
        with pytest.raises(VideoError):
            read(FileSource(path))
    monkeypatch.undo()
    assert len(list(read_frames(FileSource(path), info))) == 2
