"""Registration: its accuracy in difficult cases, and what must not be accepted as a match."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from rvdtool.capture.compare import GreyPicture, correlation, detail
from rvdtool.capture.guess import RawFeatures, by_search
from rvdtool.capture.register import Matrix, is_regular, refined, warp

Plane = NDArray[np.float64]
Shade = Callable[[Plane, Plane], Plane]
"""Light, 0..1, at (x, y) on the sensor."""

SENSOR = (300, 420)
VIDEO = (150, 220)


def waves(shortest: float, longest: float, seed: int = 0) -> Shade:
    """Waves in all directions of about the same strength, mostly within -1..1."""
    rng = np.random.default_rng(seed)
    lengths = np.geomspace(shortest, longest, 40)
    angles, phases = rng.uniform(0, 2 * np.pi, (2, 40))

    def shade(x: Plane, y: Plane) -> Plane:
        total = np.zeros_like(x)
        for length, angle, phase in zip(lengths, angles, phases, strict=True):
            along = x * np.cos(angle) + y * np.sin(angle)
            total += np.sin(along * 2 * np.pi / length + phase)
        return total / 10

    return shade


def steps(x: Plane, y: Plane) -> Plane:
    """Like roof tiles: every edge is dark above and bright below."""
    place = (y + 6 * np.sin(x / 21)) / 40 + 0.15 * np.sin(x / 47)
    rising = place % 1
    edge = 1 / (1 + np.exp(-(rising - 0.5) * 40))
    return np.asarray(0.02 + 0.5 * edge * (1 - rising) * 2)


def smooth(x: Plane, y: Plane) -> Plane:
    """Like a sky: no detail smaller than 40 photosites."""
    return 0.3 + 0.1 * waves(40, 200)(x, y)


def rich(x: Plane, y: Plane) -> Plane:
    return 0.3 + 0.1 * waves(9, 90)(x, y)


def pictures(
    shade: Shade, matrix: Matrix, *, curve: float = 0.45, noise: float = 0.0
) -> tuple[GreyPicture, GreyPicture]:
    """A RAW and a video frame related by `matrix`; `noise` is the standard deviation."""
    rng = np.random.default_rng(0)

    def shown(size: tuple[int, int], onto: Matrix, power: float) -> GreyPicture:
        total = np.zeros(size)
        for dy, dx in np.ndindex(2, 2):
            y, x = np.mgrid[: size[0], : size[1]] + np.array([dy, dx])[:, None, None] / 2 - 0.25
            u, v, w = np.einsum("ij,jyx->iyx", onto, np.stack([x, y, np.ones(size)]))
            total += shade(u / w, v / w) / 4
        coded = np.clip(total, 0, 1) ** power + rng.normal(0, noise, size)
        return GreyPicture(np.clip(coded, 0, 1).astype(np.float32), 1)

    return shown(SENSOR, np.eye(3), 0.5).coarser(2), shown(VIDEO, matrix, curve)


def onto(scale: float, degrees: float, at: tuple[float, float] = (212.0, 148.0)) -> Matrix:
    """(x, y, 1) on the video → on the sensor, where the video's centre is at (x, y)."""
    turn = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shift = np.array(at) - linear @ ((VIDEO[1] - 1) / 2, (VIDEO[0] - 1) / 2)
    return np.vstack([np.column_stack([linear, shift]), [0, 0, 1]])


def error(found: Matrix, truth: Matrix) -> float:
    """Mean distance on the video's grid, in its pixels."""
    y, x = np.mgrid[: VIDEO[0] : 9, : VIDEO[1] : 9]
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    back = np.linalg.inv(truth) @ found @ points
    return float(np.hypot(*(back[:2] / back[2] - points[:2])).mean())


NEAR = np.array([[1.004, 0.006, 1.5], [-0.006, 1.004, -1.2], [0, 0, 1]])
"""About what features leave."""


@pytest.mark.parametrize(
    ("shade", "curve", "noise"),
    [(rich, 0.45, 0.0), (rich, 0.45, 0.05), (steps, 0.2, 0.003), (smooth, 0.45, 0.01)],
)
def test_from_two_pixels_off_it_comes_within_a_fraction_of_one(
    shade: Shade, curve: float, noise: float
) -> None:
    """Even if noise exceeds the detail of a smooth scene, or a steep curve shifts edges."""
    truth = onto(1.7, 1.3)
    raw, video = pictures(shade, truth, curve=curve, noise=noise)
    found, _ = refined(raw, video, truth @ NEAR)
    assert error(truth @ NEAR, truth) > 2
    assert error(found, truth) < 0.15


def test_a_video_that_no_similarity_fits_gets_a_homography() -> None:
    truth = onto(1.7, 1.3) @ np.array([[1.01, 0.01, 0], [0, 1, 0], [6e-5, -8e-5, 1]])
    raw, video = pictures(rich, truth, noise=0.01)
    found, score = refined(raw, video, onto(1.7, 1.3) @ NEAR)
    assert error(found, truth) < 0.05
    picture, _ = warp(raw, video, found)
    assert score == pytest.approx(correlation(detail(picture), detail(video.grey)))


def test_noise_alone_makes_no_homography() -> None:
    truth = onto(1.7, 1.3)
    found, _ = refined(*pictures(smooth, truth, noise=0.03), truth @ NEAR)
    assert np.abs(found[2] - [0, 0, 1]).max() < 1e-12
    assert found[0, 0] == pytest.approx(found[1, 1])
    assert found[0, 1] == pytest.approx(-found[1, 0])


def test_where_features_find_nothing_trying_does() -> None:
    truth = onto(1.4, -2.2, (180.0, 130.0))
    raw, video = pictures(smooth, truth, noise=0.15)
    assert RawFeatures(raw, mirrored=False).match(video) is None
    start = onto(1.9, 0)
    assert error(start, truth) > 30
    assert error(by_search(raw, video, start), truth) < 3


def test_what_turns_the_video_inside_out_is_no_match() -> None:
    video = GreyPicture(np.zeros((60, 80), np.float32), 4)
    assert is_regular(np.eye(3), video)
    assert is_regular(-2 * np.eye(3), video), "a matrix times a number is the same map"
    tilted = np.eye(3)
    tilted[2, 0] = -1 / 300  # the horizon is the column at 300 of 320 pixels
    assert not is_regular(tilted, video)
    assert not is_regular(np.full((3, 3), np.nan), video)
