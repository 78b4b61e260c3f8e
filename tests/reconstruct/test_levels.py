"""DN and normalised values: the compiled loop agrees with `raw.bayer`."""

from dataclasses import replace

import numpy as np
from small_shots import raw_frame, texture

from rvdtool.raw.bayer import denormalise, normalise
from rvdtool.reconstruct.levels import in_reference_light, quantised


def test_the_compiled_loops_equal_raw_bayer() -> None:
    size = (131, 75)
    frame = replace(raw_frame(texture(size, 1)), black=(60.5, 61, 63, 70))
    mosaic = np.random.default_rng(0).integers(0, frame.white + 1, size, np.uint16)
    plain = normalise(mosaic, frame.black, frame.white)
    assert np.allclose(in_reference_light(mosaic, 1.7, frame), plain / np.float32(1.7), atol=1e-6)
    values = 1.5 * plain - np.float32(0.2)
    again = quantised(values, 1.1, frame).astype(int)
    assert (
        np.abs(again - denormalise(values * np.float32(1.1), frame.black, frame.white)).max() <= 1
    )
    assert np.array_equal(quantised(plain, 1.0, frame), mosaic)
