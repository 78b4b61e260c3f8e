"""The inverse ISP's estimate of a frame, as bright as the reference frame, and what is known of
its errors."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.buffers import empty
from rvdtool.reconstruct.calibration import Calibration
from rvdtool.reconstruct.candidates import scale_strip, tables_of
from rvdtool.reconstruct.compiled import in_strips
from rvdtool.reconstruct.flow import Flow
from rvdtool.reconstruct.inverse_isp import Estimate, find
from rvdtool.reconstruct.isp_features import Rgb
from rvdtool.reconstruct.lights import HEADROOM, beyond_limit, still_full
from rvdtool.reconstruct.statistics import Array

FITS_OWN = np.float32(0.1)
"""Share of an unseen highlight's variance which the fit is weighed by; the rest is in all
candidates alike. Chosen on development clips: lossless ones rose by 1.6 dB in the mean."""


@dataclass(frozen=True)
class Fit:
    """The fit as bright as the reference frame, [H, W] each.

    Attributes:
        value, lower_bound: of the fit; see `Evidence`.
        clipped: clip state.
        fine: variance of the fit's error that nothing can foretell.
        total: variance of its whole error.
        blind: variance of what a clipped photosite hides, in all candidates alike.
        full: 1 where the photosite is full for sure, else 0.
        gain: the brightness that was taken out.
    """

    value: Array
    lower_bound: Array
    clipped: NDArray[np.uint8]
    fine: Array
    total: Array
    blind: Array
    full: NDArray[np.uint8]
    gain: np.float32

    @classmethod
    def of(cls, calibration: Calibration, estimate: Estimate, brightness: float) -> Self:
        """From an estimate of some brightness, with no highlights known."""
        error = calibration.inverse_isp.error
        value, lower_bound, fine, total, blind = (empty(estimate.value.shape) for _ in range(5))
        curves = [calibration.fine, calibration.noise, calibration.smooth]
        tables = tables_of([*curves, *curves[:2], *error.curves])
        of_states, gain = error.of_states, np.float32(brightness)
        given = (estimate.value, estimate.lower_bound)

        def strip(first: int, last: int) -> None:
            scale_strip(
                first, last, given, estimate.clipped, gain, tables, of_states,
                value, lower_bound, fine, total,
            )  # fmt: skip

        in_strips(value.shape[0], strip)
        blind.fill(0)
        full = np.zeros_like(estimate.clipped)
        return cls(value, lower_bound, estimate.clipped, fine, total, blind, full, gain)

    def add_highlights(
        self, calibration: Calibration, rgb: Rgb, white: float, tracks_gain: bool
    ) -> None:
        """What is beyond the limit in clip states of which the reference frame shows too little."""
        error = calibration.inverse_isp.error
        if not error.is_rare.any():
            return
        rare = find(error.is_rare[self.clipped])
        if not rare[0].size:
            return
        learned = error.of_rare_states(self.clipped, rare) / (self.gain * self.gain)
        step, blind = beyond_limit(
            calibration.phase, rgb, self.value, self.lower_bound, rare, learned, white, tracks_gain
        )
        missed, blind, tried = calibration.rare(self.clipped, rare, blind)
        self.value[rare] = np.minimum(self.value[rare] + step + missed, white)
        self.total[rare] += (FITS_OWN + (1 - FITS_OWN) * tried) * blind
        self.blind[rare] = blind

    def keep_full(self, calibration: Calibration, rgb: Rgb, far: Flow, white: float) -> None:
        """What was full in the reference frame, and is as bright as can be, is full."""
        if not calibration.lights.any():
            return
        full = find(still_full(calibration.lights, rgb, calibration.phase, far))
        self.full[full] = 1
        least = np.float32(min(HEADROOM, white))
        self.lower_bound[full] = np.maximum(self.lower_bound[full], least)
        self.value[full] = np.maximum(self.value[full], self.lower_bound[full])
