"""Estimate the motion of each pixel to the previous frame and to the reference frame."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.compiled import in_strips, kernel
from rvdtool.reconstruct.flow import Flow, bridge, compose, estimate_flow, sample
from rvdtool.reconstruct.statistics import Array, box

Grey = NDArray[np.uint8]

FLAT = 1.5
"""A picture with a smaller standard deviation (of 255 levels) is too flat to be recognised."""

NOISY = 4.0
"""Where pictures differ by more than this many times the noise, they show different things."""

FAR_APART = 30
"""Difference of two pictures' mid-tones, of 255 levels, from which their levels are matched."""
_MIDDLE = (0.25, 0.5, 0.75)

_0, _1, _TINY, _ALIKE = (np.float32(number) for number in (0, 1, 1e-6, 0.97))

NearFlow = Callable[[int, tuple[int, int]], Flow]
"""A source of given flows: frame index, (height, width) → flow to the previous frame."""


@dataclass(frozen=True)
class Motion:
    """Flows of one frame, at the flow's working size.

    Attributes:
        near: to the previous frame.
        far: to the reference frame; while that is lost, the start of the search for it.
        cut: whether the frame shows another scene than the previous one; if so, `near` is invalid.
        lost: whether the reference frame was lost at a cut and hasn't been found again.
    """

    near: Flow
    far: Flow
    cut: bool = False
    lost: bool = False


class MotionTracker:
    """Tracks each pixel to the reference frame.

    The flow to the previous frame is composed with that frame's flow to the reference frame, and
    refined by a search that starts there. At each pixel, the flow with the smaller error is used.
    So errors don't add up, and the search is short.

    After a cut or a black frame, the search for the reference frame continues from the position at
    which it was last seen.
    """

    def __init__(self, first: Grey, given: NearFlow | None = None) -> None:
        self._first = first
        self._given = given

    def __call__(
        self,
        index: int,
        grey: Grey,
        previous: Grey,
        previous_far: Flow,
        blank: NDArray[np.bool_],
        lost: bool = False,
    ) -> Motion:
        """Flows of frame `index`.

        Args:
            index: of the current frame, 1, 2, ….
            grey, previous: the current and the previous frame (`flow_image`).
            previous_far: the previous frame's flow to the reference frame.
            blank: where the current frame has no content to track, bool [H, W].
            lost: whether the previous frame had lost the reference frame.
        """
        now, before = equally_bright(grey, previous)
        if self._given is None:
            near = estimate_flow(now, before)
        else:
            near = self._given(index, (grey.shape[0], grey.shape[1]))
        cut = not same_scene(now, sample(before.astype(np.float32), near))
        now, first = equally_bright(grey, self._first)
        if cut or lost:
            return self._search(now, first, near, previous_far, blank, cut)
        composed = compose(near, previous_far)
        refined = estimate_flow(now, first, composed)
        better = _error(now, first, refined) < _error(now, first, composed)
        far = np.where(better[..., None], refined, composed)
        return Motion(near, bridge(far, now, blank))

    @staticmethod
    def _search(
        grey: Grey, first: Grey, near: Flow, last: Flow, blank: NDArray[np.bool_], cut: bool
    ) -> Motion:
        """Search for the reference frame around the position at which it was last seen."""
        found = bridge(estimate_flow(grey, first, last), grey, blank)
        if same_scene(grey, sample(first.astype(np.float32), found)):
            return Motion(near, found, cut)
        return Motion(near, last, cut, lost=True)


def _error(grey: Grey, first: Grey, flow: Flow) -> Array:
    """Local photometric error relative to the reference frame, without its smooth part, [H, W]."""
    error = grey.astype(np.float32) - sample(first.astype(np.float32), flow)
    error -= box(error, 15)
    return box(error * error, 9)


def equally_bright(grey: Grey, other: Grey) -> tuple[Grey, Grey]:
    """Match the brightness of two pictures, if one is much darker.

    Motion between a bright and a dark picture can't be estimated, since their contrasts differ too
    much. The darker picture's levels are mapped monotonically such that both have the same
    histogram, unless the brighter one is flat, as in a flash: that would erase the other's content.
    """
    mid_tones = [_levels_at(image, _MIDDLE) for image in (grey, other)]
    difference = mid_tones[1] - mid_tones[0]
    if (
        np.abs(difference).max() < FAR_APART
        or not (np.sign(difference) == np.sign(difference[1])).all()
    ):
        return grey, other
    brighter = other if difference[1] > 0 else grey
    if brighter.std() < FLAT:
        return grey, other
    if brighter is other:
        return _with_levels_of(grey, other), other
    return grey, _with_levels_of(other, grey)


def _levels_at(image: Grey, shares: tuple[float, ...]) -> NDArray[np.float64]:
    """Quantiles of a picture's levels, without sorting all of them as np.quantile does."""
    counts = np.cumsum(cv2.calcHist([image], [0], None, [256], [0, 256]).astype(np.int64))
    place = (image.size - 1) * np.array(shares)
    below, above = (counts.searchsorted(side(place), "right") for side in (np.floor, np.ceil))
    return below + (place - np.floor(place)) * (above - below)


