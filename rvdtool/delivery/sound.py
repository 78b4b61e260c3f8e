"""Writes a clip's sound beside its frames, with the same length and in sync."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from rvdtool._version import __version__
from rvdtool.errors import VideoError
from rvdtool.notes import Say
from rvdtool.raw.timecode import TimeCode
from rvdtool.video.sound import Depth, Piece, Samples, Track, list_tracks, read_sound
from rvdtool.video.source import VideoSource
from rvdtool.video.wav import WavTags, originator, write_wav

JITTER = Fraction(1, 100)
"""Largest gap or overlap between two pieces of sound, in seconds, that is ignored: Matroska counts
in milliseconds, and the clocks of sound and picture differ."""

LAG = 60
"""Largest distance in the file between simultaneous parts of two tracks, in seconds."""

_PROGRAM = "rvdtool"

_ORDER: tuple[Depth, ...] = (16, 24, 32, "float")
"""Sample depths in ascending order: a file gets the largest of its tracks'."""


@dataclass(frozen=True)
class ClipTiming:
    """Timing of a clip, which its sound must fit.

    Attributes:
        video: name of the video.
        start: time of frame 0 on the video's clock, in seconds.
        seconds: duration of the frames.
        rate: frames per second.
        time_code: time code of frame 0.
        reel: the clip's reel.
        recorded: time of recording, `YYYY-MM-DD HH:MM:SS`; None if unknown.
    """

    video: str
    start: Fraction
    seconds: Fraction
    rate: Fraction
    time_code: TimeCode
    reel: str
    recorded: str | None


def sound_files(folder: Path, stem: str, tracks: Sequence[Track]) -> list[tuple[Path, list[Track]]]:
    """The files to write with their tracks: a single file, unless the sample rates differ."""
    if len({track.rate for track in tracks}) <= 1:
        return [(folder / f"{stem}.wav", list(tracks))] if tracks else []
    return [(folder / f"{stem}_{n}.wav", [track]) for n, track in enumerate(tracks, 1)]


def is_our_sound(path: Path) -> bool:
    """Whether a file is a Broadcast WAV that rvdtool wrote."""
    return path.suffix == ".wav" and originator(path).startswith(_PROGRAM)


def write_sound(
    source: VideoSource, folder: Path, stem: str, timing: ClipTiming, say: Say
) -> list[Path]:
    """Write a video file's tracks as Broadcast WAVs, exactly as long as the picture.

    Sound before the first frame and after the last one is cut off; gaps are filled with silence.
    Files of an interrupted run are replaced, because they may have been damaged since.

    Args:
        source: the video.
        folder: output folder, for `STEM.wav`, or `STEM_1.wav`, … if the tracks' sample rates
            differ.
        stem: beginning of the file names.
        timing: the timing to fit.
        say: called with a line of text for everything that was cut off, filled or left out.

    Returns:
        Paths of the files.

    Raises:
        VideoError: the sound is damaged.
        OutputError: a file can't be written.
    """
    tracks, unknown = list_tracks(source)
    if unknown:
        numbers = ", ".join(map(str, unknown))
        say(
            f"{timing.video}: its sound in stream {numbers} is in a codec that can't be "
            "decoded; left out"
        )
    files = sound_files(folder, stem, tracks)
    for path, chosen in files:
        try:
            _write(source, path, chosen, timing, say)
        except VideoError as error:
            raise VideoError(f"{error} (its sound; --no-audio leaves it out)") from error
    return [path for path, _ in files]


def _write(
    source: VideoSource, path: Path, tracks: list[Track], timing: ClipTiming, say: Say
) -> None:
    rate, channels = tracks[0].rate, sum(track.channels for track in tracks)
    depth = max((track.depth for track in tracks), key=_ORDER.index)
    count = _round_half_up(timing.seconds * rate)
    midnight = _round_half_up(timing.time_code.number / timing.rate * rate)
    placed = [_Placed(track, timing.start, depth, count) for track in tracks]
    write_wav(
        path,
        _blocks(read_sound(source, tracks), placed, count),
        rate=rate,
        layout=tracks[0].layout if len(tracks) == 1 else f"{channels} channels",
        channels=channels,
        depth=depth,
        count=count,
        tags=WavTags(
            description=f"Sound of {timing.video}",
            originator=f"{_PROGRAM} {__version__}",
            recorded=timing.recorded,
            time_reference=midnight,
            ixml=_ixml(timing, tracks, depth, midnight),
        ),
        overwrite=True,
    )
    for one in placed:
        remark = one.remark(1 / timing.rate)
        if remark:
            say(f"{path.name}: sound of stream {one.track.stream} {remark}")


