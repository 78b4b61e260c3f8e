"""Blending two chains, and their temporary files."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_shots import BLACK, WHITE, Array, pan, raw_frame

from rvdtool.errors import OutputError, UsageError
from rvdtool.raw.bayer import denormalise
from rvdtool.reconstruct.blend import Trace, Waypoint, blend
from rvdtool.reconstruct.spool import Spool

REFERENCE = raw_frame(pan(1)[0])
HEIGHT, WIDTH = REFERENCE.size
BLOCKS = HEIGHT // 8, WIDTH // 8
COUNT = 3


@pytest.fixture
def spools() -> Iterator[tuple[Spool, Spool]]:
    with Spool(None) as one, Spool(None) as other:
        yield one, other


def constant(
    spool: Spool,
    value: float,
    error: float | Array,
    *,
    exposure: float = 1,
    flow: tuple[float, float] = (0, 0),
) -> Trace:
    """A chain whose frames are all of the same grey."""
    mosaic = denormalise(np.full(REFERENCE.size, value, np.float32), BLACK, WHITE)
    for _ in range(COUNT):
        flows = np.full((*BLOCKS, 2), flow, np.float32)
        spool.append(mosaic, flows, np.full(BLOCKS, 1e-4 * value, np.float32))
    waypoint = Waypoint(1.0, 0.9, 0.9, np.float32(exposure))
    errors = np.broadcast_to(np.float32(error), BLOCKS).copy()
    return Trace(REFERENCE, (waypoint,) * COUNT, False, spool, errors)


def share(one: Trace, other: Trace, age: int, other_age: int) -> Array:
    """The weight of `one`, whose frames are 0.75, in the blend with `other`, whose frames are
    0.25."""
    value, expected = blend(one, other, age, other_age)
    result = (value - 0.25) / 0.5
    # Expected errors are blended with the same weights.
    assert (expected / 1e-4 - 0.25).mean() / 0.5 == pytest.approx(result.mean(), abs=0.02)
    return result


def test_chains_of_equal_error_are_averaged(spools: tuple[Spool, Spool]) -> None:
    one, other = constant(spools[0], 0.75, 1e-4), constant(spools[1], 0.25, 1e-4)
    assert np.allclose(share(one, other, 2, 2), 0.5, atol=2e-3)


def test_the_chain_from_the_nearer_reference_has_more_weight(spools: tuple[Spool, Spool]) -> None:
    one, other = constant(spools[0], 0.75, 1e-4), constant(spools[1], 0.25, 1e-4)
    assert np.allclose(share(one, other, 1, 3), 0.75, atol=2e-3)
    assert np.allclose(share(one, other, 3, 1), 0.25, atol=2e-3)


def test_errors_reduce_the_weight(spools: tuple[Spool, Spool]) -> None:
    one, other = constant(spools[0], 0.75, 9e-4), constant(spools[1], 0.25, 1e-4)
    assert np.allclose(share(one, other, 2, 2), 0.1, atol=2e-3)


def test_errors_scale_with_exposure(spools: tuple[Spool, Spool]) -> None:
    """Three times the exposure, nine times the squared error."""
    one = constant(spools[0], 0.75, 1e-4, exposure=3)
    other = constant(spools[1], 0.25, 1e-4)
    assert np.allclose(share(one, other, 2, 2), 0.1, atol=2e-3)


def test_errors_are_warped_along_the_other_chains_flow(spools: tuple[Spool, Spool]) -> None:
    """At its arrival, the left half of `one` is wrong; in this frame, that half is four blocks
    further right."""
    wrong = np.full(BLOCKS, 1e-5, np.float32)
    wrong[:, : BLOCKS[1] // 2] = 1e-1
    one = constant(spools[0], 0.75, wrong)
    other = constant(spools[1], 0.25, 1e-3, flow=(-4, 0))
    result = share(one, other, 2, 2)
    border = WIDTH // 2 + 32
    assert result[:, : border - 12].max() < 0.02
    assert result[:, border + 12 :].min() > 0.98


def test_chains_without_error_are_averaged(spools: tuple[Spool, Spool]) -> None:
    one, other = constant(spools[0], 0.75, 1e-12), constant(spools[1], 0.25, 1e-12)
    assert np.allclose(share(one, other, 2, 2), 0.5, atol=2e-3)


def test_chains_that_reached_no_reference_are_not_weighted(spools: tuple[Spool, Spool]) -> None:
    one = constant(spools[0], 0.75, 1e-4)
    other = Trace(REFERENCE, one.waypoints, False, spools[0], None)
    with pytest.raises(UsageError, match="only a chain that reached another reference"):
        blend(one, other, 1, 1)


# Temporary files


def test_records_are_read_in_any_order() -> None:
    rng = np.random.default_rng(0)
    records = [
        (rng.integers(0, 60_000, (5, 7)).astype(np.uint16), rng.normal(size=(2, 3, 2)))
        for _ in range(6)
    ]
    with Spool(None) as spool:
        for count, record in enumerate(records):
            assert len(spool) == count
            spool.append(*record)
            assert np.array_equal(spool[0][1], records[0][1])  # reading doesn't disturb writing
        for index in (5, 0, 3, 3):
            for one, two in zip(spool[index], records[index], strict=True):
                assert one.dtype == two.dtype
                assert np.array_equal(one, two)


def test_a_closed_spool_leaves_no_file(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.append(np.zeros(1000))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has such a file")
def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.append(np.zeros(10))
        full = os.open("/dev/full", os.O_RDWR)
        os.dup2(full, spool._file.fileno())
        os.close(full)
        with pytest.raises(OutputError, match="No space left on device"):
            spool.append(np.zeros(10))
