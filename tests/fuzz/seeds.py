"""The sound files that mutations start from. Made in a process of its own: LibRaw, FFmpeg and
their threads must not have been used in the process that forks."""

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from rvdtool.bundle.archive import InputFile
from rvdtool.bundle.convert import crop_and_turn, on_grid
from rvdtool.bundle.manifest import Exposures
from rvdtool.bundle.store import ReferenceInput, VideoInput, create
from rvdtool.bundle.transform import Homography, Transform
from rvdtool.capture.pack import pack
from rvdtool.raw.dng import encode_dng, write_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame, Rect
from rvdtool.raw.read import MosaicLevels, read_raw
from rvdtool.video.decode import probe
from rvdtool.video.encode import encode_video
from rvdtool.video.source import FileSource
from tests.bombs import endless_tiffs
from tests.fuzz.learned import make_models, make_states
from tests.mlv_samples import Clip, random_mosaics, write_mlv
from tests.video.video_clips import make_clip

SIZE = (48, 64)
CLIPS = (("mp4", "h264"), ("mov", "hevc"), ("mkv", "ffv1"), ("mov", "prores"))


def make_seeds(folder: Path) -> None:
    """Bundles, DNGs and their like, recordings, videos, states and networks, in a folder each."""
    for name in ("bundle", "raw", "plain", "mlv", "video"):
        (folder / name).mkdir(parents=True)
    frame = _frame()
    write_dng(frame, folder / "first.dng")
    _make_plain(folder / "plain", frame)
    _make_videos(folder, frame)
    _make_raws(folder / "raw", frame)
    for bits, components in ((10, 0), (12, 0), (14, 0), (14, 1), (14, 2)):
        clip = Clip(bits=bits, black=60, white=2**bits - 2, jpeg=components, space=0)
        write_mlv(folder / "mlv" / f"{bits}-{components}.mlv", random_mosaics(2, bits=bits), clip)
    _make_placed(folder)
    (folder / "first.dng").unlink()
    make_states(folder, ("ffv1", "homography"))
    make_models(folder)


def _make_videos(folder: Path, frame: RawFrame) -> None:
    pictures = [_picture(index) for index in range(6)]
    for suffix, codec in CLIPS:
        path = folder / "video" / f"{codec}.{suffix}"
        encode_video(iter(pictures), path, rate=Fraction(25), codec=codec)
        pack(path, folder / "first.dng", folder / "bundle" / f"{codec}.rvd")
    frames = folder / "frames"
    frames.mkdir()
    for index, picture in enumerate(pictures[:3]):
        (frames / f"{index}.png").write_bytes(imagecodecs.png_encode(picture))
    pack(frames, folder / "first.dng", folder / "bundle" / "png.rvd")
    tiffs = folder / "tiffs"
    tiffs.mkdir()
    for index, picture in enumerate(pictures[:3]):
        tifffile.imwrite(tiffs / f"{index}.tiff", picture, photometric="rgb")
    pack(tiffs, folder / "first.dng", folder / "bundle" / "tiff.rvd")
    levels = MosaicLevels(frame.black, frame.white, frame.phase, frame.bits)
    for suffix in ("tiff", "png"):
        plain = folder / "plain" / f"first.{suffix}"
        pack(
            folder / "video" / "h264.mp4",
            plain,
            folder / "bundle" / f"plain-{suffix}.rvd",
            levels=levels,
        )


def _make_placed(folder: Path) -> None:
    """Bundles that pack makes seldom: resampled, of several RAWs, of a recording, with exposures.

    Put together without asking where the RAWs lie, so that the seeds are the same whatever finds
    it.
    """
    large, later = folder / "large.dng", folder / "later.dng"
    write_dng(_frame(0, (110, 150)), large)
    write_dng(_frame(5), later)
    resampled = Homography(
        kind="homography",
        sensor_height=110,
        sensor_width=150,
        grid_height=SIZE[0],
        grid_width=SIZE[1],
        matrix=((2.1, -0.04, 4.3), (0.03, 2.05, 5.1), (1e-4, -2e-4, 1.0)),
    )
    whole = crop_and_turn(SIZE, Rect(0, 0, *SIZE), (False, 0))
    exposures = Exposures(
        time=(0.02,) * 6,
        iso=(100.0, 100.0, 200.0, 200.0, 400.0, 400.0),
        gain=None,
        white_balance=((2.1, 1.0, 1.6),) * 6,
    )
    _put(folder, "homography", [(0, large, resampled)], None)
    _put(folder, "several", [(0, large, resampled), (5, later, whole)], exposures)
    recording = folder / "mlv" / "14-1.mlv"
    small = crop_and_turn((24, 32), Rect(0, 0, 24, 32), (False, 0))
    make_clip(folder / "video" / "mpeg4.avi", "mpeg4", count=3, size=(32, 24))
    _put(folder, "recording", [(1, recording, small)], None, "mpeg4.avi")


