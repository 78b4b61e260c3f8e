"""Finds starting points for registration from features, or by searching positions, sizes and
rotations. Needs OpenCV."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.capture.compare import Grey, GreyPicture, detail
from rvdtool.capture.register import Matrix, on_pixels, warp

_FEATURES = 4000
_CONTRAST = 0.006
"""SIFT's contrast threshold, less than half of its default: clouds and dark pictures have only weak
features."""
_RATIO = 0.8
"""A match counts if its distance is below this share of the next best's (Lowe, IJCV 2004)."""
_INLIER = 3.0
"""Largest distance between a feature and its match, in values of the RAW's picture."""
_FEWEST = 8
"""Fewest inliers: fewer may be chance; with more, the score decides."""
_STEPS = 25
"""Number of scales tried in `by_search`."""
_SMALL = 96
"""Values along the longer side of the video in `by_search`."""
_TURNS = (-3.0, -1.5, 0.0, 1.5, 3.0)
"""Rotations tried in `by_search`, in degrees."""
_REPEAT = 240
"""Values along the longer side of the video in `fits_again`."""
_BESIDE = 4
"""Shift, in such values, up to which a position counts as the same in `fits_again`."""
_NARROWEST = 0.3
"""Smallest share of the RAW's longer side that the video shows, in `by_search`."""


class RawFeatures:
    """Features of a RAW frame, detected once and matched with any number of video frames.

    Args:
        raw: picture of the RAW.
        mirrored: whether the video shows it with left and right swapped.
    """

    def __init__(self, raw: GreyPicture, mirrored: bool) -> None:
        self._step = raw.step
        grey = raw.grey[:, ::-1] if mirrored else raw.grey
        self._points, self._descriptors = _describe(grey)
        if mirrored:
            self._points[:, 0] = grey.shape[1] - 1 - self._points[:, 0]
        self._mirror = np.diag([-1.0, 1, 1]) if mirrored else np.eye(3)

    def match(self, video: GreyPicture) -> Matrix | None:
        """The similarity that most features agree on, found by RANSAC (Fischler, Bolles 1981).

        SIFT (Lowe 2004) handles any scale and rotation, but not mirroring.
        """
        points, descriptors = _describe(video.grey)
        if min(len(points), len(self._points)) < _FEWEST:
            return None
        pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(descriptors, self._descriptors, k=2)
        clear = [pair[0] for pair in pairs if pair[0].distance < _RATIO * pair[1].distance]
        # Keep one match per RAW feature: if many matches shared one, they would look like agreement
        # on a similarity that shrinks the video to a point.
        clear.sort(key=lambda match: -match.distance)
        good = list({match.trainIdx: match for match in clear}.values())
        if len(good) < _FEWEST:
            return None
        source = np.array([points[match.queryIdx] for match in good], np.float32)
        # A similarity can't mirror, so mirrored points are unmirrored before it, and it after.
        target = np.array([self._points[match.trainIdx] for match in good], np.float32)
        target @= self._mirror[:2, :2].astype(np.float32)
        cv2.setRNGSeed(0)  # the same input must give the same bundle
        similarity, inliers = cv2.estimateAffinePartial2D(
            source, target, method=cv2.RANSAC, ransacReprojThreshold=_INLIER, maxIters=5000
        )
        if similarity is None or int(inliers.sum()) < _FEWEST:
            return None
        found = self._mirror @ np.vstack([similarity, [0, 0, 1]])
        return on_pixels(found, self._step, video.step)


def by_search(raw: GreyPicture, video: GreyPicture, start: Matrix) -> Matrix | None:
    """Search for the similarity at which the details of two small pictures correlate best.

    For scenes in which features fail: smooth or noisy ones, and repeated shapes.

    Args:
        raw: picture of the RAW.
        video: picture of a video frame.
        start: matrix that gives the video's rotation and mirroring. All positions are searched,
            scales at which the video spans 0.3 to 1 of the RAW, and rotations of up to 3° to
            either side.

    Returns:
        The best matrix; None if the video is so small that it would resemble some part of any RAW
        by chance.
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
            # A canvas on the video's grid that holds the entire RAW.
            corners = np.linalg.inv(onto) @ [[0, width, 0, width], [0, 0, height, height]]
            first, last = corners.min(1), corners.max(1)
            place = np.vstack([np.column_stack([onto, onto @ first]), [0, 0, 1]])
            side = np.ceil((last - first) / video.step).astype(int)
            if (side < template.shape[::-1]).any():
                continue
            canvas = GreyPicture(np.zeros(side[::-1], np.float32), video.step)
            picture, inside = warp(raw, canvas, place)
            scores = cv2.matchTemplate(detail(picture) * inside, template, cv2.TM_CCOEFF_NORMED)
            _, score, _, (x, y) = cv2.minMaxLoc(scores)
            if score > best_score:
                shift = np.array([[1, 0, x * video.step], [0, 1, y * video.step], [0, 0, 1]])
                best, best_score = place @ shift, score
    return best


def _describe(grey: Grey) -> tuple[NDArray[Any], NDArray[Any]]:
    """Positions [N, 2] and descriptors [N, 128] of a picture's features."""
    low, high = np.percentile(grey, (0.5, 99.5))
    stretched = np.clip((grey - low) / max(float(high - low), 1e-3) * 255, 0, 255).astype(np.uint8)
    sift = cv2.SIFT.create(nfeatures=_FEATURES, contrastThreshold=_CONTRAST)
    keys, descriptors = sift.detectAndCompute(stretched, None)
    return np.array([key.pt for key in keys]).reshape(-1, 2), descriptors


def fits_again(raw: GreyPicture, video: GreyPicture, matrix: Matrix) -> float:
    """How well the video fits the RAW at the best other position, relative to this one.

    If a texture repeats (a fence, bricks, tiles), the likeliest position may be off by a period.
    Only shifts are tried, and only by more than a few values of a small picture.

    Args:
        raw: picture of the RAW.
        video: picture of a video frame.
        matrix: transform that aligns them.

    Returns:
        0 (no other position fits) to 1 (another fits as well); 0 if the RAW is too small for
        another position.
    """
    small = video.coarser(-(-max(video.grey.shape) // _REPEAT))
    template = detail(small.grey)
    sides = [side * raw.step for side in raw.grey.shape[::-1]]
    corners = np.linalg.inv(matrix) @ [[0, sides[0], 0, sides[0]], [0, 0, *[sides[1]] * 2], [1] * 4]
    corners = corners[:2] / corners[2]
    # The entire RAW, but at most three times the video's width and height.
    extent = np.array(small.grey.shape[::-1]) * small.step
    first = np.maximum(corners.min(1), -extent) // small.step
    last = np.minimum(corners.max(1), 2 * extent) // small.step
    size = (last - first).astype(int)
    if (size <= template.shape[::-1]).any():
        return 0.0
    onto = matrix @ [[1, 0, first[0] * small.step], [0, 1, first[1] * small.step], [0, 0, 1]]
    picture, inside = warp(raw, GreyPicture(np.zeros(size[::-1], np.float32), small.step), onto)
    scores = cv2.matchTemplate(detail(picture) * inside, template, cv2.TM_CCOEFF_NORMED)
    y, x = np.ogrid[: scores.shape[0], : scores.shape[1]]
    here = np.maximum(abs(y + first[1]), abs(x + first[0])) <= _BESIDE
    own = float(scores[here].max(initial=0))
    other = float(scores[~here].max(initial=0))
    return float(np.clip(other / own, 0, 1)) if own > 0 else 0.0
