"""MOVs as cameras write them: picture, PCM sound, time code, rotation, any frame times."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

NTSC = Fraction(30000, 1001)


@dataclass(frozen=True)
class Sound:
    """A track: samples [n, channels] (int16, int32 or float32), and the time at which it starts."""

    samples: NDArray[np.generic]
    start: Fraction = Fraction(0)
    codec: str = "pcm_s24le"
    rate: int = 48000


def counting(count: int, channels: int = 2, seed: int = 0) -> NDArray[np.int32]:
    """24-bit samples in the high bits, each different from its neighbours."""
    values = np.random.default_rng(seed).integers(-(2**23), 2**23, (count, channels))
    return (values << 8).astype(np.int32)


def make_movie(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    ticks: Sequence[int] | None = None,
    sounds: Sequence[Sound] = (),
    time_code: str | None = None,
    rotation: int = 0,
    codec: str = "libx264",
) -> Path:
    """Encode frames at 29.97 per second, or at `ticks` of 1/30000 s, with tracks of sound.

    `rotation` is clockwise, as a player turns the picture.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=NTSC, options={"crf": "4", "bf": "0"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 30000)
        stream.codec_context.colorspace = stream.codec_context.color_trc = 1
        stream.codec_context.color_primaries = stream.codec_context.color_range = 1
        if rotation:
            stream.set_display_rotation(-rotation)
        if time_code:
            stream.metadata["timecode"] = time_code
        tracks = [
            container.add_stream(sound.codec, rate=sound.rate, layout=_layout(sound))
            for sound in sounds
        ]
        for track in tracks:
            track.disposition = Disposition.default
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            frame.pts = index * 1001 if ticks is None else ticks[index]
            frame.time_base = Fraction(1, 30000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for track, sound in zip(tracks, sounds, strict=True):
            form = {"i2": "s16", "i4": "s32", "f4": "flt"}[sound.samples.dtype.str[1:]]
            for begin in range(0, len(sound.samples), 1024):
                part = np.ascontiguousarray(sound.samples[begin : begin + 1024]).reshape(1, -1)
                block = av.AudioFrame.from_ndarray(part, form, _layout(sound))
                block.sample_rate = sound.rate
                block.time_base = Fraction(1, sound.rate)
                block.pts = round(sound.start * sound.rate) + begin
                container.mux(track.encode(block))
            container.mux(track.encode(None))
    return path


def _layout(sound: Sound) -> str:
    return {1: "mono", 2: "stereo"}[sound.samples.shape[1]]
