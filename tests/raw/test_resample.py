"""Resampling a mosaic: colours don't mix, positions are right, nothing is aliased."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rvdtool.errors import RawError
from rvdtool.raw.bayer import color_index
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.raw.lens import Lens
from rvdtool.raw.resample import resample

BLACK, WHITE = (60.0, 64.0, 62.0, 66.0), 4095


def frame(light: NDArray[Any], phase: CfaPhase = CfaPhase.RGGB) -> RawFrame:
    """A mosaic of normalised light [H, W, 3]."""
    size = light.shape[0], light.shape[1]
    values = np.take_along_axis(light, color_index(phase, size)[..., None].astype(int), 2)[..., 0]
    black = np.tile(np.reshape(BLACK, (2, 2)), (size[0] // 2 + 1, size[1] // 2 + 1))
    black = black[: size[0], : size[1]]
    mosaic = np.rint(black + values * (WHITE - black)).astype(np.uint16)
    return RawFrame(mosaic, phase, BLACK, WHITE, 12, CameraProfile("Acme", (1, 1, 1)))


def normalised(placed: RawFrame) -> NDArray[np.float64]:
    black = np.tile(np.reshape(placed.black, (2, 2)), (placed.size[0] // 2, placed.size[1] // 2))
    return (placed.mosaic - black) / (placed.white - black)


def scaled(scale: float, x: float = 0, y: float = 0) -> tuple[tuple[float, ...], ...]:
    """A grid whose pixel (0, 0) covers the frame's from its top left corner on, with a shift."""
    return (scale, 0, (scale - 1) / 2 + x), (0, scale, (scale - 1) / 2 + y), (0, 0, 1)


@pytest.mark.parametrize("phase", CfaPhase)
@pytest.mark.parametrize("scale", [1.0, 1.3, 2.0, 3.7])
def test_colours_never_mix(phase: CfaPhase, scale: float) -> None:
    """Three flat colours of very different strength don't change."""
    light = np.broadcast_to([0.1, 0.9, 0.4], (80, 80, 3))
    placed = resample(frame(light, phase), scaled(scale), (20, 18))
    assert placed.phase is CfaPhase.RGGB
    expected = np.take([0.1, 0.9, 0.4], color_index(CfaPhase.RGGB, (20, 18)))
    assert np.abs(normalised(placed) - expected).max() < 1 / (WHITE - 70)


@pytest.mark.parametrize("phase", CfaPhase)
@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0, 3.0, 3.3])
def test_light_stays_where_it_lies(phase: CfaPhase, scale: float) -> None:
    """In a ramp, each site has the value of its own position, whatever its colour."""
    y, x = np.mgrid[:160, :160]
    light = np.repeat((0.1 + 0.003 * x + 0.002 * y)[..., None], 3, 2)
    size = (24, 28)
    turn = np.deg2rad(2)
    a, b = scale * np.cos(turn), scale * np.sin(turn)
    matrix = ((a, -b, 30.3), (b, a, 20.8), (0, 0, 1))
    placed = resample(frame(light, phase), matrix, size)
    rows, columns = np.mgrid[: size[0], : size[1]]
    expected = 0.1 + 0.003 * (a * columns - b * rows + 30.3)
    expected += 0.002 * (b * columns + a * rows + 20.8)
    assert np.abs(normalised(placed) - expected).max() < 2 / (WHITE - 70)


@pytest.mark.parametrize("phase", CfaPhase)
def test_at_equal_scale_whole_cells_keep_their_values(phase: CfaPhase) -> None:
    rng = np.random.default_rng(0)
    given = frame(rng.uniform(0, 1, (40, 44, 3)), phase)
    # Shift so that red lies at the grid's corner: the phase's own offset, and two whole cells.
    top, left = divmod(phase.value.index("R"), 2)
    placed = resample(given, scaled(1, left + 4, top + 2), (20, 24))
    cut = given.mosaic[top + 2 : top + 22, left + 4 : left + 28].astype(int)
    greens = np.mean([BLACK[i] for i in range(4) if phase.value[i] == "G"])
    red, blue = BLACK[phase.value.index("R")], BLACK[phase.value.index("B")]
    assert placed.black == (red, greens, greens, blue)
    assert np.array_equal(placed.mosaic[::2, ::2], cut[::2, ::2])
    assert np.array_equal(placed.mosaic[1::2, 1::2], cut[1::2, 1::2])


