"""Load linear, low-noise images of the scene's light from photographs, RAW stills and clips.

All are float32 [H, W, 3], linear, with sRGB primaries; 1 is the source's white. Colours outside
sRGB have negative values, stretched highlights values above 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import InputError, RawError, VideoError
from rvdtool.raw.frame import CameraProfile, RawFrame
from rvdtool.raw.read import read_raw
from rvdtool.research.dataset.color import balanced_from_srgb
from rvdtool.research.dataset.leaves import draw_leaves
from rvdtool.research.dataset.pixels import Image, blur, mix, saturate, shrink
from rvdtool.research.dataset.recipe import RawLevels, Source
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.source import open_source


@dataclass(frozen=True)
class SourceFolders:
    """Folders in which recipes' sources are looked up, in this order."""

    folders: tuple[Path, ...]

    def find(self, path: str) -> Path:
        """The source of that path in the first folder that has it.

        Raises:
            InputError: no folder has it.
        """
        for folder in self.folders:
            if (folder / path).is_file():
                return folder / path
        places = ", ".join(str(folder) for folder in self.folders) or "no folder"
        raise InputError(f"{path}: source not found below {places}; name its folder with --sources")


def load_still(source: Source, folders: SourceFolders) -> Image:
    """Load a photograph, RAW still or drawn picture as a shrunk linear image.

    Raises:
        InputError: the file isn't found or can't be read.
    """
    if source.kind == "leaves":
        leaves = shrink(draw_leaves(source.seed), source.shrink)
        return blur(leaves, source.defocus) if source.defocus else leaves
    path = folders.find(source.path)
    if source.kind == "raw":
        return _raw_still(path, source)
    encoded = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if encoded is None:
        raise InputError(f"{path}: not an image that can be read")
    return _unprocess(np.ascontiguousarray(encoded[..., ::-1]), source)


def iterate_clip(source: Source, folders: SourceFolders) -> Iterator[Image]:
    """Iterate over a clip's frames from `source.start` on, as linear images.

    Raises:
        VideoError: the clip can't be read, or ends before `source.start`.
    """
    video = open_source(folders.find(source.path))
    info = probe(video)
    if info.frame_count <= source.start:
        raise VideoError(
            f"{source.path}: {info.frame_count} frames, but it should start at frame {source.start}"
        )
    if info.bits != 8:
        raise VideoError(f"{source.path}: {info.bits} bits; clips with 8 bits are supported")
    for frame in read_frames(video, info):
        if frame.index >= source.start:
            yield _unprocess(np.asarray(frame.rgb, np.uint8), source)


def _unprocess(rgb: NDArray[np.uint8], source: Source) -> Image:
    """Invert display gamma, contrast curve and saturation, in that order, then shrink.

    After Brooks et al., "Unprocessing images for learned raw denoising" (CVPR 2019), but with
    stretched highlights.
    """
    linear = _inverse_curve(source.s_curve)[rgb]
    linear = shrink(linear, source.shrink)
    if source.saturation != 1:
        linear = saturate(linear, source.saturation)
    return stretch_highlights(linear, source.highlights)


def _inverse_curve(s_curve: float) -> NDArray[np.float32]:
    """Table [256]: inverse of a blend of identity and smoothstep, then the inverse sRGB curve."""
    coded = np.linspace(0, 1, 4097)
    forward = (1 - s_curve) * coded + s_curve * (3 * coded**2 - 2 * coded**3)
    plain = np.interp(np.arange(256) / 255, forward, coded)
    return np.where(plain <= 0.04045, plain / 12.92, ((plain + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


def stretch_highlights(image: Image, white: float) -> Image:
    """Brighten highlights smoothly so that 1 becomes `white`; values below 0.5 don't change."""
    if white == 1:
        return image
    brightest = image.max(axis=2, keepdims=True)
    above = np.clip((brightest - 0.5) / 0.5, 0, 1)
    return np.asarray(image * (1 + (white - 1) * above**2), np.float32)


def _raw_still(path: Path, source: Source) -> Image:
    frame = _headless(path, source.levels) if source.levels else read_raw(path)
    matrix = frame.profile.color_matrix
    if matrix is None:
        raise RawError(f"{path}: no colour matrix; state `levels` in the recipe")
    cells = bin_cells(frame)
    balanced = cells / np.asarray(frame.profile.as_shot_neutral, np.float32)
    clip = np.float32(1 / max(frame.profile.as_shot_neutral))
    balanced = np.minimum(balanced / clip, 1)  # without it, clipped skies become magenta
    linear = mix(balanced.astype(np.float32, copy=False), np.linalg.inv(balanced_from_srgb(matrix)))
    linear = shrink(linear, source.shrink / 2)
    return stretch_highlights(linear, source.highlights)


def bin_cells(frame: RawFrame) -> Image:
    """One RGB pixel per 2×2 CFA cell, normalised, greens averaged; [H//2, W//2, 3]."""
    height, width = (side // 2 * 2 for side in frame.size)
    black = np.asarray(frame.black, np.float32).reshape(2, 2)
    sums = np.zeros((height // 2, width // 2, 3), np.float32)
    for (row, column), color in np.ndenumerate(frame.phase.pattern):
        values = frame.mosaic[row:height:2, column:width:2].astype(np.float32)
        sums[..., color] += (values - black[row, column]) / (frame.white - black[row, column])
    sums[..., 1] /= 2
    return sums


def _headless(path: Path, levels: RawLevels) -> RawFrame:
    """Read a mosaic without header: a 16-bit one-channel picture, or plain little-endian uint16."""
    if levels.shape is not None:
        values = np.fromfile(path, "<u2")
        if values.size != levels.shape[0] * levels.shape[1]:
            raise RawError(f"{path}: {values.size} values, but the recipe says {levels.shape}")
        mosaic = values.reshape(levels.shape)
    else:
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is None or picture.ndim != 2 or picture.dtype != np.uint16:
            raise RawError(f"{path}: not a 16-bit one-channel picture")
        mosaic = np.asarray(picture, np.uint16)
    profile = CameraProfile(
        unique_model=path.stem, as_shot_neutral=levels.neutral, color_matrix=levels.color_matrix
    )
    return RawFrame(
        np.ascontiguousarray(mosaic, np.uint16),
        levels.phase,
        (levels.black,) * 4,
        levels.white,
        levels.bits,
        profile,
    )


def require_sources(sources: Sequence[Source], folders: SourceFolders) -> None:
    """Check that all sources exist, before any work.

    Raises:
        InputError: a source is missing.
    """
    for source in sources:
        if source.kind != "leaves":
            folders.find(source.path)
