"""Ten bits with steps below the noise."""

import numpy as np
import pytest

from rvdtool.raw.companding import companding_curve

LEVELS = [(256.0, 4095), (512.0, 16383), (2047.25, 15000), (0.0, 16383), (4096.0, 65535)]


@pytest.mark.parametrize(("black", "white"), LEVELS)
def test_the_error_is_below_the_noise(black, white):
    """Shot noise of 60,000 electrons, the lowest of any camera, with a read noise of 4."""
    found = companding_curve(black, white)
    levels = np.linspace(black, black + 0.95 * (white - black), 40)
    scale = 60_000 / (white - black)
    noise = np.sqrt((levels - black) * scale + 16) / scale
    rng = np.random.default_rng(0)
    for level, sigma in zip(levels, noise, strict=True):
        light = rng.normal(level, sigma, 20_000)
        stored = np.clip(np.rint(light), 0, white).astype(np.uint16)
        error = found.table[found.encode(stored)] - stored.astype(float)
        assert error.std() < max(0.3 * sigma, 0.5)
        assert abs(error.mean()) < 0.12 * sigma + 0.05
        if level > black + 0.1 * white:
            assert error.std() < 0.15 * sigma


@pytest.mark.parametrize(("black", "white"), [*LEVELS, (64.0, 1023), (0.0, 255), (60.0, 1024)])
def test_the_curve_rises_and_keeps_its_ends(black, white):
    found = companding_curve(black, white)
    table = found.table.astype(int)
    assert table.size <= 1024
    assert np.diff(table).min() > 0
    assert (table[0], table[-1]) == (0, white) or table[0] <= white / 256
    assert np.array_equal(found.encode(found.table), np.arange(table.size))
    above = np.array([[white, 65535]], np.uint16)
    assert found.table[found.encode(above)].tolist() == [[white, white]]


def test_nothing_changes_where_ten_bits_are_enough():
    found = companding_curve(64.0, 1023)
    assert np.array_equal(found.table, np.arange(1024))
