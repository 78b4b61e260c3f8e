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
_ITERATIONS = 60
_PRECISION = 1e-5
_HOMOGRAPHY = cv2.MOTION_HOMOGRAPHY
_GAIN = 0.002
"""In correlation: noisy pairs of simulated stills gain less than 0.0005 by fitting noise."""
_FLANK = 5
"""Side of the Gaussian that smooths both pictures for ECC, in values."""


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
    """The matrix near `matrix` for which the pictures' details correlate best, and how well.

    ECC (Evangelidis and Psarakis, PAMI 2008) with an affine motion, on the RAW as `matrix` puts it
    on the video's grid; twice, so that what is compared in the end was hardly moved. Of a
    similarity, the affine map and a homography, the simplest is taken whose correlation isn't
    clearly behind: with noise, more parameters always fit a little better and lie further off.

    Returns:
        The matrix and the correlation, or `matrix` and what it gives if ECC finds no better.
    """
    template = detail(video.grey)
    best, best_score = matrix, _correlation(raw, video, template, matrix)
    for motion, gain in ((cv2.MOTION_AFFINE, 0), (cv2.MOTION_AFFINE, 0), (_HOMOGRAPHY, _GAIN)):
        found = _ecc(raw, video, template, best, motion)
        if found is not None:
            score = _correlation(raw, video, template, found)
            if score > best_score + gain:
                best, best_score = found, score
    simple = _as_similarity(best, video)
    simple_score = _correlation(raw, video, template, simple)
    return (simple, simple_score) if simple_score > best_score - _GAIN else (best, best_score)


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
    on_pictures = _on_values(matrix, raw.step, video.step)
    size = video.grey.shape[::-1]
    scale = np.sqrt(abs(np.linalg.det(on_pictures[:2, :2])))
    # Half of the wider pitch: what is finer than the grid would alias.
    source = raw.grey if scale <= 1 else cv2.GaussianBlur(raw.grey, (0, 0), scale / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    picture = cv2.warpPerspective(
        source, on_pictures, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    inside = cv2.warpPerspective(np.ones_like(source, np.uint8), on_pictures, size, flags=flags)
    return picture, inside


def _describe(grey: Grey) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features' places [N, 2] and descriptors [N, 128]."""
    low, high = np.percentile(grey, (0.5, 99.5))
    stretched = np.clip((grey - low) / max(float(high - low), 1e-3) * 255, 0, 255).astype(np.uint8)
    sift = cv2.SIFT.create(nfeatures=_FEATURES, contrastThreshold=_CONTRAST)
    keys, descriptors = sift.detectAndCompute(stretched, None)
    return np.array([key.pt for key in keys]).reshape(-1, 2), descriptors


def _ecc(
    raw: Picture, video: Picture, template: Grey, matrix: Matrix, motion: int
) -> Matrix | None:
    picture, inside = warp(raw, video, matrix)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, _PRECISION)
    correction = np.eye(3)
    rows = 3 if motion == _HOMOGRAPHY else 2
    start = np.eye(rows, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(
            template, detail(picture), start, motion, criteria, inside, _FLANK
        )
    except cv2.error:  # it didn't converge
        return None
    correction[:rows] = found
    moved: Matrix = matrix @ _on_pixels(correction, video.step, video.step)
    return np.asarray(moved / moved[2, 2]) if is_regular(moved, video) else None


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
