"""Training-free fusion of the candidates by their variances."""

from rvdtool.reconstruct.affinity import Prior
from rvdtool.reconstruct.buffers import empty
from rvdtool.reconstruct.candidates import fuse_strip
from rvdtool.reconstruct.compiled import in_strips
from rvdtool.reconstruct.statistics import Array


def fuse(prior: Prior) -> tuple[Array, Array]:
    """Blend the candidates of a frame.

    Fit, anchored and previous differ in their predictable error and share the fine one, so they are
    weighted by the inverse of the former. Warped RAW has none of the fit's fine error but noise of
    its own; it is weighed against the blend of the others by whole variances.

    The candidates are no independent witnesses (all stem from the reference frame), so the blend
    is believed only as much as their harmonic mean, not as their sum of precisions.

    Returns:
        (normalised RAW [H, W], variance of its predictable error [H, W]).
    """
    candidates = (prior.fit, prior.anchored, prior.previous, prior.warped)
    values = tuple(candidate.value for candidate in candidates)
    variances = tuple(candidate.variance for candidate in candidates)
    result, variance = empty(prior.fine.shape), empty(prior.fine.shape)

    def strip(first: int, last: int) -> None:
        fuse_strip(first, last, values, variances, prior.fine, result, variance)

    in_strips(result.shape[0], strip)
    return result, variance
