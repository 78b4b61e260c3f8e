"""Registration by OpenCV: the homography from the video's grid to a RAW frame's active area.

`guess` finds it from scratch to within a pixel or two; `refined` makes it accurate to a fraction of
a pixel; `with_lens` finds the lens distortion that was corrected in the video. Only this module and
`guess` import OpenCV, and they are imported only when sizes aren't enough to align the RAW.
"""

from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.capture.compare import Grey, GreyPicture, correlation, detail
from rvdtool.errors import RawError
from rvdtool.raw.lens import Lens

Matrix = NDArray[np.float64]
"""3×3 matrix from (x, y, 1) on the video's grid to (x, y, w) on the active area."""

Field = tuple[Any, Any]
"""Displacement of each value of a picture to the right and down, in pixels, per unit of a
parameter."""

_SIMILARITY, _HOMOGRAPHY = 4, 8
"""Number of the eight motions in `_fields` that are free."""
_GAIN = 0.002
"""Required gain in correlation. Noisy pairs of simulated stills gain less than 0.0005 by
overfitting."""
_STRONGEST = 0.5
"""Largest magnitude of a lens's terms; a fisheye's first is about -0.3."""
_ITERATIONS = 12
_PRECISION = 0.005
"""A step that moves the video's far side by fewer values than this ends the iteration."""
_OCTAVES = 5
_SMALLEST = 24
"""Fewest values along the shorter side of the coarsest picture."""
_BAND = 3
"""Radius, in values, of the neighbourhood whose mean is subtracted to give a frequency band."""
_WINDOW = 6
"""Radius, in values, of the window in which gain and noise are taken as constant."""
_MISFIT = 0.1
"""Smallest share of a band's variance that counts as noise: no ISP is exactly a gain."""
_KNOTS = 65
"""Knots of the tone curve in `_toned`."""


def stretched(raw: GreyPicture, shape: float) -> tuple[GreyPicture, Matrix]:
    """Resample a RAW's picture to another pixel aspect. Nothing is reduced, only enlarged.

    Args:
        raw: picture of the RAW.
        shape: factor by which its width grows in relation to its height.

    Returns:
        The picture, and the matrix from the RAW's photosites to it.
    """
    if shape == 1:
        return raw, np.eye(3)
    height, width = raw.grey.shape
    size = round(width * max(shape, 1)), round(height * max(1 / shape, 1))
    across, down = size[0] / width, size[1] / height
    grey = cv2.resize(raw.grey, size, interpolation=cv2.INTER_LINEAR)
    # The pixels' outer edges stay in place, not their centres.
    onto = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
    return GreyPicture(np.asarray(grey, np.float32), raw.step), onto


def refined(raw: GreyPicture, video: GreyPicture, matrix: Matrix) -> tuple[Matrix, float]:
    """Refine a matrix so that the RAW explains the video best.

    First fits a similarity from coarse to fine, then a homography from there. The homography is
    kept only if the details correlate clearly better: more parameters always fit noise a little
    better, but are less accurate.

    Returns:
        The matrix and the correlation of detail; `matrix` itself if it correlates clearly better.
    """
    template, octaves = detail(video.grey), _octaves(video)
    found = _as_similarity(matrix, video)
    toned = _toned(raw, octaves, found)
    for finest in (2, 1, 0):
        found, _ = _fitted(toned, octaves[min(finest, len(octaves) - 1) :], found, _SIMILARITY)
    toned = _toned(raw, octaves, found)
    found, _ = _fitted(toned, octaves, found, _SIMILARITY)
    best, best_score = found, _correlation(raw, video, template, found)
    for other in (_fitted(toned, octaves, found, _HOMOGRAPHY)[0], matrix):
        score = _correlation(raw, video, template, other)
        if score > best_score + _GAIN:
            best, best_score = other, score
    return best, best_score


def _octaves(video: GreyPicture) -> list[GreyPicture]:
    coarser = [video.coarser(2**octave) for octave in range(1, _OCTAVES)]
    return [video, *(one for one in coarser if min(one.grey.shape) >= _SMALLEST)]