def _with_levels_of(dark: Grey, bright: Grey) -> Grey:
    """Map the levels of one picture such that its histogram becomes that of the other."""
    shares = [np.cumsum(np.bincount(image.ravel(), minlength=256)) for image in (dark, bright)]
    middle = (shares[0] - np.bincount(dark.ravel(), minlength=256) / 2) / dark.size
    levels = np.interp(middle, shares[1] / bright.size, np.arange(256))
    return np.rint(levels).astype(np.uint8)[dark]


def trust(grey: Grey, warped: Array) -> NDArray[np.bool_]:
    """Where two pictures certainly show the same thing at any brightness: bool [H, W].

    The criterion is a local normalised cross-correlation above 0.97 where there is texture. If the
    pictures differ by no more than noise, it is also evaluated on smaller, more blurred pictures,
    with larger windows, since noise may hide texture.
    """
    one, two = grey.astype(np.float32), warped
    same, unexplained = _agreement(one, two, 5, 13, 4.0)
    # Most of a frame is matched correctly, so the quarter that agrees best shows the noise.
    noise = unexplained <= NOISY * np.quantile(unexplained[::2, ::2], 0.25)
    height, width = grey.shape
    for texture in (1.0, 0.5):
        size = max(1, one.shape[1] // 2), max(1, one.shape[0] // 2)
        one, two = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (one, two))
        coarser, _ = _agreement(one, two, 7, 15, texture)
        enlarged = cv2.resize(
            coarser.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
        )
        same |= noise & enlarged.view(np.bool_)
    return same


def _agreement(
    one: Array, two: Array, blur: int, window: int, texture: float
) -> tuple[NDArray[np.bool_], Array]:
    """Where two pictures agree at one scale, and the variance of the first one that the second one
    doesn't explain, [H, W] each.

    Args:
        one, two: the pictures.
        blur, window: in pixels.
        texture: variance below which there is no minimum.
    """
    one, two = box(one, blur), box(two, blur)
    means = tuple(box(image, window) for image in (one, two, one * one, two * two, one * two))
    same, unexplained = np.empty(one.shape, np.bool_), np.empty_like(one)
    minimum = np.float32(texture)
    in_strips(len(same), lambda top, end: _correlate(top, end, means, minimum, same, unexplained))
    return same, unexplained


@kernel
def _correlate(
    top: int,
    end: int,
    means: tuple[Array, Array, Array, Array, Array],
    texture: np.float32,
    same: NDArray[np.bool_],
    unexplained: Array,
) -> None:
    """Compute rows of `_agreement` from local means of both pictures, their squares and product."""
    for y in range(top, end):
        for x in range(same.shape[1]):
            mean_one, mean_two = means[0][y, x], means[1][y, x]
            variance_one = means[2][y, x] - mean_one * mean_one
            variance_two = means[3][y, x] - mean_two * mean_two
            covariance = means[4][y, x] - mean_one * mean_two
            power = max(variance_one * variance_two, _TINY)
            correlation = covariance / np.sqrt(power)
            limited = min(max(correlation, _0), _1)
            unexplained[y, x] = variance_one * (_1 - limited * limited)
            same[y, x] = (correlation > _ALIKE) & (variance_one > texture)


def same_scene(grey: Grey, warped: Array) -> bool:
    """Whether a frame and another, warped frame show the same scene.

    The criterion is the correlation of detail (a band of spatial frequencies) or of thumbnails. For
    444 pairs of consecutive frames in RVD-Sim's training and validation clips, the
    correlation of detail is at least 0.54 and that of thumbnails 0.94; for 148 pairs of different
    scenes, it is at most 0.41 and 0.79. The correlation of locally normalised detail is at least
    0.60 for 12 pairs of the same scene, 0.56 if a lamp lights a quarter of a scene eight times as
    bright as before, and at most 0.39 for 99 pairs of different scenes.

    Args:
        grey: the frame, uint8 [H, W].
        warped: the other frame, float32 [H, W].
    """
    one, two = (
        cv2.GaussianBlur(image.astype(np.float32), (0, 0), 5 / 3) for image in (grey, warped)
    )
    flat = [float(image.std()) < FLAT for image in (one, two)]
    if any(flat):
        return all(flat) and abs(float(one.mean() - two.mean())) < 4 * FLAT
    size = (min(28, grey.shape[1]), min(20, grey.shape[0]))
    thumbnails = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (one, two))
    details = [image - box(image, 31) for image in (one, two)]
    if _correlation(*details) > 0.48 or _correlation(*thumbnails) > 0.87:
        return True
    # If a lamp lights part of the scene, most detail is there; local normalisation corrects that.
    alike = (detail / np.sqrt(box(detail * detail, 31) + 4) for detail in details)
    return _correlation(*alike) > 0.48


def _correlation(one: Array, two: Array) -> float:
    one, two = one - one.mean(), two - two.mean()
    return float((one * two).sum() / np.sqrt((one * one).sum() * (two * two).sum() + 1e-6))
