"""What frame 1 teaches, once: the inverse ISP, what it misses there, and by how much it errs."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.inverse_isp import InverseIsp
from rvdtool.reconstruct.isp_features import Rgb
from rvdtool.reconstruct.lights import RareStates, lights
from rvdtool.reconstruct.motion import Grey
from rvdtool.reconstruct.statistics import (
    ROUNDING,
    Array,
    Curve,
    fine_power,
    lag_covariance,
    noise_variance,
    shrink,
)


@dataclass(frozen=True)
class Calibration:
    """All that is learned from frame 1, where sRGB and RAW are both known.

    Attributes:
        inverse_isp: sRGB → RAW.
        phase: of the RAW.
        sources: [H, W, 4], sampled together along a flow: the fit, its denoised residual, the
            denoised RAW, and the power of the detail that sampling blurs.
        clipped: 0 or 1 per photosite, float [H, W].
        lights: where its RAW is full, see `lights`, [H, W].
        rare: what it says of rare clip states.
        grey: picture for the flow.
        smooth: variance of the part of the fit's error that can be carried along.
        fine: variance of the rest.
        noise: variance of the RAW's noise.
        shown: the same of the fit's.
    """

    inverse_isp: InverseIsp
    phase: CfaPhase
    sources: Array
    clipped: Array
    lights: Array
    rare: RareStates
    grey: Grey
    smooth: Curve
    fine: Curve
    noise: Curve
    shown: Curve

    @classmethod
    def measure(
        cls, rgb: Rgb, raw: Array, phase: CfaPhase, grey: Grey, *, by_libraw: bool = False
    ) -> Self:
        """Calibrate.

        Args:
            rgb: frame 1, [H, W, 3].
            raw: its normalised RAW, float32 [H, W].
            phase: of the RAW.
            grey: `flow_image(rgb)`.
            by_libraw: whether LibRaw's defaults rendered `rgb`.
        """
        inverse_isp = InverseIsp.calibrate(rgb, raw, phase, by_libraw=by_libraw)
        estimate = inverse_isp(rgb)
        value, free = estimate.value, estimate.clipped == 0
        residual = raw - value
        typical = Curve.quantile(value[free], fine_power(residual)[free], 0.5)
        carried = shrink(residual, typical(value), 7)
        noise = noise_variance(raw, value, free)
        blurred = np.maximum(fine_power(raw) - noise(value), 0)
        smooth = Curve.mean(value[free], lag_covariance(residual)[free], lowest=ROUNDING)
        fine = Curve.mean(value[free], ((residual - carried) ** 2)[free])
        sources = np.stack([value, carried, shrink(raw, noise(value), 5), blurred], axis=-1)
        clipped = (~free).astype(np.float32)
        learned = inverse_isp.error.of_rare_states(estimate)
        return cls(
            inverse_isp=inverse_isp,
            phase=phase,
            sources=sources,
            clipped=clipped,
            lights=lights(raw, rgb, phase),
            rare=RareStates.measure(rgb, raw, phase, estimate, learned, by_libraw),
            grey=grey,
            smooth=smooth,
            fine=fine,
            noise=noise,
            shown=noise_variance(value, value, free),
        )