def with_lens(
    raw: GreyPicture, video: GreyPicture, matrix: Matrix, size: tuple[int, int]
) -> tuple[Matrix, Lens | None, float]:
    """Refine a matrix and fit a lens with one or two radial terms.

    Args:
        raw: picture of the RAW.
        video: picture of a video frame.
        matrix: transform that aligns them without a lens.
        size: (height, width) of the active area.

    Returns:
        The matrix, the lens and the correlation of detail. `matrix` and None for the lens if
        detail doesn't correlate clearly better with one.
    """
    template, octaves = detail(video.grey), _octaves(video)
    best: tuple[Matrix, Lens | None, float] = (
        matrix, None, _correlation(raw, video, template, matrix)
    )  # fmt: skip
    found, lens = matrix, cast("Lens | None", Lens((0.0, 0.0), size))
    for terms in (1, 2):
        for finest in (2, 1, 0):
            toned = _toned(raw, octaves, found, lens)
            found, lens = _fitted(
                toned, octaves[min(finest, len(octaves) - 1) :], found, _HOMOGRAPHY, lens, terms
            )
        score = _correlation(raw, video, template, found, lens)
        if score > best[2] + _GAIN:
            best = found, lens, score
    return best


def _toned(
    raw: GreyPicture, octaves: list[GreyPicture], matrix: Matrix, lens: Lens | None = None
) -> GreyPicture:
    """The RAW's picture with a tone curve that gives the overlapping part the video's histogram.

    A different tone curve would shift edges, which lie halfway between dark and bright.
    """
    video = octaves[min(1, len(octaves) - 1)]
    picture, inside = warp(raw, video, matrix, lens)
    shown = inside > 0
    if not shown.any():
        return raw
    shares = np.linspace(0, 1, _KNOTS)
    levels = np.quantile(picture[shown], shares) + np.arange(_KNOTS) * 1e-7  # strictly rising
    curve = np.quantile(video.grey[shown], shares)
    return GreyPicture(np.interp(raw.grey, levels, curve).astype(np.float32), raw.step)


def _fitted(
    raw: GreyPicture,
    octaves: list[GreyPicture],
    matrix: Matrix,
    free: int,
    lens: Lens | None = None,
    terms: int = 0,
) -> tuple[Matrix, Lens | None]:
    """Maximum-likelihood matrix and lens terms of the video given the RAW, by Fisher scoring."""
    # The scale hardly changes during the iteration, so smoothing once is enough.
    smoothed = [_smoothed(raw, video, matrix) for video in octaves]
    count = free + terms
    for _ in range(_ITERATIONS):
        normal, slope = np.zeros((count, count)), np.zeros(count)
        for own, video in zip(smoothed, octaves, strict=True):
            fields = _fields(video, octaves[0])[:free]
            if lens is not None:
                fields += _lens_fields(video, octaves[0], matrix, lens)[:terms]
            more_normal, more_slope = _equations(own, video, matrix, lens, fields)
            normal += more_normal
            slope += more_slope
        size = np.trace(normal)
        if not size > 0:
            break  # no detail in common
        step = np.linalg.solve(normal + 1e-8 * size * np.eye(count), slope)
        length = float(np.abs(step).max()) / octaves[0].step
        step *= min(1, 4 / length) if length else 1
        moved = matrix @ _motion(step[:free], octaves[0])
        if not is_regular(moved, octaves[0]):
            break
        if lens is not None:
            bent = _bent(lens, step[free:], moved, octaves[0])
            if bent is None:
                break
            lens = bent
        matrix = moved / moved[2, 2]
        if length < _PRECISION:
            break
    return matrix, lens


def _lens_fields(video: GreyPicture, whole: GreyPicture, matrix: Matrix, lens: Lens) -> list[Field]:
    """Motion (dx, dy) of the video per lens term: 1 pixel at half the RAW's diagonal."""
    x, y = _centres_of(video)
    column, row, depth = (a * x + b * y + c for a, b, c in matrix)
    square = lens.squared(column / depth, row / depth)
    middle = np.linalg.inv(matrix) @ (*lens.middle, 1)
    across, down = x - middle[0] / middle[2], y - middle[1] / middle[2]
    unit = lens.radius / _scale(matrix, whole)
    return [
        ((across * power).astype(np.float32), (down * power).astype(np.float32))
        for power in (square / unit, square * square / unit)
    ]


def _bent(lens: Lens, step: NDArray[np.float64], matrix: Matrix, whole: GreyPicture) -> Lens | None:
    """The lens after a step; None if it would fold the picture or exceeds any real lens."""
    first, second = np.pad(step, (0, 2 - len(step))) * _scale(matrix, whole) / lens.radius
    moved = Lens((lens.terms[0] + float(first), lens.terms[1] + float(second)), lens.size)
    height, width = (side * whole.step for side in whole.grey.shape)
    corners = matrix @ [[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]]
    try:
        moved.require_regular(*(corners[:2] / corners[2]))
    except RawError:
        return None
    return moved if max(map(abs, moved.terms)) <= _STRONGEST else None


