"""Sound beside the frames: every sample at its place, whatever the container."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from small_movies import NTSC, Sound, counting, make_movie

from rvdtool.delivery import sound
from rvdtool.delivery.sound import ClipTiming, write_sound
from rvdtool.errors import VideoError
from rvdtool.raw.timecode import TimeCode
from rvdtool.video import wav
from rvdtool.video.decode import probe
from rvdtool.video.source import FileSource

pytestmark = pytest.mark.usefixtures("programs")

GREY = np.full((48, 64, 3), 128, np.uint8)
FRAMES = 6


def movie(path: Path, *sounds: Sound, **options: object) -> FileSource:
    return FileSource(make_movie(path, [GREY] * FRAMES, sounds=sounds, **options))


def write(
    source: FileSource,
    folder: Path,
    said: list[str] | None = None,
    seconds: Fraction | None = None,
) -> list[Path]:
    info = probe(source)
    picture = ClipTiming(
        video=source.path.name,
        start=info.timestamps[0] * info.time_base,
        seconds=info.frame_count / NTSC if seconds is None else seconds,
        rate=NTSC,
        time_code=TimeCode(0, NTSC),
        reel="clip",
        recorded="2026-01-02 03:04:05",
    )
    folder.mkdir(exist_ok=True)
    return write_sound(source, folder, "clip", picture, [].append if said is None else said.append)


def decoded(path: Path, form: str = "s32") -> np.ndarray:
    """[n, channels], as decoded by ffmpeg."""
    with av.open(str(path)) as container:
        channels = container.streams.audio[0].codec_context.layout.nb_channels
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-f", f"{form}le", "-c:a", f"pcm_{form}le", "-"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    return np.frombuffer(raw, {"s16": "<i2", "s32": "<i4", "f32": "<f4"}[form]).reshape(
        -1, channels
    )


def length(rate: int) -> int:
    return round(FRAMES / NTSC * rate)


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
@pytest.mark.parametrize("late", [Fraction(1, 20), Fraction(-1, 20), Fraction(0)])
@pytest.mark.parametrize("short", [False, True])
def test_offset_and_length(suffix: str, late: Fraction, short: bool, tmp_path: Path) -> None:
    """Sound that starts and ends before or after the picture."""
    rate = 48000
    samples = counting(4800 if short else 24000)
    source = movie(tmp_path / f"clip{suffix}", Sound(samples, start=late))
    said: list[str] = []
    (path,) = write(source, tmp_path / "out", said)
    # Containers count from their first packet; what matters is where sound lies to the picture.
    expected = np.zeros((length(rate), 2), np.int32)
    begin = round(late * rate)
    part = samples[max(0, -begin) :]
    begin = max(0, begin)
    part = part[: len(expected) - begin]
    expected[begin : begin + len(part)] = part
    np.testing.assert_array_equal(decoded(path), expected)
    assert len(said) == 1
    assert ("begins 0.050 s after" in said[0]) == (late > 0)
    # A MOV's edit list cuts it off already.
    cut = late < 0 and suffix == ".mkv"
    assert ("begins 0.050 s before the picture (cut off)" in said[0]) == cut
    assert ("(silence there)" in said[0].split("ends")[1]) == short


@pytest.mark.parametrize(
    ("suffix", "codec", "rate", "samples", "form"),
    [
        (".mov", "pcm_s16le", 44100, (counting(12000) >> 16).astype(np.int16), "s16"),
        (".mov", "pcm_s24be", 96000, counting(24000), "s32"),
        (".mkv", "pcm_s32le", 48000, counting(12000) + 77, "s32"),
        (".mkv", "flac", 48000, (counting(12000) >> 16).astype(np.int16), "s16"),
        (".mov", "pcm_f32le", 48000, (counting(12000) / 2**30).astype(np.float32), "f32"),
        (".mkv", "pcm_f32le", 32000, (counting(12000) / 2**30).astype(np.float32), "f32"),
    ],
)
def test_lossless_sound_keeps_every_bit(
    suffix: str, codec: str, rate: int, samples: np.ndarray, form: str, tmp_path: Path
) -> None:
    source = movie(tmp_path / f"clip{suffix}", Sound(samples, codec=codec, rate=rate))
    (path,) = write(source, tmp_path / "out")
    with av.open(str(path)) as container:
        assert container.streams.audio[0].rate == rate
    np.testing.assert_array_equal(decoded(path, form), samples[: length(rate)])


def tone(count: int) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(count) / 48000)
    return np.stack([wave, -wave], 1).astype(np.float32)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
def test_aac_is_in_time(suffix: str, tmp_path: Path) -> None:
    """Its encoder adds a thousand samples at the start, which players skip."""
    samples = tone(12_000)
    source = movie(tmp_path / f"clip{suffix}", Sound(samples, codec="aac"))
    (path,) = write(source, tmp_path / "out")
    found = decoded(path) / 2**31
    assert len(found) == length(48000)
    middle = slice(2000, 8000)
    shifts = {
        shift: float(np.abs(found[middle] - samples[2000 + shift : 8000 + shift]).mean())
        for shift in range(-60, 61, 4)
    }
    # MPEG-TS and Matroska round times, to 1/90000 and 1/1000 s.
    assert abs(min(shifts, key=shifts.__getitem__)) <= 48
    assert min(shifts.values()) < 0.02


def test_compressed_sound_that_begins_late_and_ends_early(tmp_path: Path) -> None:
    source = movie(tmp_path / "clip.mov", Sound(tone(2048), start=Fraction(1, 10), codec="aac"))
    (path,) = write(source, tmp_path / "out")
    found = decoded(path) / 2**31
    assert np.abs(found[:4700]).max() < 0.02
    assert np.abs(found[5200:6000]).max() == pytest.approx(0.5, abs=0.03)
    assert not found[8000:].any()


def test_tracks_of_one_rate_are_channels_of_one_file(tmp_path: Path) -> None:
    """With the largest bit depth of them, each at its place."""
    first = (counting(12000, 1, seed=1) >> 16).astype(np.int16)
    second = counting(12000, 2, seed=2)
    source = movie(
        tmp_path / "clip.mov",
        Sound(first, codec="pcm_s16le"),
        Sound(second, start=Fraction(1, 100)),
    )
    (path,) = write(source, tmp_path / "out")
    found = decoded(path)
    np.testing.assert_array_equal(found[:, :1], first[: length(48000)].astype(np.int32) << 16)
    np.testing.assert_array_equal(found[480:, 1:], second[: length(48000) - 480])
    assert not found[:480, 1:].any()
    assert path.read_bytes().count(b"<NAME>") == 3


def test_tracks_of_different_rates_are_files_of_their_own(tmp_path: Path) -> None:
    slow, fast = counting(12000, 1, seed=1), counting(24000, 2, seed=2)
    source = movie(tmp_path / "clip.mkv", Sound(slow), Sound(fast, rate=96000))
    paths = write(source, tmp_path / "out")
    assert [path.name for path in paths] == ["clip_1.wav", "clip_2.wav"]
    for path, samples, rate in zip(paths, (slow, fast), (48000, 96000), strict=True):
        np.testing.assert_array_equal(decoded(path), samples[: length(rate)])


def test_a_gap_is_silence(tmp_path: Path) -> None:
    """A gap in the recording must not shift the sound after it."""
    samples = counting(9600)
    whole = movie(tmp_path / "whole.mkv", Sound(samples, codec="pcm_s24le"))
    source = FileSource(tmp_path / "gap.mkv")
    lost: list[tuple[int, int]] = []
    with av.open(str(whole.path)) as old, av.open(str(source.path), "w") as new:
        copies = {s.index: new.add_stream_from_template(s) for s in old.streams}
        for packet in old.demux():
            if packet.size and packet.stream.type == "audio" and 0.05 < packet.pts * 0.001 < 0.1:
                lost.append((round(packet.pts * 48), packet.duration * 48))
            elif packet.size:
                packet.stream = copies[packet.stream.index]
                new.mux(packet)
    said: list[str] = []
    (path,) = write(source, tmp_path / "out", said)
    found = decoded(path)
    first = lost[0][0] // 1024 * 1024 + (1024 if lost[0][0] % 1024 > 512 else 0)
    np.testing.assert_array_equal(found[:first], samples[:first])
    end = first + 1024 * len(lost)
    # Matroska's times are milliseconds, so what follows may lie half of one off.
    (at,) = np.nonzero((found == samples[end]).all(1))[0]
    assert abs(int(at) - end) <= 24
    assert not found[first:at].any()
    np.testing.assert_array_equal(found[at:], samples[end : end + len(found) - at])
    assert "has gaps or overlaps at 1 place (silence there" in said[0]


SECONDS = Fraction(5, 2)


def test_what_is_written_second_by_second_is_whole(tmp_path: Path) -> None:
    first, second = counting(110_000, 1, seed=1), counting(100_000, 2, seed=2)
    source = movie(tmp_path / "clip.mov", Sound(first), Sound(second, start=Fraction(1, 4)))
    (path,) = write(source, tmp_path / "out", seconds=SECONDS)
    expected = np.zeros((120_000, 3), np.int32)
    expected[:110_000, :1] = first
    expected[12_000:112_000, 1:] = second
    np.testing.assert_array_equal(decoded(path), expected)


def test_tracks_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As programs write them that don't interleave; waiting for the second track must end."""
    tracks = [counting(120_000, 1, seed=seed) for seed in (1, 2)]
    source = movie(tmp_path / "clip.mov", *map(Sound, tracks))
    read = sound.read_sound
    monkeypatch.setattr(
        sound, "read_sound", lambda *given: sorted(read(*given), key=lambda piece: piece.track)
    )
    (path,) = write(source, tmp_path / "near", seconds=SECONDS)
    np.testing.assert_array_equal(decoded(path), np.hstack(tracks))
    monkeypatch.setattr(sound, "LAG", 1)
    with pytest.raises(VideoError, match="stream 2 is stored more than 1 s apart"):
        write(source, tmp_path / "far", seconds=SECONDS)
    assert list((tmp_path / "far").iterdir()) == []