class _Placed:
    """A queue of a track's samples from frame 0 on, with silence in its gaps."""

    def __init__(self, track: Track, start: Fraction, depth: Depth, count: int) -> None:
        self.track = track
        self._start = start
        self._depth = depth
        self._count = count
        self._ready: deque[Samples | int] = deque()  # a number stands for that many silent samples
        self._first: int | None = None
        self._end = 0  # end of the last piece, in samples from frame 0
        self._assumed_silent: int | None = None
        self._jumps = 0
        self.filled = 0  # number of samples known, from frame 0

    def add(self, piece: Piece) -> None:
        """Insert a piece of sound at its time.

        Raises:
            VideoError: it comes too late in the file.
        """
        begin = self._end
        if piece.start is not None:
            begin = _round_half_up((piece.start - self._start) * self.track.rate)
        if self._first is None:
            self._first = begin
        elif abs(begin - self._end) <= JITTER * self.track.rate:
            begin = self._end
        else:
            self._jumps += 1
        if self._assumed_silent is not None and begin < self._assumed_silent:
            raise VideoError(
                f"stream {self.track.stream} is stored more than {LAG} s apart from the "
                "others in the file; rewrap it (ffmpeg -i IN -map 0:v -map 0:a -c copy "
                "OUT.mov)"
            )
        self._end = begin + len(piece.samples)
        samples = piece.samples[max(0, self.filled - begin) :]
        begin = max(begin, self.filled)
        samples = samples[: max(0, self._count - begin)]
        if len(samples):
            self.pad(begin)
            self._ready.append(_as_stored(samples, self._depth))
            self.filled = begin + len(samples)

    def pad(self, until: int) -> None:
        """Fill with silence up to a sample."""
        if until > self.filled:
            self._ready.append(until - self.filled)
            self.filled = until

    def assume_silence(self, until: int) -> None:
        """Give up waiting for sound before a sample, and fill with silence."""
        if until > self.filled:
            self.pad(until)
            self._assumed_silent = until

    def take(self, count: int) -> Samples:
        """The next samples, [count, channels]; at least `count` must be available."""
        parts: list[Samples] = []
        while count:
            first = self._ready.popleft()
            length = first if isinstance(first, int) else len(first)
            used = min(count, length)
            if isinstance(first, int):
                form = np.float32 if self._depth == "float" else np.int32
                parts.append(np.zeros((used, self.track.channels), form))
                rest: Samples | int = length - used
            else:
                parts.append(first[:used])
                rest = first[used:]
            if used < length:
                self._ready.appendleft(rest)
            count -= used
        return np.concatenate(parts)

    def remark(self, tolerance: Fraction) -> str:
        """What was cut off or filled by more than `tolerance` seconds; empty if nothing was."""
        if self._first is None:
            return "is empty; silence is written"
        least, rate = tolerance * self.track.rate, self.track.rate
        gaps = {"begins": self._first, "ends": self._end - self._count}
        parts = []
        for what, late in gaps.items():
            if abs(late) >= least:
                done = "silence there" if (late > 0) == (what == "begins") else "cut off"
                where = "after" if late > 0 else "before"
                parts.append(f"{what} {abs(late) / rate:.3f} s {where} the picture ({done})")
        if self._jumps:
            places = f"{self._jumps} place{'s' if self._jumps > 1 else ''}"
            parts.append(f"has gaps or overlaps at {places} (silence there, or cut off)")
        return ", ".join(parts)


def _blocks(pieces: Iterator[Piece], placed: list[_Placed], count: int) -> Iterator[Samples]:
    """All tracks side by side, in blocks of a second."""
    rate = placed[0].track.rate
    given = 0
    for piece in pieces:
        placed[piece.track].add(piece)
        furthest = max(one.filled for one in placed)
        for one in placed:
            one.assume_silence(furthest - LAG * rate)
        while min(one.filled for one in placed) - given >= rate:
            yield _side_by_side(placed, rate)
            given += rate
    for one in placed:
        one.pad(count)
    while given < count:
        length = min(rate, count - given)
        yield _side_by_side(placed, length)
        given += length


def _side_by_side(placed: list[_Placed], count: int) -> Samples:
    return np.concatenate([one.take(count) for one in placed], 1)


def _as_stored(samples: Samples, depth: Depth) -> Samples:
    """Samples converted to a file's bit depth. Values beyond full scale are clipped."""
    is_float = samples.dtype == np.float32
    if depth == "float":
        return samples if is_float else (samples / np.float32(2**31)).astype(np.float32)
    if not is_float:
        return samples
    full = 2 ** (depth - 1)
    scaled = np.clip(np.rint(samples.astype(np.float64) * full), -full, full - 1)
    return scaled.astype(np.int32) << (32 - depth)


def _ixml(timing: ClipTiming, tracks: list[Track], depth: Depth, midnight: int) -> str:
    """The iXML document: rates, time of day, names of the tracks."""
    rate = f"{timing.rate.numerator}/{timing.rate.denominator}"
    sampling = str(tracks[0].rate)
    root = ElementTree.Element("BWFXML")
    _fill(root, {"IXML_VERSION": "2.10", "TAPE": timing.reel, "NOTE": f"from {timing.video}"})
    speed = {
        "MASTER_SPEED": rate,
        "CURRENT_SPEED": rate,
        "TIMECODE_RATE": rate,
        "TIMECODE_FLAG": "DF" if timing.time_code.drop else "NDF",
        "FILE_SAMPLE_RATE": sampling,
        "AUDIO_BIT_DEPTH": "32" if depth == "float" else str(depth),
        "DIGITIZER_SAMPLE_RATE": sampling,
        "TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI": str(midnight >> 32),
        "TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO": str(midnight & 0xFFFFFFFF),
        "TIMESTAMP_SAMPLE_RATE": sampling,
    }
    _fill(ElementTree.SubElement(root, "SPEED"), speed)
    channels = [(track, n) for track in tracks for n in range(1, track.channels + 1)]
    listed = ElementTree.SubElement(root, "TRACK_LIST")
    _fill(listed, {"TRACK_COUNT": str(len(channels))})
    for index, (track, channel) in enumerate(channels, 1):
        name = f"{track.title or f'stream {track.stream}'}, channel {channel}"
        entry = {"CHANNEL_INDEX": str(index), "INTERLEAVE_INDEX": str(index), "NAME": name}
        _fill(ElementTree.SubElement(listed, "TRACK"), entry)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode")


def _fill(element: ElementTree.Element, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(element, name).text = text


def _round_half_up(value: Fraction) -> int:
    """Round to the nearest integer, half up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
