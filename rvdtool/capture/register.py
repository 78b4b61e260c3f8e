"""Registration with OpenCV: the homography from the video's grid to a RAW frame's active area.

`by_features` finds it from nothing, within a pixel or two; `refined` brings it to a fraction of
one. Only this module imports OpenCV, and only `align` imports this module, when sizes alone don't
tell where the RAW lies.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.capture.compare import Grey, Picture, correlation, detail

Matrix = NDArray[np.float64]
"""3×3: (x, y, 1) on the video's grid → (x, y, w) on the active area."""

_FEATURES = 4000
_CONTRAST = 0.006
"""Of a feature, less than half of SIFT's usual: clouds and dark pictures have weak ones."""
_RATIO = 0.8
"""A match counts if the next best is this much worse (Lowe, IJCV 2004)."""
_INLIER = 3.0
"""Values of the RAW's picture by which a feature may miss its match."""
_FEWEST = 8
"""Inliers below which chance can't be told from a match; the score decides above."""
_SIMILARITY, _HOMOGRAPHY = 4, 8
"""How many of `_fields`' eight ways to move the video are free."""
_GAIN = 0.002
"""In correlation: noisy pairs of simulated stills gain less than 0.0005 by fitting noise."""
_ITERATIONS = 12
_PRECISION = 0.005
"""Values by which a step must move the video's far side for another to be worth while."""
_OCTAVES = 5
_SMALLEST = 24
"""Values along the shorter side of the coarsest picture."""
_BAND = 3
"""Surroundings that a band is told from, in values to each side …"""
_WINDOW = 6
"""… and those in which one gain and one noise hold."""
_MISFIT = 0.1
"""Share of a band's variance that counts as noise at least: no ISP is a gain."""
_KNOTS = 65

_STEPS = 25
_SMALL = 96
"""Values along the longer side of the video in `by_search`."""
_TURNS = (-3.0, -1.5, 0.0, 1.5, 3.0)
_NARROWEST = 0.3
"""Share of the longer side of the RAW that the video shows at least, for `by_search`."""


class Features:
    """A RAW frame's features, found once and matched with as many frames as need be.

    Args:
        raw: the RAW.
        mirrored: whether the video shows it with left and right swapped.
    """

    def __init__(self, raw: Picture, mirrored: bool) -> None:
        self._step = raw.step
        grey = raw.grey[:, ::-1] if mirrored else raw.grey
        self._points, self._descriptors = _describe(grey)
        if mirrored:
            self._points[:, 0] = grey.shape[1] - 1 - self._points[:, 0]
        self._mirror = np.diag([-1.0, 1, 1]) if mirrored else np.eye(3)

    def match(self, video: Picture) -> Matrix | None:
        """The similarity that most features agree on (RANSAC, Fischler and Bolles 1981).

        SIFT (Lowe 2004): it takes any scale and turn, but nothing mirrored.
        """
        points, descriptors = _describe(video.grey)
        if min(len(points), len(self._points)) < _FEWEST:
            return None
        pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(descriptors, self._descriptors, k=2)
        clear = [pair[0] for pair in pairs if pair[0].distance < _RATIO * pair[1].distance]
        # One of the RAW's features may attract many: that all of them lie there would look like
        # agreement on a similarity that shrinks the video to a point.
        clear.sort(key=lambda match: -match.distance)
        good = list({match.trainIdx: match for match in clear}.values())
        if len(good) < _FEWEST:
            return None
        source = np.array([points[match.queryIdx] for match in good], np.float32)
        # A similarity mirrors nothing: mirrored points are swapped back before it, and it after.
        target = np.array([self._points[match.trainIdx] for match in good], np.float32)
        target @= self._mirror[:2, :2].astype(np.float32)
        cv2.setRNGSeed(0)  # the same input, the same bundle
        similarity, inliers = cv2.estimateAffinePartial2D(
            source, target, method=cv2.RANSAC, ransacReprojThreshold=_INLIER, maxIters=5000
        )
        if similarity is None or int(inliers.sum()) < _FEWEST:
            return None
        found = self._mirror @ np.vstack([similarity, [0, 0, 1]])
        return _on_pixels(found, self._step, video.step)


