"""Compare a RAW frame with its video frame, and find where they show different things.

`disagreement` detects large differences reliably, for any ISP. If there are any, the RAW was taken
at another time, and finer differences (shadows, leaves) are likely. Then every unusually large
residual of the calibrated fit counts as a difference, too.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.matching.disagreement import disagreement
from rvdtool.raw.bayer import normalise
from rvdtool.raw.frame import RawFrame
from rvdtool.reconstruct.estimate import Estimate
from rvdtool.reconstruct.flow import estimate_flow, flow_image, resize_flow, sample_mosaic
from rvdtool.reconstruct.statistics import ROUNDING, Array, Curve, box, fine_power
from rvdtool.video.frame import Rgb

SCALES = ((1, 7, 6.0), (9, 9, 12.0), (25, 9, 12.0))
"""For each scale: side in pixels of the window over which the fit's residual is averaged, side of
the window for the mean of its square, and largest ratio of that to its usual value at the same
brightness and amount of detail."""
FOLLOWED = np.float32(0.2)
"""Weight in the fit of RAW that was interpolated along a flow."""
_KNOTS = 65


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """The RAW warped to the video frame, for objects that have moved between the two.

    Interpolation blurs it too much for a result, but it shows the colours of such objects.

    Attributes:
        raw: normalised RAW, warped along a flow, [H, W].
        agrees: where it shows the same as the frame, bool [H, W].
    """

    raw: Array
    agrees: NDArray[np.bool_]

    @classmethod
    def follow(cls, raw: RawFrame, rgb: Rgb) -> Self:
        """Estimate the flow between the frame and a picture made from the RAW, and warp the RAW.

        Args:
            raw, rgb: see `Match.of`.
        """
        values = normalise(raw.mosaic, raw.black, raw.white)
        shown = flow_image(rgb)
        grey = np.sqrt(np.maximum(cv2.GaussianBlur(values, (0, 0), 1.2), 0))
        grey = cv2.resize(grey, shown.shape[::-1], interpolation=cv2.INTER_AREA)
        shares = np.linspace(0, 1, _KNOTS)
        levels = (
            np.quantile(grey, shares) + np.arange(_KNOTS) * 1e-7
        )  # distinct, as np.interp requires
        toned = np.interp(grey, levels, np.quantile(shown, shares)).astype(np.uint8)
        flow = resize_flow(estimate_flow(shown, toned), raw.size)
        moved = sample_mosaic(raw.mosaic.astype(np.float32), flow)
        mosaic = np.rint(moved).astype(np.uint16)
        agrees = disagreement(rgb, raw.with_mosaic(mosaic)) == 0
        return cls(normalise(mosaic, raw.black, raw.white), agrees)


@dataclass(frozen=True, eq=False)
class Match:
    """How a RAW and its video frame match.

    Attributes:
        agreement: confidence that both show the same, 0..1, [H, W]; None if everywhere 1.
        resampled: whether the RAW was resampled to the video's grid.
        elsewhere: the RAW warped to the frame; None if not computed.
    """

    agreement: Array | None
    resampled: bool = False
    elsewhere: Elsewhere | None = None

    @classmethod
    def of(cls, raw: RawFrame, rgb: Rgb, *, resampled: bool = False) -> Self:
        """Compare a RAW with its video frame.

        Args:
            raw: the RAW on the video's grid.
            rgb: the video frame, uint8 or uint16 [H, W, 3].
            resampled: see `Match`.
        """
        differs = disagreement(rgb, raw)
        if not differs.any():
            return cls(None, resampled)
        return cls(1 - differs, resampled, Elsewhere.follow(raw, rgb))

    @property
    def is_frame(self) -> bool:
        """Whether the RAW is exactly this frame, so that it is written unchanged."""
        return self.agreement is None and not self.resampled

    @property
    def differing(self) -> float:
        """Fraction of the frame in which the RAW shows something else, 0..1."""
        return 0.0 if self.agreement is None else float(np.mean(self.agreement < 0.5))


def unexplained(raw: Array, estimate: Estimate, agrees: NDArray[np.bool_]) -> Array:
    """Ratio of the fit's residual to its usual limit; above 1, RAW and frame differ.

    Args:
        raw: normalised RAW, [H, W].
        estimate: the fit.
        agrees: where both are assumed to show the same, bool [H, W].

    Returns:
        The ratio of squares, [H, W].
    """
    residual, value = raw - estimate.value, estimate.value
    free = agrees & (estimate.clipped == 0)
    worst = np.zeros_like(value)
    if not free.any():
        return worst
    detail = np.log(fine_power(value) + np.float32(ROUNDING))
    for inner, outer, limit in SCALES:
        mean = box(residual, inner)
        power = box(mean * mean, outer)
        usual = np.maximum(
            *(
                Curve.quantile(by[free], power[free], 0.5, lowest=ROUNDING)(by)
                for by in (value, detail)
            )
        )
        worst = np.maximum(worst, power / (np.float32(limit) * usual))
    return worst


def softened(beyond: Array) -> Array:
    """Convert the result of `unexplained` to agreement, 0..1, with a margin and a soft edge."""
    unlike = cv2.dilate((beyond > 1).astype(np.float32), np.ones((5, 5), np.uint8))
    return 1 - cv2.GaussianBlur(unlike, (0, 0), 1.5)
