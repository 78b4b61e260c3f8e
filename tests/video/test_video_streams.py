"""Several streams, pixel shapes, truncated transport streams, and constant frame rates."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from video_clips import index_of, make_clip

from rvdtool.errors import UsageError, VideoError
from rvdtool.video.cadence import cadence, slots_of
from rvdtool.video.decode import Assume, probe, read_frames
from rvdtool.video.frame import VideoInfo
from rvdtool.video.source import FileSource


def joined(path: Path, clips: Sequence[Path], default: Sequence[int]) -> FileSource:
    """One file with the video streams of several."""
    with av.open(str(path), "w") as output:
        opened = [av.open(str(clip)) for clip in clips]
        copies = []
        for number, container in enumerate(opened):
            copy = output.add_stream_from_template(container.streams.video[0])
            copy.disposition = av.stream.Disposition(number in default)
            copies.append(copy)
        for copy, container in zip(copies, opened, strict=True):
            for packet in container.demux(container.streams.video[0]):
                if packet.size:
                    packet.stream = copy
                    output.mux(packet)
            container.close()
    return FileSource(path)


@pytest.mark.parametrize(
    ("default", "taken", "why"),
    [((), 1, "the largest"), ((0,), 0, "flagged as default"), ((0, 1), 1, "the largest")],
)
def test_which_of_several_streams(
    default: tuple[int, ...], taken: int, why: str, tmp_path: Path
) -> None:
    small = make_clip(tmp_path / "small.mkv", count=5)
    large = make_clip(tmp_path / "large.mkv", size=(96, 64), count=7)
    source = joined(tmp_path / "both.mkv", [small, large], default)
    said: list[str] = []
    info = probe(source, say=said.append)
    assert (info.stream, info.frame_count) == (taken, (5, 7)[taken])
    (line,) = said
    assert f"0 (64×48), 1 (96×64); stream {taken} is used ({why}); --stream chooses" in line
    frames = list(read_frames(source, info))
    assert [index_of(frame.rgb) for frame in frames] == list(range(info.frame_count))
    said.clear()
    other = probe(source, stream=1 - taken, say=said.append)
    assert (other.stream, other.frame_count, said) == (1 - taken, (7, 5)[taken], [])
    assert len(list(read_frames(source, other))) == other.frame_count
    with pytest.raises(UsageError, match=r"stream 2 is not a video stream; it has 0 \(64×48\), 1"):
        probe(source, stream=2)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    for aspect in (Fraction(4, 3), Fraction(8, 9)):
        path = tmp_path / "clip.mov"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.sample_aspect_ratio = aspect
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
            container.mux(stream.encode(None))
        info = probe(FileSource(path))
        assert info.sample_aspect == aspect
        # PyAV 19 has a type of its own, whose arithmetic rounds to 32 bits.
        assert {type(info.sample_aspect), type(info.time_base), type(info.rate)} == {Fraction}


def test_one_message_names_all_options_to_assume(tmp_path: Path) -> None:
    """For HLG as phones write it, one message names all options, so that no second one follows."""
    tags = {"colorspace": 10, "color_range": 1, "color_trc": 18, "color_primaries": 9}
    path = make_clip(tmp_path / "hlg.mkv", "ffv1", "yuv420p10le", tags=tags)
    with pytest.raises(VideoError) as refused:
        probe(FileSource(path), Assume(range="full"))
    message = str(refused.value)
    for what in ("HLG", "bt2020 (wide)", "matrix is bt2020c"):
        assert what in message
    option = message.split("--assume ")[1]
    assert option == "range=full,transfer=bt709,primaries=bt709,matrix=bt601"
    assert probe(FileSource(path), Assume.parse(option)).frame_count == 12


def test_progressive_is_parsed_without_a_value() -> None:
    assert Assume.parse("progressive") == Assume(progressive=True)
    assert Assume.parse("matrix=bt709, progressive") == Assume(matrix="bt709", progressive=True)
    with pytest.raises(UsageError, match="'interlaced' is not NAME=VALUE"):
        Assume.parse("interlaced")


@pytest.mark.parametrize(("lost", "told"), [(0, False), (188, False), (100, True)])
@pytest.mark.parametrize("suffix", [".ts", ".m2ts"])
def test_a_transport_stream_that_ends_within_a_packet(
    suffix: str, lost: int, told: bool, tmp_path: Path
) -> None:
    path = make_clip(tmp_path / f"clip{suffix}")
    packet = 188 if suffix == ".ts" else 192
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - (packet if lost == 188 else lost)])
    said: list[str] = []
    probe(FileSource(path), say=said.append)
    assert ["cut off within a packet" in line for line in said] == [True] * told


KEYS = {"bf": "0", "x264-params": "scenecut=0:keyint=6:min-keyint=6"}


def test_undecodable_pictures_at_the_start_are_reported(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.ts", options=KEYS)
    path = tmp_path / "cut.ts"
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        for k, packet in enumerate(old.demux(old.streams.video[0])):
            if packet.size and k >= 2:
                packet.stream = copy
                new.mux(packet)
    said: list[str] = []
    info = probe(FileSource(path), say=said.append)
    assert (info.frame_count, info.undecodable) == (6, 4)
    assert ["its first 4 pictures can't be decoded" in line for line in said] == [True]


def at_times(ticks: Sequence[int], time_base: Fraction, rate: Fraction) -> VideoInfo:
    """The timing that `probe` finds for these frame times."""
    return replace(TEMPLATE, timestamps=tuple(ticks), time_base=time_base, rate=rate)


NTSC = Fraction(30000, 1001)
TEMPLATE = VideoInfo(64, 48, (0,), Fraction(1), NTSC, 0, "h264", "yuv420p", 8, color=None)


def test_rounded_times_count_as_constant() -> None:
    for base in (Fraction(1, 1000), Fraction(1, 90000), Fraction(1001, 30000)):
        ticks = [round(k / NTSC / base) + 7 for k in range(20_000)]
        for said in (NTSC, Fraction(2997, 100), Fraction(19001, 634)):
            found = cadence(at_times(ticks, base, said))
            assert (found.rate, found.variable) == (NTSC, False)


def test_a_header_that_counts_fields_is_ignored() -> None:
    ticks = [3600 * k + (k % 3) for k in range(1000)]
    found = cadence(at_times(ticks, Fraction(1, 90000), Fraction(50)))
    assert (found.rate, found.variable) == (25, False)


def test_a_phones_uneven_times() -> None:
    """Jitter, some missing frames, and a header that states three times the rate."""
    ticks, now = [], 0
    for k in range(600):
        ticks.append(now + (0, 13, -9, 4)[k % 4])
        now += 3003 * (2 if k % 97 == 96 else 1)
    found = cadence(at_times(ticks, Fraction(1, 90000), Fraction(90)))
    assert (found.rate, found.variable) == (NTSC, True)
    assert found.slowest == pytest.approx(15, abs=0.2)
    assert found.fastest == pytest.approx(30, abs=0.3)
    slots = slots_of(at_times(ticks, Fraction(1, 90000), Fraction(90)), found.rate)
    assert list(slots[95:99]) == [95, 96, 98, 99]


@pytest.mark.parametrize("rate", [NTSC, Fraction(60000, 1001), Fraction(24), Fraction(25)])
def test_milliseconds_and_frames_left_out(rate: Fraction) -> None:
    """Matroska of a phone or OBS: intervals of 16 and 17 ms, neither of them the rate's."""
    ticks = [round(k / rate * 1000) for k in range(3000) if k % 50 != 49]
    found = cadence(at_times(ticks, Fraction(1, 1000), Fraction(1000)))
    assert (found.rate, found.variable) == (rate, True)


def test_a_non_standard_rate() -> None:
    found = cadence(at_times([0, 100, 200, 350, 450], Fraction(1, 1700), Fraction(30)))
    assert (found.rate, found.variable) == (17, True)


def test_one_frame_or_no_time_between_them() -> None:
    assert cadence(at_times([5], Fraction(1, 25), Fraction(25))).rate == 25
    assert cadence(at_times([5, 5, 5], Fraction(1, 25), Fraction(25))).rate == 25
    uneven = cadence(at_times([0, 1, 1, 2, 4, 5], Fraction(1, 25), Fraction(25)))
    assert str(uneven) == "variable frame rate, 12.5 and more per second; the median is 25"
