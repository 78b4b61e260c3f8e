"""Small clips for tests, made with PyAV, whose frames are all different."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 64, 48
RATE = 25
UNTAGGED = 2  # H.273: unspecified

# B-frames and several key frames in a dozen frames, whatever the picture.
B_FRAMES = {"bf": "3", "x264-params": "b-adapt=0:scenecut=0:keyint=6:min-keyint=6"}
# x265's thread pool crashes now and then on clips of few frames.
X265 = {
    "x265-params": "log-level=none:pools=none:bframes=3:b-adapt=0:scenecut=0:keyint=6:min-keyint=6"
}


def picture(index: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """uint8 [height, width, 3]: the left half moves, the right half's grey encodes index % 12."""
    y, x = np.mgrid[:height, :width]
    moving = [(3 * x + 5 * index) % 256, (4 * y + 3 * index) % 256, (x + y + index) % 256]
    rgb = np.stack(moving, -1).astype(np.uint8)
    rgb[:, width // 2 :] = 20 + 18 * (index % 12)
    return rgb


def index_of(rgb: NDArray[np.uint8] | NDArray[np.uint16]) -> int:
    """The index of the `picture` that a decoded frame shows."""
    peak = 255 if rgb.dtype == np.uint8 else 65535
    return round((np.mean(rgb[8:-8, -16:-8]) / peak * 255 - 20) / 18)


def make_clip(
    path: Path,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    *,
    count: int = 12,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    pts: Sequence[int] | None = None,
    tags: Mapping[str, int] | None = None,
) -> Path:
    """Encode `count` pictures at RATE, or at the times `pts` in frames.

    `tags` are code points of the codec context: colorspace, color_range, color_trc,
    color_primaries.
    """
    width, height = size
    with av.open(str(path), "w", container_options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=RATE, options=dict(options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        set_tags(stream.codec_context, tags or {})
        for k in range(count):
            rgb = av.VideoFrame.from_ndarray(picture(k, width, height), format="rgb24")
            frame = rgb.reformat(format=pixel_format)
            frame.pts, frame.time_base = (pts[k] if pts else k), Fraction(1, RATE)
            set_tags(frame, tags or {})
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def set_tags(target: object, tags: Mapping[str, int]) -> None:
    for name, value in tags.items():
        setattr(target, name, value)


def rewrap(
    source: Path,
    target: Path,
    *,
    drop: int = 0,
    shift: int = 0,
    rotation: float | None = None,
    mirror: bool = False,
) -> Path:
    """Copy packets without re-encoding, from the `drop`-th on, `shift` frames later.

    Negative times become an edit list in MP4. `rotation` is counter-clockwise, as in FFmpeg.
    """
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        if rotation is not None:
            copy.set_display_rotation(rotation, hflip=mirror)
        step = round(1 / (RATE * stream.time_base)) * shift
        packets = [p for p in old.demux(stream) if p.size]
        for packet in packets[drop:]:
            packet.stream = copy
            packet.pts += step
            packet.dts = None if packet.dts is None else packet.dts + step
            new.mux(packet)
    return target


def key_packets(path: Path) -> list[int]:
    """The key frames, as indices of packets in decoding order."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
    return [k for k, p in enumerate(packets) if p.is_keyframe]


def planes_to_frame(planes: Sequence[NDArray[np.integer]], pixel_format: str) -> av.VideoFrame:
    """Put samples into a frame of a planar format, untouched by any conversion."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pixel_format)
    for plane, samples in zip(frame.planes, planes, strict=True):
        dtype = np.dtype("<u2" if samples.dtype.itemsize == 2 else "u1")
        rows = np.zeros((plane.height, plane.line_size // dtype.itemsize), dtype)
        rows[:, : plane.width] = samples
        plane.update(rows.tobytes())
    return frame
