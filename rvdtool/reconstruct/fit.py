"""The inverse ISP's estimate of a frame at the reference frame's brightness, with its error
variances."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.buffers import empty
from rvdtool.reconstruct.calibration import Calibration
from rvdtool.reconstruct.candidates import scale_strip, tables_of
from rvdtool.reconstruct.compiled import in_strips
from rvdtool.reconstruct.estimate import Estimate
from rvdtool.reconstruct.flow import Flow
from rvdtool.reconstruct.inverse_isp import find
from rvdtool.reconstruct.isp_features import Features
from rvdtool.reconstruct.lights import HEADROOM, beyond_limit, still_full
from rvdtool.reconstruct.statistics import Array
from rvdtool.video.frame import Rgb

FIT_SHARE = np.float32(0.1)
"""Fraction of the variance of an unseen clip state that is attributed to the fit; the rest applies
to all candidates. Chosen on development clips: lossless ones improved by 1.6 dB on average."""


@dataclass(frozen=True)
class Fit:
    """The fit at the reference frame's brightness, [H, W] each.

    Attributes:
        value, lower_bound: of the fit; see `Evidence`.
        clipped: clip state.
        fine: variance of the unpredictable part of the fit's error.
        total: variance of its total error.
        blind: variance due to unseen clip states, which applies to all candidates.
        full: 1 where the photosite is certainly saturated, else 0.
        gain: the brightness that was removed.
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
        """Make a fit from an estimate at the given brightness, without highlights."""
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
        self, calibration: Calibration, features: Features, white: float, tracks_gain: bool
    ) -> None:
        """Estimate highlights of clip states that are rare or unseen in the reference frame."""
        error = calibration.inverse_isp.error
        if not error.is_rare.any():
            return
        rows, columns = features.clipped_places
        is_rare = error.is_rare[self.clipped[rows, columns]]
        rare = rows[is_rare], columns[is_rare]
        if not is_rare.any():
            return
        learned = error.of_rare_states(self.clipped, rare) / (self.gain * self.gain)
        step, blind = beyond_limit(
            calibration.phase,
            features,
            self.value,
            self.lower_bound,
            rare,
            learned,
            white,
            tracks_gain,
        )
        correction, blind, measured = calibration.rare(self.clipped, rare, blind)
        self.value[rare] = np.minimum(self.value[rare] + step + correction, white)
        self.total[rare] += (FIT_SHARE + (1 - FIT_SHARE) * measured) * blind
        self.blind[rare] = blind

    def keep_full(self, calibration: Calibration, rgb: Rgb, far: Flow, white: float) -> None:
        """Set photosites that were saturated in the reference frame and are still clipped."""
        if not calibration.lights.any():
            return
        full = find(still_full(calibration.lights, rgb, calibration.phase, far))
        self.full[full] = 1
        bound = np.float32(min(HEADROOM, white))
        self.lower_bound[full] = np.maximum(self.lower_bound[full], bound)
        self.value[full] = np.maximum(self.value[full], self.lower_bound[full])
