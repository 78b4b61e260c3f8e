"""Adapts a camera's tags to another grid than the sensor's: cropped, rotated, or resampled.

Model gets a suffix there. Programs that know the camera by its name know where its sensor's picture
begins, too, and cut there: RawTherapee takes 36 columns off anything that says it is an ILCE-7RM3.
UniqueCameraModel, by which Adobe's programs choose a colour profile, stays.
"""

from collections.abc import Sequence
from dataclasses import replace

from rvdtool.raw.frame import CameraProfile, Tag
from rvdtool.raw.opcodes import Move, move_opcodes

DEFAULT_SCALE, _NOISE_PROFILE = 50718, 51041
_SUFFIX = " (rvdtool)"


def move_profile(
    profile: CameraProfile, move: Move, *, noise: Sequence[float] | None = None
) -> CameraProfile:
    """The profile as it holds on another grid.

    Args:
        profile: as it holds on the old grid.
        move: from there to the new one.
        noise: after resampling, the part of the noise's variance that is left in R, G and B; None
            if the new grid has the old one's photosites.
    """
    profile = move_opcodes(profile, move)
    tags: list[Tag] = []
    dropped = list(profile.dropped)
    for tag in profile.tags:
        if tag.code == DEFAULT_SCALE:
            if noise is None:  # resampled pixels have the video's shape
                tags.append(_turned_scale(tag, move))
        elif tag.code == _NOISE_PROFILE and noise is not None:
            if isinstance(tag.value, tuple) and len(tag.value) in (2, 6):
                tags.append(_averaged_noise(tag, noise))
            else:
                dropped.append("NoiseProfile")
        else:
            tags.append(tag)
    model = profile.model or profile.unique_model
    return replace(
        profile,
        model=model if model.endswith(_SUFFIX) else model + _SUFFIX,
        tags=tuple(tags),
        dropped=tuple(dropped),
    )


def _turned_scale(tag: Tag, move: Move) -> Tag:
    """DefaultScale: horizontal, then vertical; two numbers each."""
    across, down = abs(move.matrix[0][0]), abs(move.matrix[0][1])
    return tag if across > down else replace(tag, value=(*tag.value[2:], *tag.value[:2]))


def _averaged_noise(tag: Tag, noise: Sequence[float]) -> Tag:
    """NoiseProfile: variance = scale · light + offset; a pair for each colour, or one for all."""
    pairs = [tag.value[i : i + 2] for i in range(0, len(tag.value), 2)]
    pairs = pairs if len(pairs) == 3 else pairs * 3
    value = tuple(part * term for part, pair in zip(noise, pairs, strict=True) for term in pair)
    return replace(tag, count=len(value), value=value)