def test_detail_finer_than_the_grid_is_averaged_away() -> None:
    """Stripes of three photosites on a grid of four: taking every fourth would alias."""
    x = np.arange(480)
    light = np.broadcast_to((0.5 + 0.4 * np.sin(2 * np.pi * x / 4.6))[None, :, None], (96, 480, 3))
    placed = normalised(resample(frame(light), scaled(4, 8, 8), (20, 110)))
    assert np.abs(placed - 0.5).max() < 0.09
    assert np.ptp(light[::4, ::4, 0]) > 0.7


def test_every_photosite_counts() -> None:
    """When a colour is binned, noise falls as in the mean of all its photosites."""
    rng = np.random.default_rng(1)
    light = 0.5 + rng.normal(0, 0.05, (256, 256, 3))
    placed = normalised(resample(frame(light), scaled(4), (64, 64)))[4:-4, 4:-4]
    assert placed[::2, ::2].std() < 0.05 / 1.7  # 4 reds in 4×4 photosites: at best a half
    assert placed[::2, 1::2].std() < 0.05 / 2.3  # 8 greens


def test_beyond_the_sides_the_outermost_photosites_are_repeated() -> None:
    light = np.broadcast_to([0.2, 0.5, 0.8], (16, 16, 3))
    placed = resample(frame(light), scaled(1, -6, -6), (28, 28))
    assert np.abs(normalised(placed)[::2, ::2] - 0.2).max() < 1e-3


@pytest.mark.parametrize(
    "matrix",
    [
        ((1, 0, 0), (0, 1, 0), (0, 0, -1)),
        ((1, 0, 0), (0, 1, 0), (-0.2, 0, 1)),
        ((np.nan, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((1e7, 0, 0), (0, 1, 0), (0, 0, 1)),  # hours of averaging
        ((0, 1e7, 0), (1, 0, 0), (0, 0, 1)),
        ((1, 0, 0), (0, 1, 0), (0, 0, 1e-300)),
        ((1e308, 0, 0), (0, 1e308, 0), (0, 0, 1)),
        ((0.5e308, 0, 0), (0, 1, 0), (0.5e308, 0, 1)),  # beyond floats at its right side only
    ],
)
def test_impossible_homographies_are_refused(matrix: Any) -> None:
    with pytest.raises(RawError, match="homography"):
        resample(frame(np.full((20, 20, 3), 0.5)), matrix, (8, 8))


@pytest.mark.parametrize("terms", [(-0.15, 0.0), (0.1, -0.04)])
def test_a_lens_is_straightened(terms: tuple[float, float]) -> None:
    """The sensor's picture is distorted; on the grid, positions are as without the lens."""
    size = (120, 160)
    lens = Lens(terms, size)

    def light(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        wave = np.sin(x / 9) * np.sin(y / 11 + 1)
        return np.stack([0.3 + 0.2 * wave, 0.5 - 0.3 * wave, 0.4 + 0.1 * wave], -1)

    # Where the sensor's photosites look: the lens undone by iteration.
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    straight = x, y
    for _ in range(60):
        there = lens.bend(*straight)
        straight = straight[0] + x - there[0], straight[1] + y - there[1]
    seen = frame(light(*straight))
    inner = scaled(1.0, 20, 15)
    placed = resample(seen, inner, (90, 120), lens)
    y, x = np.mgrid[:90, :120].astype(float)
    expected = frame(light(x + 20, y + 15))
    error = np.abs(normalised(placed) - normalised(expected))[4:-4, 4:-4]
    assert error.max() < 0.02
    without = np.abs(normalised(resample(seen, inner, (90, 120))) - normalised(expected))
    assert without.max() > 3 * error.max()


def test_a_lens_that_folds_the_picture_is_refused() -> None:
    flat = frame(np.full((60, 80, 3), 0.5))
    with pytest.raises(RawError, match="folds"):
        resample(flat, scaled(1.0), (60, 80), Lens((-0.5, 0.0), (60, 80)))
    with pytest.raises(RawError, match="folds"):
        resample(flat, scaled(1.0), (60, 80), Lens((-1.0, 0.4), (60, 80)))
