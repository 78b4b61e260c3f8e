"""Evidence with a corrupted flow to the reference frame, as used in training."""

import numpy as np
from small_shots import BLACK, WHITE, mosaic, pan, psnr, raw_frame, render

from rvdtool.raw.bayer import normalise
from rvdtool.reconstruct.affinity import Evidence
from rvdtool.reconstruct.chain import Chain
from rvdtool.reconstruct.fusion import fuse
from rvdtool.research.training.corrupt import with_corrupted_flow

SCENES = pan(2)
REFERENCE = raw_frame(SCENES[0])


def evidence() -> Evidence:
    return Chain(REFERENCE, render(SCENES[0])).observe(render(SCENES[1])).evidence


def test_only_the_corrupted_region_changes() -> None:
    given = evidence()
    wrong = np.zeros(given.first_fit.shape, bool)
    wrong[:48] = True
    corrupted = with_corrupted_flow(given, wrong, (0, 20))
    for one, other in (
        (corrupted.first_fit, given.first_fit),
        (corrupted.warped.value, given.warped.value),
    ):
        assert np.array_equal(one[48:], other[48:])
        assert np.array_equal(one[:48], np.roll(other, 20, axis=1)[:48])
    assert np.array_equal(corrupted.anchored.value[48:], given.anchored.value[48:])
    assert np.array_equal(corrupted.anchored.variance[48:], given.anchored.variance[48:])


def test_the_fusion_gives_corrupted_candidates_less_weight() -> None:
    given = evidence()
    everywhere = np.ones(given.first_fit.shape, bool)
    first = normalise(REFERENCE.mosaic, BLACK, WHITE)

    def quality(one: Evidence) -> float:
        value, _ = fuse(one.with_previous(first, np.zeros_like(first)))
        return psnr(value, mosaic(SCENES[1]))

    right, wrong = quality(given), quality(with_corrupted_flow(given, everywhere, (30, 40)))
    assert right - 3 < wrong < right