def refined(raw: Picture, video: Picture, matrix: Matrix) -> tuple[Matrix, float]:
    """The matrix near `matrix` that explains the video best by the RAW, and how alike they are.

    A similarity first, from coarse to fine; then a homography from there. The homography is taken
    if the pictures' details correlate clearly better: with noise, more parameters always fit a
    little better and lie further off.

    Returns:
        The matrix and the correlation of detail, or `matrix` and what it gives if that is better.
    """
    template = detail(video.grey)
    octaves = [video.coarser(2**octave) for octave in range(_OCTAVES)]
    octaves = [video, *(one for one in octaves[1:] if min(one.grey.shape) >= _SMALLEST)]
    found = _as_similarity(matrix, video)
    toned = _toned(raw, octaves, found)
    for finest in (2, 1, 0):
        found = _fitted(toned, octaves[min(finest, len(octaves) - 1) :], found, _SIMILARITY)
    toned = _toned(raw, octaves, found)
    found = _fitted(toned, octaves, found, _SIMILARITY)
    best, best_score = found, _correlation(raw, video, template, found)
    for other in (_fitted(toned, octaves, found, _HOMOGRAPHY), matrix):
        score = _correlation(raw, video, template, other)
        if score > best_score + _GAIN:
            best, best_score = other, score
    return best, best_score


def _toned(raw: Picture, octaves: list[Picture], matrix: Matrix) -> Picture:
    """The RAW's picture with the curve that gives its part the video's histogram.

    An edge is where it is half dark, half bright: under another curve, it lies elsewhere.
    """
    video = octaves[min(1, len(octaves) - 1)]
    picture, inside = warp(raw, video, matrix)
    shown = inside > 0
    if not shown.any():
        return raw
    shares = np.linspace(0, 1, _KNOTS)
    levels = np.quantile(picture[shown], shares) + np.arange(_KNOTS) * 1e-7  # none twice
    curve = np.quantile(video.grey[shown], shares)
    return Picture(np.interp(raw.grey, levels, curve).astype(np.float32), raw.step)


def _fitted(raw: Picture, octaves: list[Picture], matrix: Matrix, free: int) -> Matrix:
    """The matrix at which the video is likeliest, given the RAW: Fisher's scoring."""
    # Its scale hardly changes from here.
    smoothed = [_smoothed(raw, video, matrix) for video in octaves]
    for _ in range(_ITERATIONS):
        normal, slope = np.zeros((free, free)), np.zeros(free)
        for own, video in zip(smoothed, octaves, strict=True):
            more_normal, more_slope = _equations(own, video, matrix, free, octaves[0])
            normal += more_normal
            slope += more_slope
        size = np.trace(normal)
        if not size > 0:
            return matrix  # nothing in common
        step = np.linalg.solve(normal + 1e-8 * size * np.eye(free), slope)
        length = float(np.abs(step).max()) / octaves[0].step
        step *= min(1, 4 / length) if length else 1
        moved = matrix @ _motion(step, octaves[0])
        if not is_regular(moved, octaves[0]):
            return matrix
        matrix = moved / moved[2, 2]
        if length < _PRECISION:
            break
    return matrix


