"""Evidence with a corrupted flow to the reference frame, to train networks on wrong flow."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.affinity import KAPPA, UNUSABLE, Candidate, Evidence
from rvdtool.reconstruct.difference import WINDOW
from rvdtool.reconstruct.statistics import Array, box


def with_corrupted_flow(
    evidence: Evidence, wrong: NDArray[np.bool_], shift: tuple[int, int]
) -> Evidence:
    """Corrupt the flow to the reference frame in a region, to train networks on wrong flow.

    Args:
        evidence: a frame's evidence.
        wrong: mask of the region, [H, W].
        shift: offset in rows and columns (both even) of the values used there instead.
    """

    def shifted(field: Array) -> Array:
        return np.roll(field, shift, axis=(0, 1))

    value, clipped = evidence.fit.value, evidence.clipped > 0
    first_fit, first_raw = shifted(evidence.first_fit), shifted(evidence.warped.value)
    residual = shifted(np.where(clipped, 0, evidence.anchored.value - value))
    flow_variance = np.float32(KAPPA) * box((value - first_fit) ** 2, WINDOW)
    # Where unclipped, `residual_variance` is that of the previous frame: twice that of the
    # reference frame.
    residual_variance = np.where(
        clipped, evidence.residual_variance, evidence.residual_variance / 2
    )
    anchored = _carry(
        value, clipped, evidence.lower_bound, first_raw, residual, flow_variance, residual_variance
    )
    variance = np.minimum(evidence.warped.variance + 2 * flow_variance, UNUSABLE)

    def where(other: Array, own: Array) -> Array:
        return np.where(wrong, other, own).astype(np.float32)

    return replace(
        evidence,
        anchored=Candidate(
            where(anchored.value, evidence.anchored.value),
            where(anchored.variance, evidence.anchored.variance),
        ),
        warped=Candidate(
            where(first_raw, evidence.warped.value), where(variance, evidence.warped.variance)
        ),
        first_fit=where(first_fit, evidence.first_fit),
    )


def _carry(
    value: Array,
    clipped: NDArray[np.bool_],
    lower_bound: Array,
    raw: Array,
    residual: Array,
    flow_variance: Array,
    residual_variance: Array,
) -> Candidate:
    """A candidate: fit plus warped residual; where clipped, the warped RAW.

    Args:
        value: the fit.
        clipped, lower_bound: see `Evidence`.
        raw, residual: RAW and residual of the other frame, warped.
        flow_variance, residual_variance: see `Evidence`.
    """
    # If a value warped to a clipped photosite is below the clipping level, that is its error.
    short = np.where(clipped, np.maximum(lower_bound - raw, 0), 0)
    candidate = np.where(clipped, np.maximum(raw, lower_bound), value + residual)
    return Candidate(candidate, flow_variance + residual_variance + short * short)
