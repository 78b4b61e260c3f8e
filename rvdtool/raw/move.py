"""Adapt a camera's tags to a cropped, rotated or resampled frame.

Model gets a suffix then, since programs crop the frames of cameras that they know by name:
RawTherapee removes 36 columns of any frame of an ILCE-7RM3. UniqueCameraModel, by which Adobe's
programs choose a colour profile, doesn't change.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from rvdtool.raw.frame import CameraProfile, Tag
from rvdtool.raw.opcodes import Move, move_opcodes
from rvdtool.raw.tiff import RATIONAL

DEFAULT_SCALE, NOISE_PROFILE = 50718, 51041
_SUFFIX = " (rvdtool)"


def move_profile(
    profile: CameraProfile, move: Move, *, noise: Sequence[float] | None = None
) -> CameraProfile:
    """Adapt a profile to another pixel grid.

    Args:
        profile: the profile for the old grid.
        move: the mapping between the grids.
        noise: the fraction of the noise variance left after resampling in R, G and B; None if the
            photosites are only cropped or rotated.
    """
    profile = move_opcodes(profile, move)
    tags: list[Tag] = []
    dropped = list(profile.dropped)
    for tag in profile.tags:
        if tag.code == DEFAULT_SCALE:
            if noise is None:  # resampled pixels have the video's aspect ratio
                tags.append(_turned_scale(tag, move))
        elif tag.code == NOISE_PROFILE and noise is not None:
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


def scale_tag(aspect: Fraction) -> Tag:
    """DefaultScale, by which readers enlarge pixels of another shape to square ones.

    Args:
        aspect: width of a pixel divided by its height.
    """
    wide, high = max(aspect, Fraction(1)), max(1 / aspect, Fraction(1))
    return Tag(DEFAULT_SCALE, RATIONAL, 2, (*wide.as_integer_ratio(), *high.as_integer_ratio()))


def pixel_aspect(profile: CameraProfile) -> Fraction:
    """Width of a photosite divided by its height, by DefaultScale; 1 without one."""
    for tag in profile.tags:
        if tag.code == DEFAULT_SCALE:
            across, of_across, down, of_down = tag.value
            return Fraction(across * of_down, of_across * down)
    return Fraction(1)


def _turned_scale(tag: Tag, move: Move) -> Tag:
    """Rotate DefaultScale: the horizontal, then the vertical scale, each a rational."""
    across, down = abs(move.matrix[0][0]), abs(move.matrix[0][1])
    return tag if across > down else replace(tag, value=(*tag.value[2:], *tag.value[:2]))


def _averaged_noise(tag: Tag, noise: Sequence[float]) -> Tag:
    """Scale NoiseProfile: pairs (s, o) for one or all colours, with variance = s · light + o."""
    pairs = [tag.value[i : i + 2] for i in range(0, len(tag.value), 2)]
    pairs = pairs if len(pairs) == 3 else pairs * 3
    value = tuple(part * term for part, pair in zip(noise, pairs, strict=True) for term in pair)
    return replace(tag, count=len(value), value=value)
