"""Training-free fusion of the candidates by their variances."""

import numpy as np

from rvdtool.reconstruct.affinity import Prior
from rvdtool.reconstruct.statistics import Array


def fuse(prior: Prior) -> tuple[Array, Array]:
    """Blend the candidates of a frame.

    Fit, anchored and previous differ in their predictable error and share the fine one, so they are
    weighted by the inverse of the former. Warped RAW has none of the fit's fine error but noise of
    its own; it is weighed against the blend of the others by whole variances.

    Returns:
        (normalised RAW [H, W], variance of its predictable error [H, W]).
    """
    candidates = (prior.fit, prior.anchored, prior.previous)
    precisions = [1 / candidate.variance for candidate in candidates]
    total = precisions[0] + precisions[1] + precisions[2]
    blend = sum(
        (
            precision * candidate.value
            for precision, candidate in zip(precisions, candidates, strict=True)
        ),
        start=np.zeros_like(total),
    )
    blend /= total

    rest = 1 / total + prior.fine
    share = rest / (rest + prior.warped.variance)
    result = blend + share * (prior.warped.value - blend)
    # The candidates are no independent witnesses (all stem from frame 1), so the blend is believed
    # only as much as their harmonic mean, not as their sum of precisions.
    variance = np.minimum(len(candidates) / total, prior.fit.variance)
    return result.astype(np.float32), variance.astype(np.float32)
