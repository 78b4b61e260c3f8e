"""Measure what a bundle costs on the camera, compared with saving every frame as RAW.

It prints the table of docs/method/capture-cost.md.

    python examples/capture_cost.py WORK_FOLDER [--seconds 10 60 600] [--rounds 3]

Half a second of a 4K scene is simulated (24 frames per second, H.264 at about 50 Mbit/s), and its
packets are repeated to the desired length. Each length is packed and copied alternately, in
separate processes; the minimum of all rounds is used, as other load only adds to it. Saving every
frame as RAW is measured on some frames and multiplied. Needs disk space of about 2.1 times the
longest video (600 s: 8 GB).
"""

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.bayer import color_index
from rvdtool.raw.dng import Compression, encode_dng, write_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame

WIDTH, HEIGHT, RATE = 3840, 2160, 24
SHOT = 12
"""Number of frames that are encoded."""
BIT_RATE = 50_000_000
RAW_FRAMES = 3

COPY = """
import os, sys
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
    while chunk := source.read(1 << 20):
        target.write(chunk)
    target.flush()
    os.fsync(target.fileno())
"""
"""A copy as in pack: with the same block size, and flushed to the disk."""


@dataclass(frozen=True)
class Cost:
    """Cost of one process: wall time and CPU time in seconds, and peak memory in bytes."""

    wall: float
    processor: float
    memory: int


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 60, 600])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    # A child's reported peak memory includes its parent's at the time of the fork (on Linux,
    # ru_maxrss survives exec), so this process must stay small.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        each = pool.submit(_prepare, folder).result()
    sys.stdout.write("\n".join(_head()) + "\n")
    for seconds in arguments.seconds:
        cells = _measure(folder, seconds, arguments.rounds)
        for size, processor in each:
            count = seconds * RATE
            cells.append(f"{count * size / 1e9:,.1f} GB, {count * processor:,.0f} s")
        sys.stdout.write("| " + " | ".join(cells) + " |\n")
        sys.stdout.flush()


def _prepare(folder: Path) -> list[tuple[float, float]]:
    """Make video and RAW; return the cost of saving every frame: bytes and seconds per frame."""
    scene = _scene()
    _film(scene, folder / "shot.mp4")
    frames = [_raw(scene, index) for index in range(RAW_FRAMES)]
    write_dng(frames[0], folder / "first.dng", overwrite=True)
    return [_save_raws(frames, folder, "ljpeg"), _save_raws(frames, folder, "none")]


