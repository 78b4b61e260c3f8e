"""Rates how a RAW frame matches its video frame as good, doubtful or refused, with reasons."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rvdtool.bundle.convert import on_grid
from rvdtool.bundle.transform import Homography
from rvdtool.capture.align import MATCH, OUTSIDE, Alignment, sizes
from rvdtool.capture.compare import block_means, correlation, raw_picture, video_picture
from rvdtool.raw.frame import CfaPhase, RawFrame
from rvdtool.video.frame import Rgb, VideoInfo

Word = Literal["good", "doubtful", "refused"]

DIFFERS, DIFFERS_ALL = 0.01, 0.9
"""Shares of the RAW that differ from the frame, above which a match is doubtful or refused."""

_LOW = 0.5
"""Score below which a match is doubtful without any other reason: see docs/method/alignment.md."""
_LOST = 0.5
"""Largest share of the frame that may be black or white; above it, too few colours are left."""
_DARK, _BRIGHT = 6 / 255, 250 / 255
_BLURRED = 0.3
"""Sharpness below which a frame is blurred: contrast of fine detail over that of coarse detail,
frame divided by RAW."""
_FITS_AGAIN = 0.9
"""Relative score of another position above which the match is doubtful."""
_PHASE_BETTER, _PHASE_FITS = 0.4, 0.5
"""Required gain in correlation of colours by another phase, in Fisher's z (the artanh of the
correlation, whose error is uniform over the range), and its required correlation. In 65 pairs, a
wrong phase never gained more than 0.1."""
_CELLS = 200


@dataclass(frozen=True)
class Verdict:
    """The result for one RAW frame.

    Attributes:
        name: name of the RAW file.
        index: index of the video frame that it was compared with, from 0.
        score: correlation of detail, -1..1.
        differs: share of the RAW that shows something else than the frame, 0..1; None if it wasn't
            measured because OpenCV is missing.
        refusals: reasons why it doesn't match.
        doubts: things for the user to check.
        notes: other findings.
    """

    name: str
    index: int
    score: float
    differs: float | None
    refusals: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def word(self) -> Word:
        """The outcome in one word."""
        return "refused" if self.refusals else "doubtful" if self.doubts else "good"

    def __str__(self) -> str:
        """One line without the file's name: `doubtful (score 0.91): motion …`."""
        reasons = "; ".join((*self.refusals, *self.doubts, *self.notes))
        return f"{self.word} (score {self.score:.3f})" + (f": {reasons}" if reasons else "")


