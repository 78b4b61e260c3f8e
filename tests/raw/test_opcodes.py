"""Lens shading is corrected alike, however a frame is moved."""

import struct
from dataclasses import replace

import numpy as np
import pytest
from raw_samples import CAMERA, make_frame

from rvdtool.raw.bayer import crop, orient
from rvdtool.raw.frame import CfaPhase, RawFrame, Rect, Tag
from rvdtool.raw.opcodes import opcode_names
from rvdtool.raw.resample import resample

SIZE = (60, 80)
MOSAIC, PICTURE = 51009, 51022


def opcode(code, data, flags=1):
    return struct.pack(">4I", code, 0x01030000, flags, len(data)) + data


def gain_map(area, gains, origin=(0.0, 0.0)):
    """A GainMap opcode. area: top, left, bottom, right, plane, planes, pitches; gains [v, h, n]."""
    down, across, planes = gains.shape
    steps = [(1 - 2 * first) / (n - 1) for first, n in zip(origin, (down, across), strict=True)]
    grid = struct.pack(">2I4dI", down, across, *steps, *origin, planes)
    return opcode(9, struct.pack(">8I", *area) + grid + gains.astype(">f4").tobytes())


def opcode_list(code, *opcodes):
    blob = struct.pack(">I", len(opcodes)) + b"".join(opcodes)
    return Tag(code, 7, len(blob), blob)


def shaded(*tags, **changes):
    profile = replace(CAMERA, tags=tags)
    return make_frame(SIZE, profile=profile, **changes)