def _scale(matrix: Matrix, video: GreyPicture) -> float:
    """Approximate number of photosites per pixel in the middle of the video."""
    height, width = (side * video.step for side in video.grey.shape)
    points = np.array([[0, 1, 0], [0, 0, 1]]) + np.array([[width / 2], [height / 2]])
    x, y, w = matrix @ np.vstack([points, np.ones(3)])
    x, y = x / w, y / w
    area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    return float(np.sqrt(abs(area)))


def _centres_of(video: GreyPicture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixel coordinates x and y of the centre of each of a picture's values."""
    height, width = video.grey.shape
    offset = (video.step - 1) / 2
    columns, rows = (np.arange(side) * video.step + offset for side in (width, height))
    x, y = np.meshgrid(columns.astype(np.float64), rows.astype(np.float64))
    return x, y


def _equations(
    raw: GreyPicture, video: GreyPicture, matrix: Matrix, lens: Lens | None, fields: list[Field]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fisher information about the motion in one octave, and the log-likelihood's gradient.

    Model: within each window, the video's band is a gain times the RAW's plus white noise, with
    maximum-likelihood estimates of gain and noise. So areas that are flat, noisy in either picture
    or developed very differently get little weight, separately in each octave.

    Args:
        raw: picture of the RAW, smoothed for this octave.
        video: picture of the video frame in this octave.
        matrix: transform that aligns them.
        lens: lens distortion of the RAW.
        fields: motion of the video per unit of each parameter.

    Returns:
        [parameters, parameters] and [parameters].
    """
    picture, inside = _placed(raw, video, matrix, lens)
    inside = cv2.erode(inside, np.ones((5, 5), np.uint8), borderValue=1)
    dark, bright = ((one - _mean(one, _BAND)) * inside for one in (picture, video.grey))
    own, both, all_ = (_mean(p, _WINDOW) for p in (dark * dark, dark * bright, bright * bright))
    gain = np.maximum(both, 0) / (own + np.float32(1e-12))
    rest = all_ - gain * both
    noise = np.maximum(rest, np.float32(_MISFIT) * all_) + np.float32(0.02 * rest.mean() + 1e-9)
    weight = _mean(gain * gain / noise * inside, _WINDOW) * inside
    pull = _mean(gain / noise * inside, _WINDOW) * inside * bright - weight * dark
    down, right = np.gradient(dark)
    moves = np.stack([(right * x + down * y).ravel() / np.float32(video.step) for x, y in fields])
    return (moves * weight.ravel()) @ moves.T, moves @ pull.ravel()


def _fields(video: GreyPicture, whole: GreyPicture) -> list[Field]:
    """Motion (dx, dy) of the video per parameter: 1 pixel at its left and right edges.

    Two shifts, scale, rotation; stretch, shear and two tilts.
    """
    height, width = (side * whole.step for side in whole.grey.shape)
    x, y = (
        (np.arange(side, dtype=np.float32) * video.step + (video.step - length) / 2) / (width / 2)
        for side, length in zip(video.grey.shape[::-1], (width, height), strict=True)
    )
    x, y = np.meshgrid(x, y)
    return [(1, 0), (0, 1), (x, y), (-y, x), (x, -y), (y, x), (x * x, x * y), (x * y, y * y)]


def _motion(step: NDArray[np.float64], whole: GreyPicture) -> Matrix:
    """Homography of the video that, for small steps, moves it according to `_fields`."""
    height, width = (side * whole.step for side in whole.grey.shape)
    radius = width / 2
    a, b, grow, turn, stretch, shear, tilt_x, tilt_y = np.pad(step, (0, 8 - len(step))) / radius
    unit = np.array(
        [
            [1 + grow + stretch, shear - turn, a],
            [shear + turn, 1 + grow - stretch, b],
            [-tilt_x, -tilt_y, 1],
        ]
    )
    onto = np.array([[1, 0, -(width - 1) / 2], [0, 1, -(height - 1) / 2], [0, 0, radius]]) / radius
    return np.asarray(np.linalg.inv(onto) @ unit @ onto)


def _mean(values: Grey, radius: int) -> Grey:
    side = 2 * radius + 1
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)


def _as_similarity(matrix: Matrix, video: GreyPicture) -> Matrix:
    """The similarity closest to a matrix around the video's middle (mirrored if that is)."""
    height, width = (side * video.step for side in video.grey.shape)
    x, y = np.meshgrid([0, width - 1], [0, height - 1])
    points = np.stack([x.ravel(), y.ravel(), np.ones(4)])
    projected = matrix @ points
    targets = projected[:2] / projected[2]
    linear = (targets - targets.mean(1, keepdims=True)) @ np.linalg.pinv(
        points[:2] - points[:2].mean(1, keepdims=True)
    )
    u, scales, v = np.linalg.svd(linear)
    turn = scales.mean() * (u @ v)
    shift = targets.mean(1) - turn @ points[:2].mean(1)
    return np.vstack([np.column_stack([turn, shift]), [0, 0, 1]])


def warp(
    raw: GreyPicture, video: GreyPicture, matrix: Matrix, lens: Lens | None = None
) -> tuple[Grey, NDArray[np.uint8]]:
    """The RAW's picture resampled to the video's grid, and a mask of where the RAW covers it (0 or
    1)."""
    return _placed(_smoothed(raw, video, matrix), video, matrix, lens)


def _smoothed(raw: GreyPicture, video: GreyPicture, matrix: Matrix) -> GreyPicture:
    """The RAW's picture, smoothed so that it doesn't alias on the video's grid."""
    scale = np.sqrt(abs(np.linalg.det(_on_values(matrix, raw.step, video.step)[:2, :2])))
    block = max(1, min(int(scale), *raw.grey.shape))
    coarse = raw if block == 1 else raw.coarser(block)
    pitch = scale / block
    if pitch <= 1:
        return coarse
    return GreyPicture(cv2.GaussianBlur(coarse.grey, (0, 0), pitch / 2), coarse.step)


def _placed(
    raw: GreyPicture, video: GreyPicture, matrix: Matrix, lens: Lens | None
) -> tuple[Grey, NDArray[np.uint8]]:
    ones = np.ones_like(raw.grey, np.uint8)
    if lens is not None:
        x, y = _centres_of(video)
        column, row, depth = (a * x + b * y + c for a, b, c in matrix)
        across, down = (
            ((place - (raw.step - 1) / 2) / raw.step).astype(np.float32)
            for place in lens.bend(column / depth, row / depth)
        )
        picture = cv2.remap(
            raw.grey, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return picture, cv2.remap(ones, across, down, cv2.INTER_LINEAR)
    on_pictures = _on_values(matrix, raw.step, video.step)
    size = video.grey.shape[::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    picture = cv2.warpPerspective(
        raw.grey, on_pictures, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return picture, cv2.warpPerspective(ones, on_pictures, size, flags=flags)


def is_regular(matrix: Matrix, video: GreyPicture) -> bool:
    """Whether a matrix keeps the whole video in front of the camera, so that nothing is inverted.

    A homography that was fitted to a wrong pair may fail this.
    """
    height, width = (side * video.step for side in video.grey.shape)
    corners = np.array([[x, y, 1.0] for x in (0, width) for y in (0, height)])
    depths = corners @ matrix[2] * np.sign(matrix[2, 2])
    return bool(np.isfinite(matrix).all() and matrix[2, 2] != 0 and (depths > 0).all())


def _correlation(
    raw: GreyPicture, video: GreyPicture, template: Grey, matrix: Matrix, lens: Lens | None = None
) -> float:
    picture, inside = warp(raw, video, matrix, lens)
    return correlation(template * inside, detail(picture) * inside)


def on_pixels(on_values: Matrix, target_step: int, source_step: int) -> Matrix:
    """Convert a matrix between pictures' values to one between their original pixels."""
    matrix = _centres(target_step) @ on_values @ np.linalg.inv(_centres(source_step))
    return np.asarray(matrix / matrix[2, 2])


def _on_values(on_pixels: Matrix, target_step: int, source_step: int) -> Matrix:
    """Convert a matrix between pixels to one between pictures' values."""
    return np.linalg.inv(_centres(target_step)) @ on_pixels @ _centres(source_step)


def _centres(step: int) -> Matrix:
    """Matrix from value (x, y) of a picture to the centre of its step×step pixels."""
    return np.array([[step, 0, (step - 1) / 2], [0, step, (step - 1) / 2], [0, 0, 1.0]])
