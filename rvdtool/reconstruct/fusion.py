"""Training-free fusion of the candidates by their variances."""

from rvdtool.reconstruct.affinity import Prior
from rvdtool.reconstruct.buffers import empty
from rvdtool.reconstruct.candidates import fuse_strip
from rvdtool.reconstruct.compiled import in_strips
from rvdtool.reconstruct.statistics import Array


def fuse(prior: Prior) -> tuple[Array, Array]:
    """Fuse the candidates of a frame.

    Fit, anchored and previous share the fine error, so they are weighted by the inverse variance of
    their predictable errors. Warped RAW doesn't have the fit's fine error, but its own noise; it is
    weighted against the fused others by total variances.

    The candidates aren't independent (all depend on the reference frame), so the precision of the
    result is their mean precision, not the sum.

    Returns:
        Normalised RAW, [H, W], and the variance of its predictable error, [H, W].
    """
    candidates = (prior.fit, prior.anchored, prior.previous, prior.warped)
    values = tuple(candidate.value for candidate in candidates)
    variances = tuple(candidate.variance for candidate in candidates)
    result, variance = empty(prior.fine.shape), empty(prior.fine.shape)

    def strip(first: int, last: int) -> None:
        fuse_strip(first, last, values, variances, prior.fine, result, variance)

    in_strips(result.shape[0], strip)
    return result, variance