def test_large_files_are_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav, "LARGEST_RIFF", 1000)
    samples = counting(12000)
    (path,) = write(movie(tmp_path / "clip.mov", Sound(samples)), tmp_path / "out")
    data = path.read_bytes()
    assert data[:4] == b"RF64"
    assert int.from_bytes(data[20:28], "little") == len(data) - 8
    np.testing.assert_array_equal(decoded(path), samples[: length(48000)])


def test_what_an_interrupted_run_left_is_replaced(tmp_path: Path) -> None:
    source = movie(tmp_path / "clip.mov", Sound(counting(12000)))
    (path,) = write(source, tmp_path / "out")
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert write(source, tmp_path / "out") == [path]
    assert path.read_bytes() == data
    path.unlink()
    write(source, tmp_path / "out")
    assert path.read_bytes() == data


def test_no_sound_and_pictures_alone(tmp_path: Path) -> None:
    assert write(movie(tmp_path / "clip.mov"), tmp_path / "out") == []
    assert list((tmp_path / "out").iterdir()) == []


def test_damaged_sound_names_the_way_out(tmp_path: Path) -> None:
    source = movie(tmp_path / "clip.mkv", Sound(tone(12_000), codec="flac"))
    with av.open(str(source.path)) as container:
        packets = [p for p in container.demux(container.streams.audio[0]) if p.size]
        position, size = packets[2].pos, packets[2].size
    data = bytearray(source.path.read_bytes())
    place = data.index(bytes(packets[2])[:64]) if size > 64 else position
    data[place : place + size] = bytes(size)
    source.path.write_bytes(data)
    with pytest.raises(VideoError, match="--no-audio leaves it out"):
        write(source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