def smooth_gains(seed, shape=(9, 12), planes=1):
    """Gains from 1 in the centre to 2 in the corners, different for each map."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    tilt = np.random.default_rng(seed).uniform(-0.04, 0.04, (planes, 2, 1, 1))
    return np.stack([1 + (y * y + x * x) / 2 + a * y + b * x + 0.2 for a, b in tilt], -1)


def site_maps(size=SIZE, points=(9, 12)):
    """One map for each site of the cell, as phones and GoPros write them."""
    areas = [(*divmod(site, 2), *size, 0, 1, 2, 2) for site in range(4)]
    return [gain_map(area, smooth_gains(site, points)) for site, area in enumerate(areas)]


def gains_of(frame: RawFrame, code=MOSAIC, plane=0):
    """Each photosite's gain, independently implemented from the specification (DNG 1.7.1,
    GainMap)."""
    (blob,) = [tag.value for tag in frame.profile.tags if tag.code == code]
    gains = np.ones(frame.size)
    position = 4
    for _ in range(struct.unpack(">I", blob[:4])[0]):
        number, _, _, length = struct.unpack(">4I", blob[position : position + 16])
        data = blob[position + 16 : position + 16 + length]
        position += 16 + length
        assert number == 9
        top, left, bottom, right, _, _, pitch_v, pitch_h = struct.unpack(">8I", data[:32])
        points_v, points_h, step_v, step_h, from_v, from_h, planes = struct.unpack(
            ">2I4dI", data[32:76]
        )
        values = np.frombuffer(data[76:], ">f4").reshape(points_v, points_h, planes)
        rows, columns = range(top, bottom, pitch_v), range(left, right, pitch_h)
        row_place = ((np.array(rows) + 0.5) / frame.size[0] - from_v) / step_v
        column_place = ((np.array(columns) + 0.5) / frame.size[1] - from_h) / step_h
        along = np.array(
            [np.interp(column_place, range(points_h), line) for line in values[..., plane]]
        )
        both = np.array([np.interp(row_place, range(points_v), line) for line in along.T]).T
        gains[np.ix_(rows, columns)] *= both
    return gains


def corrected(frame: RawFrame):
    """The frame after shading correction, as a mosaic."""
    return gains_of(frame) * frame.mosaic


@pytest.mark.parametrize("orientation", range(2, 9))
def test_maps_turn_with_the_frame(orientation):
    frame = shaded(opcode_list(MOSAIC, *site_maps()), orientation=orientation)
    light = np.rint(100 * gains_of(frame)).astype(np.uint16)
    turned = orient(frame)
    expected = orient(frame.with_mosaic(light)).mosaic
    assert np.abs(100 * gains_of(turned) - expected).max() <= 0.51


@pytest.mark.parametrize("rect", [(0, 0, 60, 78), (1, 0, 40, 60), (0, 7, 33, 41), (11, 13, 22, 25)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_maps_are_cut_with_the_frame_and_keep_their_sites(rect, orientation):
    frame = shaded(opcode_list(MOSAIC, *site_maps()), phase=CfaPhase.GBRG)
    light = frame.with_mosaic(np.rint(10_000 * gains_of(frame)).astype(np.uint16))
    cut = orient(replace(crop(frame, Rect(*rect)), orientation=orientation))
    expected = orient(replace(crop(light, Rect(*rect)), orientation=orientation)).mosaic / 10_000
    np.testing.assert_allclose(gains_of(cut), expected, rtol=3e-3)


@pytest.mark.parametrize("phase", [CfaPhase.RGGB, CfaPhase.GRBG])
def test_a_resampled_frame_is_corrected_as_the_resampled_corrected_frame(phase):
    """A flat scene behind a lens: the corners are dark, and flat after correction."""
    frame = shaded(opcode_list(MOSAIC, *site_maps()), phase=phase, black=(0.0,) * 4)
    behind_lens = frame.with_mosaic(np.rint(3000 / gains_of(frame)).astype(np.uint16))
    degrees = np.deg2rad(4)
    matrix = (
        (1.3 * np.cos(degrees), -1.3 * np.sin(degrees), 9.0),
        (1.3 * np.sin(degrees), 1.3 * np.cos(degrees), 4.0),
        (1e-4, 0.0, 1.0),
    )
    placed = resample(behind_lens, matrix, (36, 48))
    assert np.ptp(placed.mosaic) > 600
    np.testing.assert_allclose(corrected(placed), 3000, rtol=5e-3)


def test_one_map_for_all_sites_and_a_margin_around_it():
    """One map whose points start inside of the border; beyond them, the outermost gain applies."""
    area = (0, 0, *SIZE, 0, 1, 1, 1)
    tag = opcode_list(MOSAIC, gain_map(area, smooth_gains(9), origin=(0.1, 0.1)))
    frame = shaded(tag, orientation=6)
    gains = gains_of(frame)
    turned = orient(frame)
    np.testing.assert_allclose(gains_of(turned), np.rot90(gains, -1), rtol=1e-2)


def test_maps_of_the_developed_picture_keep_their_planes():
    area = (0, 0, *SIZE, 0, 3, 1, 1)
    gains = smooth_gains(3, planes=3)
    frame = shaded(opcode_list(PICTURE, gain_map(area, gains)), orientation=8)
    turned = orient(frame)
    for plane in range(3):
        expected = np.rot90(gains_of(frame, PICTURE, plane))
        np.testing.assert_allclose(gains_of(turned, PICTURE, plane), expected, rtol=1e-5)


def test_what_cannot_be_carried_is_named():
    half = gain_map((0, 0, 30, 80, 0, 1, 1, 1), smooth_gains(1))
    polynomial = opcode(8, struct.pack(">8II2d", 0, 0, *SIZE, 0, 1, 1, 1, 1, 0.0, 1.0))
    lists = (
        opcode_list(51008, opcode(5, bytes(12))),
        opcode_list(MOSAIC, polynomial, half, opcode(10, bytes(36)), *site_maps()),
        opcode_list(PICTURE, opcode(1, bytes(164)), opcode(3, bytes(56)), opcode(3, bytes(56))),
        Tag(50936, 2, 2, "P"),
    )
    frame = shaded(*lists)
    assert crop(frame, Rect(0, 0, *SIZE)).profile == frame.profile
    cut = crop(frame, Rect(2, 2, 40, 40))
    assert cut.profile.dropped == (
        "FixBadPixelsList (OpcodeList1)",
        "GainMap (OpcodeList2)",
        "DeltaPerRow (OpcodeList2)",
        "WarpRectilinear (OpcodeList3)",
        "FixVignetteRadial (OpcodeList3)",
    )
    kept, name = cut.profile.tags
    assert (kept.code, name.code) == (MOSAIC, 50936)
    assert opcode_names(kept) == ["MapPolynomial (OpcodeList2)", "GainMap (OpcodeList2)"]
    first_area = struct.unpack(">8I", kept.value[20:52])
    assert first_area == (0, 0, 40, 40, 0, 1, 1, 1)


@pytest.mark.parametrize(
    "blob",
    [b"", b"x", bytes(3), struct.pack(">I", 9), struct.pack(">I4I", 1, 9, 0, 0, 2**31)],
)
def test_damaged_lists_are_dropped_and_named(blob):
    frame = shaded(Tag(MOSAIC, 7, max(1, len(blob)), blob), orientation=3)
    assert orient(frame).profile.dropped == ("a damaged list (OpcodeList2)",)


def test_maps_that_no_reader_could_apply_are_dropped_and_named():
    area = (0, 0, *SIZE, 0, 1, 1, 1)
    grids = [(2, 2, 0.0, 1.0, 0.0, 0.0, 1), (2, 2, 1.0, np.nan, 0.0, 0.0, 1), (3, 2, 1, 1, 0, 0, 1)]
    gains = np.ones(4, ">f4").tobytes()
    maps = [opcode(9, struct.pack(">8I", *area) + struct.pack(">2I4dI", *g) + gains) for g in grids]
    for one in maps:
        frame = shaded(opcode_list(MOSAIC, one), orientation=3)
        assert orient(frame).profile.dropped == ("GainMap (OpcodeList2)",)