def judge(name: str, placed: RawFrame, rgb: Rgb, found: Alignment, info: VideoInfo) -> Verdict:
    """Compare a RAW frame with the video frame that it was aligned with.

    Args:
        name: name of the RAW file.
        placed: the RAW frame on the video's grid.
        rgb: the video frame, uint8 or uint16 [H, W, 3].
        found: alignment of the two.
        info: the video's properties.
    """
    differs = _differs(rgb, placed)
    refusals, doubts, notes = [], [], []
    size = sizes((found.transform.sensor_height, found.transform.sensor_width), info)
    if found.score < MATCH:
        refusals.append(
            f"its best match, with frame {found.index} (counted from 0), has a score of "
            f"{found.score:.3f}; at least {MATCH:g} is needed ({size}). Is it the same "
            "scene?"
        )
    elif found.outside > OUTSIDE:
        refusals.append(
            f"it leaves {found.outside:.0%} of the video's picture uncovered; at most "
            f"{OUTSIDE:.0%} is accepted ({size}). Take the RAW at least as wide as the "
            "video"
        )
    elif differs is not None and differs > DIFFERS_ALL:
        refusals.append(f"{differs:.0%} of the RAW shows something else than frame {found.index}")
    elif differs is not None and differs > DIFFERS:
        doubts.append(
            f"motion between still and frame, {_percent(differs)} of the RAW shows something else"
        )
    doubts += _frame_doubts(rgb, placed)
    if found.again > _FITS_AGAIN:
        doubts.append("the texture repeats, so the RAW fits at several places")
    if not refusals and not doubts and found.score < _LOW:
        doubts.append("the score is low")
    if isinstance(found.transform, Homography) and found.transform.lens is not None:
        notes.append("lens distortion of the RAW corrected as in the video")
    if differs is None:
        notes.append("motion wasn't checked, since that needs OpenCV")
    return Verdict(
        name, found.index, found.score, differs, tuple(refusals), tuple(doubts), tuple(notes)
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share > 0.015 else f"{100 * share:.1f} %"


def _differs(rgb: Rgb, placed: RawFrame) -> float | None:
    try:
        from rvdtool.matching.disagreement import disagreement
    except ImportError:
        return None
    return float(disagreement(rgb, placed).mean())


def _frame_doubts(rgb: Rgb, placed: RawFrame) -> list[str]:
    """Doubts about the frame's exposure and blur."""
    doubts = []
    luma = video_picture(rgb, 2).grey
    lost = float(((luma < _DARK) | (luma > _BRIGHT)).mean())
    if lost > _LOST:
        doubts.append(f"exposure: {lost:.0%} of the frame is black or white")
    sharpness = _sharpness(placed, rgb)
    if sharpness < _BLURRED:
        doubts.append(
            f"blur: the frame has {sharpness:.0%} of the RAW's fine detail, relative to "
            "its coarse detail"
        )
    return doubts


def _sharpness(placed: RawFrame, rgb: Rgb) -> float:
    """The frame's share of the RAW's fine detail over its share of coarse detail, on the worse
    axis.

    The shares are slopes of a regression on the RAW, so the frame's own noise and sharpening don't
    count.
    """
    shares = []
    for axis in (0, 1):
        gains = []
        for step in (4, 16):
            own, other = raw_picture(placed, step).grey, video_picture(rgb, step).grey
            height, width = (min(a, b) for a, b in zip(own.shape, other.shape, strict=True))
            if min(height, width) < 8:
                return 1.0
            slopes = [np.diff(p[:height, :width], axis=axis) for p in (own, other)]
            gains.append(float((slopes[0] * slopes[1]).sum() / max((slopes[0] ** 2).sum(), 1e-9)))
        shares.append(gains[0] / gains[1] if gains[1] > 1e-3 else 1.0)
    return max(0.0, min(shares))


def better_phase(
    raws: Mapping[CfaPhase, RawFrame], said: CfaPhase, rgb: Rgb, found: Alignment, info: VideoInfo
) -> str | None:
    """Message if another CFA phase than the given one clearly fits the video's colours better.

    Two phases with greens in the same positions differ only in red and blue, which detail can't
    tell apart, but colours can.

    Args:
        raws: the RAW frame, read with each phase.
        said: the phase that the user gave.
        rgb: the video frame.
        found: alignment of the RAW with the frame.
        info: the video's properties.
    """
    fits = {
        phase: _color_fit(on_grid(raw, found.transform, info.rotation), rgb)
        for phase, raw in raws.items()
    }
    best = max(fits, key=lambda phase: fits[phase])
    apart = np.subtract(*np.arctanh(np.clip([fits[best], fits[said]], -0.999, 0.999)))
    if fits[best] < _PHASE_FITS or apart < _PHASE_BETTER:
        return None
    return (
        f"the frame's colours fit the phase {best.value}, not {said.value} (correlation "
        f"{fits[best]:.2f} against {fits[said]:.2f}); give --phase {best.value}"
    )


def _color_fit(placed: RawFrame, rgb: Rgb) -> float:
    """Correlation of red/green and blue/green between RAW and frame: the mean of the two."""
    step = 2 * -(-max(placed.size) // (2 * _CELLS))
    own = _by_green(_cell_colors(placed, step))
    other = _by_green([block_means(rgb[..., c], step) for c in range(3)])
    return float(np.mean([correlation(a, b) for a, b in zip(own, other, strict=True)]))


def _by_green(colors: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Red/green and blue/green of square roots, which video codes are close to; damped where
    dark."""
    red, green, blue = (np.sqrt(np.maximum(color, 0)) for color in colors)
    floor = np.float32(0.25) * green.mean() + np.float32(1e-6)
    return [red / (green + floor), blue / (green + floor)]


def _cell_colors(frame: RawFrame, step: int) -> list[NDArray[np.float32]]:
    """Means of red, green and blue above black per step×step photosites, in DN."""
    colors: list[NDArray[Any]] = [np.zeros((1, 1), np.float32) for _ in range(3)]
    height, width = (side // 2 * 2 for side in frame.size)
    for (row, column), color in np.ndenumerate(frame.phase.pattern):
        sites = frame.mosaic[row:height:2, column:width:2].astype(np.float32)
        means = block_means(sites - np.float32(frame.black[2 * row + column]), step // 2)
        colors[color] = colors[color] + means / (2 if color == 1 else 1)
    return colors


def overruled(verdict: Verdict) -> Verdict:
    """The verdict with --force: reasons for refusal become doubts."""
    return replace(verdict, refusals=(), doubts=(*verdict.refusals, *verdict.doubts))