def _equations(
    raw: Picture, video: Picture, matrix: Matrix, free: int, whole: Picture
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fisher's information about the motion in one octave, and the slope of the log-likelihood.

    Model: in each window, the video's band is a gain times the RAW's plus white noise; gain and
    noise are unknown, and take their likeliest values. So what is flat, or noise in either
    picture, or developed beyond recognition, weighs little, in each octave by itself.

    Args:
        raw: the RAW, smoothed for this octave.
        video: the octave.
        matrix: where they lie.
        free: how many of `_fields` are free.
        whole: the finest octave.

    Returns:
        [free, free] and [free].
    """
    picture, inside = _placed(raw, video, matrix)
    inside = cv2.erode(inside, np.ones((5, 5), np.uint8), borderValue=1)
    dark, bright = ((one - _mean(one, _BAND)) * inside for one in (picture, video.grey))
    own, both, all_ = (_mean(p, _WINDOW) for p in (dark * dark, dark * bright, bright * bright))
    gain = np.maximum(both, 0) / (own + np.float32(1e-12))
    rest = all_ - gain * both
    noise = np.maximum(rest, np.float32(_MISFIT) * all_) + np.float32(0.02 * rest.mean() + 1e-9)
    weight = _mean(gain * gain / noise * inside, _WINDOW) * inside
    pull = _mean(gain / noise * inside, _WINDOW) * inside * bright - weight * dark
    down, right = np.gradient(dark)
    moves = np.stack(
        [
            (right * x + down * y).ravel() / np.float32(video.step)
            for x, y in _fields(video, whole)[:free]
        ]
    )
    return (moves * weight.ravel()) @ moves.T, moves @ pull.ravel()


def _fields(video: Picture, whole: Picture) -> list[tuple[Any, Any]]:
    """How each parameter moves the video: by 1 pixel at its left and right side (dx, dy).

    Two shifts, growth, turn; stretch, shear and two tilts.
    """
    height, width = (side * whole.step for side in whole.grey.shape)
    x, y = (
        (np.arange(side, dtype=np.float32) * video.step + (video.step - length) / 2) / (width / 2)
        for side, length in zip(video.grey.shape[::-1], (width, height), strict=True)
    )
    x, y = np.meshgrid(x, y)
    return [(1, 0), (0, 1), (x, y), (-y, x), (x, -y), (y, x), (x * x, x * y), (x * y, y * y)]


def _motion(step: NDArray[np.float64], whole: Picture) -> Matrix:
    """The homography of the video that, for small steps, moves it by `_fields`."""
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


def by_search(raw: Picture, video: Picture, start: Matrix) -> Matrix | None:
    """The similarity at which two small pictures' details correlate best, by trying.

    For smooth or noisy scenes, and for repeated shapes, in which features find nothing.

    Args:
        raw: the RAW.
        video: a frame.
        start: how the video is turned or mirrored; searched are all places, sizes from 0.3 of the
            RAW up and turns of 3° to each side.

    Returns:
        The best; None for a picture so small that by chance it looks like some part of any RAW.
    """
    if max(video.grey.shape) < _SMALL:
        return None
    video = video.coarser(-(-max(video.grey.shape) // _SMALL))
    raw = raw.coarser(max(1, int(max(raw.grey.shape) * _NARROWEST / _SMALL)))
    template = detail(video.grey)
    linear = start[:2, :2] / np.sqrt(abs(np.linalg.det(start[:2, :2])))
    height, width = (side * raw.step for side in raw.grey.shape)
    best, best_score = start, -np.inf
    largest = max(height, width) / (max(video.grey.shape) * video.step)
    for scale in np.geomspace(_NARROWEST, 1, _STEPS) * largest:
        for turn in np.deg2rad(_TURNS):
            cosine, sine = np.cos(turn), np.sin(turn)
            onto = scale * linear @ np.array([[cosine, -sine], [sine, cosine]])
            # A canvas on the video's grid that holds all of the RAW.
            corners = np.linalg.inv(onto) @ [[0, width, 0, width], [0, 0, height, height]]
            first, last = corners.min(1), corners.max(1)
            place = np.vstack([np.column_stack([onto, onto @ first]), [0, 0, 1]])
            side = np.ceil((last - first) / video.step).astype(int)
            if (side < template.shape[::-1]).any():
                continue
            canvas = Picture(np.zeros(side[::-1], np.float32), video.step)
            picture, inside = warp(raw, canvas, place)
            scores = cv2.matchTemplate(detail(picture) * inside, template, cv2.TM_CCOEFF_NORMED)
            _, score, _, (x, y) = cv2.minMaxLoc(scores)
            if score > best_score:
                shift = np.array([[1, 0, x * video.step], [0, 1, y * video.step], [0, 0, 1]])
                best, best_score = place @ shift, score
    return best


def _as_similarity(matrix: Matrix, video: Picture) -> Matrix:
    """The similarity closest to a matrix around the middle of the video (mirrored if it is)."""
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


def warp(raw: Picture, video: Picture, matrix: Matrix) -> tuple[Grey, NDArray[np.uint8]]:
    """The RAW's picture on the grid of the video's, and where it has something to show (0, 1)."""
    return _placed(_smoothed(raw, video, matrix), video, matrix)


def _smoothed(raw: Picture, video: Picture, matrix: Matrix) -> Picture:
    """The RAW without what is finer than the video's grid, and would alias."""
    scale = np.sqrt(abs(np.linalg.det(_on_values(matrix, raw.step, video.step)[:2, :2])))
    block = max(1, min(int(scale), *raw.grey.shape))
    coarse = raw if block == 1 else raw.coarser(block)
    pitch = scale / block
    if pitch <= 1:
        return coarse
    return Picture(cv2.GaussianBlur(coarse.grey, (0, 0), pitch / 2), coarse.step)


def _placed(raw: Picture, video: Picture, matrix: Matrix) -> tuple[Grey, NDArray[np.uint8]]:
    on_pictures = _on_values(matrix, raw.step, video.step)
    size = video.grey.shape[::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    picture = cv2.warpPerspective(
        raw.grey, on_pictures, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    inside = cv2.warpPerspective(np.ones_like(raw.grey, np.uint8), on_pictures, size, flags=flags)
    return picture, inside


def _describe(grey: Grey) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features' places [N, 2] and descriptors [N, 128]."""
    low, high = np.percentile(grey, (0.5, 99.5))
    stretched = np.clip((grey - low) / max(float(high - low), 1e-3) * 255, 0, 255).astype(np.uint8)
    sift = cv2.SIFT.create(nfeatures=_FEATURES, contrastThreshold=_CONTRAST)
    keys, descriptors = sift.detectAndCompute(stretched, None)
    return np.array([key.pt for key in keys]).reshape(-1, 2), descriptors


def is_regular(matrix: Matrix, video: Picture) -> bool:
    """Whether a matrix keeps the whole video in front of the camera: none of it inside out.

    A homography fitted to a pair that doesn't belong together may not.
    """
    height, width = (side * video.step for side in video.grey.shape)
    corners = np.array([[x, y, 1.0] for x in (0, width) for y in (0, height)])
    depths = corners @ matrix[2] * np.sign(matrix[2, 2])
    return bool(np.isfinite(matrix).all() and matrix[2, 2] != 0 and (depths > 0).all())


def _correlation(raw: Picture, video: Picture, template: Grey, matrix: Matrix) -> float:
    picture, inside = warp(raw, video, matrix)
    return correlation(template * inside, detail(picture) * inside)


def _on_pixels(on_values: Matrix, target_step: int, source_step: int) -> Matrix:
    """A matrix between pictures as one between the pixels that they were made of."""
    matrix = _centres(target_step) @ on_values @ np.linalg.inv(_centres(source_step))
    return np.asarray(matrix / matrix[2, 2])


def _on_values(on_pixels: Matrix, target_step: int, source_step: int) -> Matrix:
    """The other way round."""
    return np.linalg.inv(_centres(target_step)) @ on_pixels @ _centres(source_step)


def _centres(step: int) -> Matrix:
    """Value (x, y) of a picture → the centre of its step×step pixels."""
    return np.array([[step, 0, (step - 1) / 2], [0, step, (step - 1) / 2], [0, 0, 1.0]])
