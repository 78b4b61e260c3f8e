"""How far a RAW frame is the video frame that it belongs to, and where it shows something else.

`disagreement` finds that coarsely, for certain, and whatever the ISP does. Once it has found
anything, the RAW is known to be of another moment, and finer differences (shadows, leaves) are
likely: then everything counts as different that the calibrated fit doesn't explain.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.matching.disagreement import disagreement
from rvdtool.raw.bayer import normalise
from rvdtool.raw.frame import RawFrame
from rvdtool.reconstruct.flow import estimate_flow, flow_image, resize_flow, sample_mosaic
from rvdtool.reconstruct.inverse_isp import Estimate
from rvdtool.reconstruct.isp_features import Rgb
from rvdtool.reconstruct.statistics import ROUNDING, Array, Curve, box, fine_power

SCALES = ((1, 7, 6.0), (9, 9, 12.0), (25, 9, 12.0))
"""What the fit leaves is averaged over so many pixels a side, its square over so many, and may be
so many times what is usual at that brightness and in that much detail."""
FOLLOWED = np.float32(0.2)
"""Weight in the fit of what the RAW shows elsewhere: it was interpolated along a flow."""
_KNOTS = 65


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """The RAW of what has moved since, brought to where the frame shows it.

    Too blurred by sampling to be a result, but it tells the colours of things that nothing else in
    the frame tells.

    Attributes:
        raw: normalised, along a flow, [H, W].
        agrees: where that shows what the frame shows, bool [H, W].
    """

    raw: Array
    agrees: NDArray[np.bool_]

    @classmethod
    def follow(cls, raw: RawFrame, rgb: Rgb) -> Self:
        """Find the flow between the frame and the RAW's own picture.

        Args:
            raw, rgb: see `Match.of`.
        """
        values = normalise(raw.mosaic, raw.black, raw.white)
        shown = flow_image(rgb)
        grey = np.sqrt(np.maximum(cv2.GaussianBlur(values, (0, 0), 1.2), 0))
        grey = cv2.resize(grey, shown.shape[::-1], interpolation=cv2.INTER_AREA)
        shares = np.linspace(0, 1, _KNOTS)
        levels = np.quantile(grey, shares) + np.arange(_KNOTS) * 1e-7  # none twice
        toned = np.interp(grey, levels, np.quantile(shown, shares)).astype(np.uint8)
        flow = resize_flow(estimate_flow(shown, toned), raw.size)
        moved = sample_mosaic(raw.mosaic.astype(np.float32), flow)
        mosaic = np.rint(moved).astype(np.uint16)
        agrees = disagreement(rgb, raw.with_mosaic(mosaic)) == 0
        return cls(normalise(mosaic, raw.black, raw.white), agrees)


@dataclass(frozen=True, eq=False)
class Match:
    """What a RAW says about its video frame.

    Attributes:
        agreement: how surely both show the same, 0..1, [H, W]; None: everywhere.
        resampled: whether the RAW was brought onto the video's grid by interpolation.
        elsewhere: what of it the frame shows at another place; None: not looked for.
    """

    agreement: Array | None
    resampled: bool = False
    elsewhere: Elsewhere | None = None

    @classmethod
    def of(cls, raw: RawFrame, rgb: Rgb, *, resampled: bool = False) -> Self:
        """Compare them.

        Args:
            raw: on the video's grid.
            rgb: the video frame, uint8 or uint16 [H, W, 3].
            resampled: see `Match`.
        """
        differs = disagreement(rgb, raw)
        if not differs.any():
            return cls(None, resampled)
        return cls(1 - differs, resampled, Elsewhere.follow(raw, rgb))

    @property
    def is_frame(self) -> bool:
        """Whether the RAW is that very frame: then it is the result as it is."""
        return self.agreement is None and not self.resampled

    @property
    def differing(self) -> float:
        """Share of the frame in which the RAW shows something else, 0..1."""
        return 0.0 if self.agreement is None else float(np.mean(self.agreement < 0.5))


def unexplained(raw: Array, estimate: Estimate, agrees: NDArray[np.bool_]) -> Array:
    """How far what the fit leaves is beyond what is usual: 1 is the limit, [H, W].

    Args:
        raw: normalised.
        estimate: the fit.
        agrees: where the two show the same as far as is known, [H, W].
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
    """Agreement, 0..1, from `unexplained`: with a margin and a soft edge."""
    unlike = cv2.dilate((beyond > 1).astype(np.float32), np.ones((5, 5), np.uint8))
    return 1 - cv2.GaussianBlur(unlike, (0, 0), 1.5)
