"""Decode the audio tracks of a video file to samples with times on the video's clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, cast

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.format import AudioFormat
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from rvdtool.errors import VideoError
from rvdtool.video.container import fraction, open_container
from rvdtool.video.source import ImageSource, VideoSource

Depth = Literal[16, 24, 32, "float"]
"""Bits per sample, or 32-bit floating point."""

Samples = NDArray[np.int32 | np.float32]
"""[n, channels]: int32 at full scale for any bit depth, or float32 with full scale 1.0."""

_WHOLE = {"u8": 24, "s16": 16, "s32": 0}
"""FFmpeg's integer formats, and the left shift that brings each to 32-bit full scale."""

LOSSLESS_FLOAT = ("pcm_f16le", "pcm_f24le", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be")
FULL_32 = ("pcm_s32le", "pcm_s32be")


@dataclass(frozen=True)
class Track:
    """One audio track.

    Attributes:
        stream: index of its stream in the file.
        codec: FFmpeg's name.
        rate: sample rate in Hz.
        channels: number of channels.
        layout: FFmpeg's name of the channel layout (`stereo`, `5.1`, `4 channels`).
        depth: bit depth that keeps the track's full precision; 24 for compressed audio.
        title: the title in the file's metadata, else its language (ISO 639); may be empty.
    """

    stream: int
    codec: str
    rate: int
    channels: int
    layout: str
    depth: Depth
    title: str


@dataclass(frozen=True)
class Piece:
    """Consecutive samples of a track, and their start time on the video's clock."""

    track: int
    start: Fraction | None
    samples: Samples


def list_tracks(source: VideoSource) -> tuple[list[Track], list[int]]:
    """The audio tracks that can be decoded, and the stream indices of those that can't.

    Raises:
        InputError: the file can't be read.
        VideoError: the file can't be opened as a video.
    """
    if isinstance(source, ImageSource):
        return [], []
    with open_container(source) as container:
        known, unknown = [], []
        for stream in container.streams.audio:
            if _is_known(stream):
                known.append(_track(stream))
            else:
                unknown.append(stream.index)
    return known, unknown


def read_sound(source: VideoSource, tracks: list[Track]) -> Iterator[Piece]:
    """Decode audio tracks, in the order of their packets in the file.

    Args:
        source: the video file.
        tracks: tracks from `list_tracks`; a piece's `track` is an index into this list.

    Raises:
        InputError: the file can't be read.
        VideoError: the file is damaged, or a track changes its format.
    """
    if isinstance(source, ImageSource) or not tracks:
        return
    places = {track.stream: place for place, track in enumerate(tracks)}
    with open_container(source) as container:
        streams = [s for s in container.streams.audio if s.index in places]
        for frame, index in _decoded(container, streams):
            _require_same(frame, tracks[places[index]], source.name)
            pts, tick = frame.pts, fraction(frame.time_base)
            start = None if pts is None or tick is None else pts * tick
            yield Piece(places[index], start, _samples(frame))


def _decoded(
    container: InputContainer, streams: list[AudioStream]
) -> Iterator[tuple[AudioFrame, int]]:
    for packet in container.demux(streams):
        for frame in packet.decode():
            yield cast(AudioFrame, frame), packet.stream.index


def _require_same(frame: AudioFrame, track: Track, name: str) -> None:
    """Refuse a frame whose format differs from its track's.

    Raises:
        VideoError: the number of channels or the sample rate changes.
    """
    found = frame.layout.nb_channels, frame.sample_rate
    if found != (track.channels, track.rate):
        raise VideoError(
            f"{name}: the sound of stream {track.stream} changes from {track.channels} channels at "
            f"{track.rate} Hz to {found[0]} at {found[1]} Hz"
        )


def _is_known(stream: AudioStream) -> bool:
    """Whether FFmpeg can decode the stream and knows its format."""
    context = cast(AudioCodecContext | None, stream.codec_context)
    if context is None or cast(AudioFormat | None, context.format) is None:
        return False
    return context.rate > 0 and context.layout.nb_channels > 0


def _track(stream: AudioStream) -> Track:
    context = stream.codec_context
    form = context.format.packed.name
    depth: Depth = 24
    if context.name in LOSSLESS_FLOAT:
        depth = "float"
    elif context.name in FULL_32:
        depth = 32
    elif form in ("u8", "s16"):
        depth = 16
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    return Track(
        stream=stream.index,
        codec=context.name,
        rate=context.rate,
        channels=context.layout.nb_channels,
        layout=context.layout.name,
        depth=depth,
        title=tags.get("title") or _language(tags),
    )


def _language(tags: dict[str, str]) -> str:
    language = tags.get("language", "und")
    return "" if language == "und" else language  # undetermined


def _samples(frame: AudioFrame) -> Samples:
    """The frame's samples [n, channels]."""
    values = frame.to_ndarray()
    channels = frame.layout.nb_channels
    values = values.T if frame.format.is_planar else values.reshape(-1, channels)
    shift = _WHOLE.get(frame.format.packed.name)
    if shift is None:
        return np.asarray(values, np.float32)
    whole = values.astype(np.int32)
    if frame.format.packed.name == "u8":
        whole -= 128
    return whole << shift