def _scene() -> NDArray[np.float32]:
    """Linear light [H, W, 3], 0..1, larger than the picture, with blobs of all sizes."""
    rng = np.random.default_rng(0)
    shape = (HEIGHT + SHOT, WIDTH + SHOT)
    light = np.zeros((*shape, 3), np.float32)
    for step in (512, 128, 32, 8):
        coarse = rng.random((shape[0] // step + 1, shape[1] // step + 1, 3), np.float32)
        light += np.repeat(np.repeat(coarse, step, 0), step, 1)[: shape[0], : shape[1]] * step**0.6
    return 0.02 + 0.9 * light / light.max()


def _view(scene: NDArray[Any], index: int) -> NDArray[Any]:
    """The light of frame `index` of a slow pan."""
    return scene[index : index + HEIGHT, index : index + WIDTH]


def _film(scene: NDArray[np.float32], path: Path) -> None:
    coded = np.rint(230 * scene ** (1 / 2.2)).astype(np.uint8)
    noise = np.random.default_rng(1).integers(0, 6, coded.shape, np.uint8)
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "x264-params": f"keyint={SHOT}:cpu-independent=1"}
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = BIT_RATE
        for index in range(SHOT):
            rgb = _view(coded, index) + _view(noise, SHOT - index)
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _repeat(shot: Path, path: Path, frames: int) -> None:
    """Repeat the shot's packets with increasing timestamps."""
    with av.open(str(shot)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in source.demux(stream) if p.size]
        copy = target.add_stream_from_template(stream)
        tick = round(1 / (RATE * stream.time_base))
        for number in range(frames):
            turn, place = divmod(number, len(packets))
            data, pts, dts, is_key = packets[place]
            packet = av.Packet(data)
            packet.stream, packet.time_base = copy, stream.time_base
            packet.pts, packet.dts = (time + turn * SHOT * tick for time in (pts, dts))
            packet.duration, packet.is_keyframe = tick, is_key
            target.mux(packet)


def _raw(scene: NDArray[np.float32], index: int) -> RawFrame:
    """A 12-bit RAW frame with shot and read noise, which limits lossless compression."""
    view = _view(scene, index)
    light = np.take_along_axis(view, color_index(CfaPhase.RGGB, (HEIGHT, WIDTH))[..., None], 2)
    electrons = 8000 * light[..., 0]
    rng = np.random.default_rng(index)
    noise = rng.standard_normal(electrons.shape, np.float32) * np.sqrt(electrons + 9)
    mosaic = np.clip(np.rint(256 + (electrons + noise) * (3839 / 8000)), 0, 4095)
    camera = CameraProfile(unique_model="Simulated", as_shot_neutral=(1.0, 1.0, 1.0))
    return RawFrame(mosaic.astype(np.uint16), CfaPhase.RGGB, (256.0,) * 4, 4095, 12, camera)


def _save_raws(
    frames: list[RawFrame], folder: Path, compression: Compression
) -> tuple[float, float]:
    """Bytes and CPU seconds of one frame as a DNG."""
    start, size = time.process_time(), 0
    for frame in frames:
        data = encode_dng(frame, compression=compression)
        (folder / "frame.dng").write_bytes(data)
        size += len(data)
    return size / len(frames), (time.process_time() - start) / len(frames)


def _measure(folder: Path, seconds: int, rounds: int) -> list[str]:
    """Rows for one length of video: the cost of packing, also compared with copying."""
    raw, video = folder / "first.dng", folder / "clip.mp4"
    bundle, copy = folder / "clip.rvd", folder / "copy.mp4"
    frames = seconds * RATE
    _repeat(folder / "shot.mp4", video, frames)
    packing, copying = [], []
    for _ in range(rounds):
        copying.append(_run("-c", COPY, video, copy))
        copy.unlink()
        packing.append(_run("-m", "rvdtool", "pack", video, raw, "-o", bundle, "--overwrite"))
    size, added = video.stat().st_size, bundle.stat().st_size - video.stat().st_size
    bundle.unlink()
    video.unlink()
    wall = min(cost.wall for cost in packing)
    processor = min(cost.processor for cost in packing)
    more = processor - min(cost.processor for cost in copying)
    return [
        f"{seconds} s, {frames:,} frames",
        f"{size / 1e6:,.0f} MB",
        f"{added / 1e6:.1f} MB",
        f"{100 * added / size:.2f} %",
        f"{wall:.1f} s ({wall / min(cost.wall for cost in copying):.1f} ×)",
        f"{processor:.1f} s ({more:+.1f} s)",
        f"{max(cost.memory for cost in packing) / 1e6:.0f} MB",
    ]


def _head() -> list[str]:
    cells = [
        "video",
        "its size",
        "pack adds",
        "of the video",
        "pack, wall (of a copy's)",
        "pack, processor (beyond a copy's)",
        "pack, memory",
        "every frame as lossless JPEG DNG",
        "every frame as uncompressed DNG",
    ]
    return ["| " + " | ".join(cells) + " |", "|" + "---|" * len(cells)]


def _run(*arguments: object) -> Cost:
    """Run a Python process, and measure its cost."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        cwd=Path(__file__).parents[1],
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} failed with status {os.waitstatus_to_exitcode(status)}")
    wall = time.monotonic() - start
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


if __name__ == "__main__":
    main()
