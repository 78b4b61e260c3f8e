"""Where every pixel came from: in the previous frame, and in frame 1."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.derender.flow import Flow, bridge, compose, estimate_flow, sample
from rvdtool.derender.statistics import Array, box

Grey = NDArray[np.uint8]

NearFlow = Callable[[int, tuple[int, int]], Flow]
"""A source of flows other than our own: frame index, (height, width) → flow to the frame before."""


@dataclass(frozen=True)
class Motion:
    """Flows of one frame, at the flow's working size.

    Attributes:
        near: to the previous frame.
        far: to frame 1.
    """

    near: Flow
    far: Flow


class MotionTracker:
    """Follows every pixel back to frame 1.

    The flow to frame 1 is composed of the flow to the previous frame and that frame's own flow to
    frame 1, then refined by a search that starts there; of the two, the one that explains the
    picture better is taken at every place. So errors don't add up, and no search goes far.
    """

    def __init__(self, first: Grey, given: NearFlow | None = None) -> None:
        self._first = first
        self._given = given

    def __call__(
        self, index: int, grey: Grey, previous: Grey, previous_far: Flow, blank: NDArray[np.bool_]
    ) -> Motion:
        """Flows of frame `index`.

        Args:
            index: of the current frame, 1, 2, ….
            grey, previous: the current and the previous frame (`flow_image`).
            previous_far: the previous frame's flow to frame 1.
            blank: where the current frame shows nothing to follow, bool [H, W].
        """
        if self._given is None:
            near = estimate_flow(grey, previous)
        else:
            near = self._given(index, (grey.shape[0], grey.shape[1]))
        composed = compose(near, previous_far)
        refined = estimate_flow(grey, self._first, composed)
        better = self._error(grey, refined) < self._error(grey, composed)
        far = np.where(better[..., None], refined, composed)
        return Motion(near, bridge(far, grey, blank))

    def _error(self, grey: Grey, flow: Flow) -> Array:
        """Local photometric error against frame 1, blind to slow brightness changes."""
        error = grey.astype(np.float32) - sample(self._first.astype(np.float32), flow)
        error -= box(error, 15)
        return box(error * error, 9)


def trust(grey: Grey, warped: Array) -> NDArray[np.bool_]:
    """Where two pictures surely show the same thing, whatever their brightness: bool [H, W].

    Local normalised cross-correlation above 0.97 over 13×13 pixels that have texture.
    """
    one, two = (cv2.blur(image.astype(np.float32), (5, 5)) for image in (grey, warped))
    mean_one, mean_two = box(one, 13), box(two, 13)
    variance_one = box(one * one, 13) - mean_one * mean_one
    variance_two = box(two * two, 13) - mean_two * mean_two
    covariance = box(one * two, 13) - mean_one * mean_two
    norm = np.sqrt(np.maximum(variance_one * variance_two, 1e-6))
    return (covariance > 0.97 * norm) & (variance_one > 4)