def _put(
    folder: Path,
    name: str,
    raws: list[tuple[int, Path, Transform]],
    exposures: Exposures | None,
    clip: str = "h264.mp4",
) -> None:
    video = folder / "video" / clip
    info = probe(FileSource(video))
    references = [
        ReferenceInput(
            InputFile.at(path, "a RAW frame"),
            index,
            on_grid(read_raw(path), transform, info.rotation),
            transform,
            match_score=0.9,
        )
        for index, path, transform in raws
    ]
    files = [InputFile.at(video, "a video")]
    target = folder / "bundle" / f"{name}.rvd"
    create(target, VideoInput(clip, files, False, info), references, exposures=exposures)


def _make_plain(folder: Path, frame: RawFrame) -> None:
    """Mosaics as TIFF and PNG; dark ones, which are large for their number of bytes."""
    dark = np.full((2000, 3000), 64, np.uint16)
    for name, mosaic in (("first", frame.mosaic), ("dark", dark)):
        (folder / f"{name}.png").write_bytes(imagecodecs.png_encode(mosaic))
        tifffile.imwrite(folder / f"{name}-deflate.tiff", mosaic, compression="zlib")
    tifffile.imwrite(folder / "first.tiff", frame.mosaic)
    tifffile.imwrite(folder / "tiles.tiff", frame.mosaic, tile=(16, 16), compression="lzw")
    tifffile.imwrite(folder / "big-endian.tiff", frame.mosaic, byteorder=">")


def _make_raws(folder: Path, frame: RawFrame) -> None:
    """Compressed and not, in strips and tiles, of either byte order, with previews; endless."""
    (folder / "ljpeg.dng").write_bytes(encode_dng(frame, rate=Fraction(25)))
    (folder / "none.dng").write_bytes(encode_dng(frame, compression="none"))
    (folder / "log10.dng").write_bytes(encode_dng(frame, compression="log10"))
    (folder / "jxl.dng").write_bytes(encode_dng(frame, compression="jxl"))
    crop = replace(frame, default_crop=Rect(2, 2, 40, 60), orientation=6)
    (folder / "crop.dng").write_bytes(encode_dng(crop))
    tags = [
        (271, 2, 0, "Acme", True),
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, (0, 1, 1, 2), True),
        (50706, 1, 4, (1, 4, 0, 0), True),
        (50708, 2, 0, "Acme Filmer 3000", True),
        (50714, 3, 1, 64, True),
        (50717, 3, 1, 1023, True),
        (50728, 5, 3, (473, 1000, 1, 1, 1259, 2000), True),
    ]
    options = {"photometric": "CFA", "metadata": None, "extratags": tags}
    tifffile.imwrite(folder / "tiles.dng", frame.mosaic, tile=(16, 16), **options)
    tifffile.imwrite(folder / "big-endian.dng", frame.mosaic, byteorder=">", **options)
    with tifffile.TiffWriter(folder / "preview.dng") as tiff:
        described = [tag for tag in tags if tag[0] not in (33421, 33422)]
        preview = np.zeros((12, 16, 3), np.uint8)
        tiff.write(
            preview, photometric="RGB", subfiletype=1, subifds=1, metadata=None, extratags=described
        )
        tiff.write(frame.mosaic, photometric="CFA", metadata=None, extratags=tags[1:3] + tags[5:7])
    with tifffile.TiffWriter(folder / "many-ifds.dng") as tiff:
        tiff.write(frame.mosaic, subifds=3, metadata=None, photometric="CFA", extratags=tags)
        for _ in range(5):
            tiff.write(preview, photometric="RGB", subfiletype=1, metadata=None)
    for name, data in endless_tiffs().items():
        (folder / name).write_bytes(data)


def _frame(index: int = 0, size: tuple[int, int] = SIZE) -> RawFrame:
    light = _picture(index, size)[..., 1] / 255
    noise = np.random.default_rng(1).normal(0, 2, size)
    mosaic = np.clip(np.rint(64 + light * 959 + noise), 0, 1023).astype(np.uint16)
    camera = CameraProfile(unique_model="Acme Filmer 3000", as_shot_neutral=(0.5, 1.0, 0.625))
    return RawFrame(mosaic, CfaPhase.GRBG, (64.25, 64.0, 64.0, 64.25), 1023, 10, camera)


def _picture(index: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    y, x = np.mgrid[: size[0], : size[1]] / size[1]
    light = 0.15 + 0.5 * x * y + 0.3 * ((x + index / 200 - 0.3) ** 2 + (y - 0.2) ** 2 < 0.02)
    return np.rint(255 * np.stack([light, 0.9 * light, 0.6 * light], -1)).astype(np.uint8)


if __name__ == "__main__":
    make_seeds(Path(sys.argv[1]))
