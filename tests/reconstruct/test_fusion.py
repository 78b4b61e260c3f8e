"""Properties of the fusion that hold for any parameters."""

from dataclasses import replace

import numpy as np
import pytest
from small_shots import Array

from rvdtool.reconstruct.affinity import Candidate, Prior
from rvdtool.reconstruct.brightness import Ratio, Shading
from rvdtool.reconstruct.fusion import fuse

SIZE = (6, 8)
VALUES = {"fit": 0.2, "anchored": 0.3, "previous": 0.4, "warped": 0.5}


def flat(value: float) -> Array:
    return np.full(SIZE, value, np.float32)


def prior(variance: float = 1e-4, fine: float = 1e-4, **special: float) -> Prior:
    """Four flat candidates, all with the same variance except those named."""
    candidates = {
        name: Candidate(flat(value), flat(special.get(name, variance)))
        for name, value in VALUES.items()
    }
    clipped = np.zeros(SIZE, np.uint8)
    return Prior(
        **candidates,
        fine=flat(fine),
        clipped=clipped,
        brightness=Ratio(1.0, Shading()),
        exposure=1.0,
        trusted=1.0,
        first_fit=flat(VALUES["fit"]),
        previous_fit=flat(VALUES["fit"]),
        far=np.zeros((*SIZE, 2), np.float32),
    )


@pytest.mark.parametrize("name", ["fit", "anchored", "previous"])
def test_a_certain_candidate_is_used(name: str) -> None:
    value, variance = fuse(prior(**{name: 1e-12}, warped=1.0))
    assert np.allclose(value, VALUES[name], atol=1e-3)
    assert (variance < 1e-10).all()


def test_a_certain_warped_raw_is_used() -> None:
    value, _ = fuse(prior(warped=1e-12))
    assert np.allclose(value, VALUES["warped"], atol=1e-3)


@pytest.mark.parametrize("name", list(VALUES))
def test_missing_candidates_have_no_weight(name: str) -> None:
    missing = prior(**{name: 1e6})
    other = replace(missing, **{name: Candidate(flat(0.95), flat(1e6))})
    assert np.allclose(fuse(missing)[0], fuse(other)[0], atol=1e-6)


def test_candidates_of_equal_variance_are_averaged() -> None:
    value, variance = fuse(prior(warped=1e6))
    assert np.allclose(value, 0.3, atol=1e-6)
    assert np.allclose(variance, 1e-4, rtol=1e-3)


def test_the_result_is_within_the_candidates_range() -> None:
    rng = np.random.default_rng(0)
    names = list(VALUES)
    candidates = {
        name: Candidate(
            rng.uniform(0, 1, SIZE).astype(np.float32),
            (10 ** rng.uniform(-8, 0, SIZE)).astype(np.float32),
        )
        for name in names
    }
    value, variance = fuse(replace(prior(), **candidates))
    stack = np.stack([candidates[name].value for name in names])
    assert (value > stack.min(axis=0) - 1e-5).all()
    assert (value < stack.max(axis=0) + 1e-5).all()
    assert (variance > 0).all()
    assert (variance <= candidates["fit"].variance).all()


def test_a_larger_fine_error_favours_the_warped_raw() -> None:
    values = [float(fuse(prior(fine=fine))[0].mean()) for fine in (0.0, 1e-4, 1e-2)]
    assert values == sorted(values)
    assert values[2] > values[0] + 0.1


@pytest.mark.parametrize("level", [-0.01, 0.0, 1.2])
def test_values_that_all_candidates_share_are_kept(level: float) -> None:
    """Noise below black, and light beyond white after an increase of exposure, are real."""
    agreed = {name: Candidate(flat(level), flat(1e-4)) for name in VALUES}
    value, variance = fuse(replace(prior(), **agreed))
    assert value.dtype == variance.dtype == np.float32
    assert np.allclose(value, level)
