"""Where every pixel came from: in the previous frame, and in frame 1."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.flow import Flow, bridge, compose, estimate_flow, sample
from rvdtool.reconstruct.statistics import Array, box

Grey = NDArray[np.uint8]

FLAT = 1.5
"""Of 255: a picture that varies by less (standard deviation) shows nothing to recognise."""

NOISY = 4.0
"""Where pictures differ by more than so many times what noise makes, they show different things."""

NearFlow = Callable[[int, tuple[int, int]], Flow]
"""A source of flows other than our own: frame index, (height, width) → flow to the frame before."""


@dataclass(frozen=True)
class Motion:
    """Flows of one frame, at the flow's working size.

    Attributes:
        near: to the previous frame.
        far: to frame 1; while that is lost, where the search for it goes on.
        cut: whether the frame shows another scene than the previous one; `near` means nothing then.
        lost: whether frame 1 went out of sight with a cut, and hasn't come back.
    """

    near: Flow
    far: Flow
    cut: bool = False
    lost: bool = False


class MotionTracker:
    """Follows every pixel back to frame 1.

    The flow to frame 1 is composed of the flow to the previous frame and that frame's own flow to
    frame 1, then refined by a search that starts there; of the two, the one that explains the
    picture better is taken at every place. So errors don't add up, and no search goes far.

    After a cut, or a black frame, it keeps looking for frame 1 from where it saw it last.
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
            previous_far: the previous frame's flow to frame 1.
            blank: where the current frame shows nothing to follow, bool [H, W].
            lost: whether the previous frame had lost frame 1.
        """
        if self._given is None:
            near = estimate_flow(grey, previous)
        else:
            near = self._given(index, (grey.shape[0], grey.shape[1]))
        cut = not same_scene(grey, sample(previous.astype(np.float32), near))
        if cut or lost:
            return self._search(grey, near, previous_far, blank, cut)
        composed = compose(near, previous_far)
        refined = estimate_flow(grey, self._first, composed)
        better = self._error(grey, refined) < self._error(grey, composed)
        far = np.where(better[..., None], refined, composed)
        return Motion(near, bridge(far, grey, blank))

    def _search(
        self, grey: Grey, near: Flow, last: Flow, blank: NDArray[np.bool_], cut: bool
    ) -> Motion:
        """Look for frame 1 around where it was seen last."""
        found = bridge(estimate_flow(grey, self._first, last), grey, blank)
        if same_scene(grey, sample(self._first.astype(np.float32), found)):
            return Motion(near, found, cut)
        return Motion(near, last, cut, lost=True)

    def _error(self, grey: Grey, flow: Flow) -> Array:
        """Local photometric error against frame 1, blind to slow brightness changes."""
        error = grey.astype(np.float32) - sample(self._first.astype(np.float32), flow)
        error -= box(error, 15)
        return box(error * error, 9)


def trust(grey: Grey, warped: Array) -> NDArray[np.bool_]:
    """Where two pictures surely show the same thing, whatever their brightness: bool [H, W].

    Local normalised cross-correlation above 0.97 where there is texture. What noise hides shows in
    pictures that are blurred more, over larger windows; it counts where the finer pictures differ
    by no more than noise does.
    """
    (same, missed), *coarser = (
        _agreement(grey, warped, *scale) for scale in ((5, 13, 4.0), (13, 31, 1.0), (27, 61, 0.5))
    )
    # Most of a frame is matched rightly: the quarter that agrees best shows what noise does.
    noise = missed <= NOISY * np.quantile(missed, 0.25)
    return same | (noise & (coarser[0][0] | coarser[1][0]))


def _agreement(
    grey: Grey, warped: Array, blur: int, window: int, least: float
) -> tuple[NDArray[np.bool_], Array]:
    """At one scale, [H, W] each: where two pictures agree, and the variance of what they don't.

    Args:
        grey, warped: the pictures.
        blur, window: in pixels.
        least: variance below which there is no texture.
    """
    one, two = (box(image.astype(np.float32), blur) for image in (grey, warped))
    mean_one, mean_two = box(one, window), box(two, window)
    variance_one = box(one * one, window) - mean_one * mean_one
    variance_two = box(two * two, window) - mean_two * mean_two
    covariance = box(one * two, window) - mean_one * mean_two
    correlation = covariance / np.sqrt(np.maximum(variance_one * variance_two, 1e-6))
    missed = variance_one * (1 - np.clip(correlation, 0, 1) ** 2)
    return (correlation > 0.97) & (variance_one > least), missed


def same_scene(grey: Grey, warped: Array) -> bool:
    """Whether a frame and another one, along the flow between them, show one scene.

    Correlates detail (a band of spatial frequencies) and thumbnails; a cut loses both. On 444 pairs
    of neighbours in RVD-Sim's training and validation clips, detail correlates by 0.54 or more and
    thumbnails by 0.94; on 148 pairs from different scenes, by 0.41 and 0.79 at most.

    Args:
        grey: uint8 [H, W].
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
    details = (image - box(image, 31) for image in (one, two))
    return _correlation(*details) > 0.48 or _correlation(*thumbnails) > 0.87


def _correlation(one: Array, two: Array) -> float:
    one, two = one - one.mean(), two - two.mean()
    return float((one * two).sum() / np.sqrt((one * one).sum() * (two * two).sum() + 1e-6))
