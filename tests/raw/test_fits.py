"""FITS files as telescope cameras write them."""

from dataclasses import replace

import numpy as np
import pytest

from rvdtool.errors import RawError
from rvdtool.raw.frame import CfaPhase
from rvdtool.raw.read import MosaicLevels, read_raw

MOSAIC = np.random.default_rng(0).integers(0, 65536, (24, 30)).astype(np.uint16)
LEVELS = MosaicLevels(black=(25.0,) * 4, white=65535, phase=CfaPhase.GRBG, bits=16)


def write_fits(path, mosaic=MOSAIC, *, data=None, **changes):
    """A file by the standard: 80 characters per card, 2880 bytes per block."""
    cards = {
        "SIMPLE": "T", "BITPIX": "16", "NAXIS": "2", "NAXIS1": str(mosaic.shape[1]),
        "NAXIS2": str(mosaic.shape[0]), "BSCALE": "1", "BZERO": "32768 / unsigned",
        "INSTRUME": "'ZWO ASI''s / END'", **changes,
    }  # fmt: skip
    lines = [f"{name:8}= {value:>20}".ljust(80) for name, value in cards.items()]
    header = "".join([*lines, "COMMENT = 3".ljust(80), "END".ljust(80)]).encode()
    pixels = (mosaic.astype(np.int32) - 32768).astype(">i2").tobytes() if data is None else data
    header += b" " * (-len(header) % 2880)
    path.write_bytes(header + pixels + bytes(-len(pixels) % 2880))
    return path


@pytest.mark.parametrize("order", [{}, {"ROWORDER": "'TOP-DOWN'"}])
def test_every_value_is_read(tmp_path, order):
    frame = read_raw(write_fits(tmp_path / "a.fit", BAYERPAT="'GRBG    '", **order), levels=LEVELS)
    assert np.array_equal(frame.mosaic, MOSAIC)
    assert (frame.phase, frame.white, frame.bits) == (CfaPhase.GRBG, 65535, 16)


def test_the_top_row_comes_first(tmp_path):
    """Wherever BAYERPAT counts from, the given phase is that of the top row."""
    for pattern in ("GRBG", "BGGR"):
        path = write_fits(tmp_path / "a.fit", BAYERPAT=f"'{pattern}'", ROWORDER="'BOTTOM-UP'")
        assert np.array_equal(read_raw(path, levels=LEVELS).mosaic, MOSAIC[::-1])


def test_a_phase_that_the_header_contradicts(tmp_path):
    path = write_fits(tmp_path / "a.fit", BAYERPAT="'GBRG'")
    with pytest.raises(RawError, match=r"BAYERPAT is GBRG, .* GRBG .* --phase GBRG"):
        read_raw(path, levels=LEVELS)
    shifted = write_fits(tmp_path / "a.fit", BAYERPAT="'GBRG'", XBAYROFF="1", YBAYROFF="1.0")
    assert read_raw(shifted, levels=LEVELS).phase == CfaPhase.GRBG


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"BITPIX": "-32"}, "2 axes and BITPIX -32"),
        ({"NAXIS": "3"}, "3 axes"),
        ({"NAXIS": "0"}, "0 axes .*funpack"),
        ({"BZERO": "0"}, "negative"),
        ({"BSCALE": "0.5"}, "BSCALE 0.5"),
        ({"NAXIS1": "70000"}, "70000"),
        ({"NAXIS1": "'x'"}, "NAXIS1 is 'x'"),
        ({"data": b""}, "cut short"),
    ],
)
def test_what_is_no_mosaic(tmp_path, changes, message):
    with pytest.raises(RawError, match=message):
        read_raw(write_fits(tmp_path / "a.fit", **changes), levels=LEVELS)


def test_a_header_without_end(tmp_path):
    path = tmp_path / "a.fit"
    path.write_bytes(b"SIMPLE  =                    T".ljust(9000))
    with pytest.raises(RawError, match="header has no end"):
        read_raw(path, levels=LEVELS)


def test_without_levels_the_advice_names_the_options(tmp_path):
    with pytest.raises(RawError, match=r"a FITS file; .*--black, --white, --phase, --bits"):
        read_raw(write_fits(tmp_path / "a.fit"))
    small = replace(LEVELS, bits=10, white=1000)
    with pytest.raises(RawError, match="but 10 bits were given"):
        read_raw(tmp_path / "a.fit", levels=small)
