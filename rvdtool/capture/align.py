"""Locates the video's grid on a RAW frame, chooses the matching video frame and scores the match.

Sizes are tried first: the active area or its default crop, unrotated or rotated, may match the
video pixel for pixel. Then nothing needs resampling, and OpenCV isn't needed. If no size fits, or
the two are more than half a pixel apart, registration finds a homography (`register`), and the RAW
is resampled. docs/method/alignment.md explains how MATCH was chosen.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rvdtool.bundle.convert import TURNS, Turn, crop_and_turn, lens, on_grid
from rvdtool.bundle.transform import CropAndTurn, Homography, Transform
from rvdtool.capture.compare import (
    GreyPicture,
    correlation,
    detail,
    displacement,
    raw_picture,
    video_picture,
)
from rvdtool.errors import MismatchError
from rvdtool.raw.frame import RawFrame, Rect
from rvdtool.raw.lens import Lens
from rvdtool.raw.move import pixel_aspect
from rvdtool.video.frame import Rgb, VideoInfo

if TYPE_CHECKING:
    from rvdtool.capture.register import Matrix

MATCH = 0.25
"""Lowest accepted score: see docs/method/alignment.md."""

OUTSIDE = 0.02
"""Largest accepted share of the video's grid that the RAW doesn't cover."""

_IN_PLACE = 0.5
"""Largest shift, in video pixels, at which a RAW of the video's size is used without moving it."""

_TIE = 0.005
"""Frames whose scores differ by less than this are indistinguishable: the earliest is taken."""

_MUCH_LESS = 0.7
"""A frame that matches pixel for pixel replaces the named one only if its unexplained variance
(1 - score) is below this share of the named frame's."""
_CLEARLY = 0.03
"""Gain in score that another frame needs over the named one, with each aligned on its own."""
_NEAR = 2
"""Frames on each side that are aligned on their own; each takes a tenth of a second."""

_FINE = 1280
"""Values along the longer side of the pictures that are registered."""
_COARSE = 400
"""Values along the longer side of the pictures that are scored: detail at this scale survives noise
and codecs, and tells scenes apart."""
_RAW_FINE = 2000
"""Values along the longer side of the RAW's picture that is registered."""

_WIDEST = 4.0
"""Ratio of the RAW's pixel aspect to the video's, or its inverse, above which it is an error."""

_SAMPLES = 64
"""Points along each side that are tested for whether the RAW covers them."""

_ANCHOR_EVERY = 5
"""Features are detected in every fifth of the searched frames."""


@dataclass(frozen=True)
class Alignment:
    """The placement of a RAW frame on the video's grid.

    Attributes:
        index: index of the best-matching video frame.
        transform: transform from the RAW's active area to the video's grid.
        score: similarity of the RAW and the frame, -1..1.
        again: score at the best other position, relative to the score here, 0..1
            (`guess.fits_again`).
    """

    index: int
    transform: Transform
    score: float
    again: float = 0.0

    @property
    def outside(self) -> float:
        """Share of the video's grid that the RAW doesn't cover, 0..1."""
        if isinstance(self.transform, CropAndTurn):
            return 0.0
        height, width = self.transform.grid_size
        matrix = np.array(self.transform.matrix)
        share = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
        x, y = np.meshgrid(share * width - 0.5, share * height - 0.5)
        points = np.einsum("ij,jyx->iyx", matrix, np.stack([x, y, np.ones_like(x)]))
        right, bottom = self.transform.sensor_width, self.transform.sensor_height
        column, row = points[:2] / points[2]
        bent = lens(self.transform)
        if bent is not None:
            column, row = bent.bend(column, row)
        inside = (column > -1) & (column < right) & (row > -1) & (row < bottom)
        return float(1 - inside.mean())


def frame_picture(rgb: Rgb) -> GreyPicture:
    """Reduce a video frame to the picture that `align` needs: at most 1280 values a side, a few MB.

    Args:
        rgb: uint8 or uint16 [H, W, 3].
    """
    return video_picture(rgb, -(-max(rgb.shape) // _FINE))


def match_score(frame: RawFrame, picture: GreyPicture) -> float:
    """Similarity between a RAW frame on the video's grid and a video frame: -1..1, 1 is perfect.

    Pearson's correlation of their detail (`compare.detail`) in block means of at most 400 a side.
    0 if either has no detail.
    """
    coarse = _coarse(picture)
    return correlation(detail(raw_picture(frame, coarse.step).grey), detail(coarse.grey))


def align(raw: RawFrame, info: VideoInfo, pictures: Mapping[int, GreyPicture]) -> Alignment:
    """Locate the video's grid on a RAW frame, and choose the matching frame among those given.

    The caller must refuse a `score` below MATCH, and an `outside` above OUTSIDE.

    Args:
        raw: the RAW frame as read, with the active area's mosaic.
        info: the video's properties.
        pictures: pictures of the candidate frames, by frame index; at least one.

    Raises:
        MismatchError: registration is needed, but OpenCV isn't installed.
    """
    in_place, apart = _in_place(raw, info, pictures)
    if in_place is not None and in_place.score >= MATCH and apart <= _IN_PLACE:
        return in_place
    registered = _registered(raw, info, pictures)
    if in_place is not None and in_place.score >= registered.score:
        return in_place
    return registered


def right_frame(
    raw: RawFrame, info: VideoInfo, pictures: Mapping[int, GreyPicture], found: Alignment
) -> int:
    """Index of the frame that a RAW belongs to: the named one, or one of its neighbours.

    A neighbour is returned only if it is clearly right: if the RAW matches it pixel for pixel, or
    matches it clearly better when both are aligned. Scenes that hardly change give no such frame.

    Args:
        raw: the RAW frame as read.
        info: the video's properties.
        pictures: pictures of the named frame and its neighbours, by frame index.
        found: alignment of the RAW with the named frame.
    """
    best = found.index, 0.0
    for transform in candidates(raw, info):
        if transform.grid_size != (info.height, info.width):
            continue
        frame = on_grid(raw, transform, info.rotation)
        fine = {i: p if p.step % 2 == 0 else p.coarser(2) for i, p in pictures.items()}
        own = raw_picture(frame, fine[found.index].step)
        own_detail = detail(own.grey)
        scores = {i: correlation(own_detail, detail(p.grey)) for i, p in fine.items()}
        index = max(scores, key=lambda i: scores[i])
        named, other = scores[found.index], scores[index]
        clear = other - named > _TIE and 1 - other < _MUCH_LESS * (1 - named)
        if clear and other >= max(MATCH, best[1]) and displacement(own, fine[index]) <= _IN_PLACE:
            best = index, other
    if best[0] == found.index and isinstance(found.transform, Homography):
        matrix = np.array(found.transform.matrix)
        return _best_aligned_frame(raw, info, pictures, found.index, matrix)
    return best[0]


def _best_aligned_frame(
    raw: RawFrame,
    info: VideoInfo,
    pictures: Mapping[int, GreyPicture],
    named: int,
    matrix: "Matrix",
) -> int:
    """The best-scoring frame, with each aligned on its own from the named frame's transform."""
    from rvdtool.capture.register import refined, stretched

    picture = raw_picture(raw, 2 * -(-max(raw.size) // (4 * _COARSE)))
    found = [stretched(picture, shape) for shape in _shapes(raw, info)]
    picture, onto = min(found, key=lambda one: np.linalg.cond((one[1] @ matrix)[:2, :2]))
    matrix = onto @ matrix
    scores: dict[int, float] = {}
    index = named
    while more := [i for i in pictures if abs(i - index) <= _NEAR and i not in scores]:
        # If the best is the outermost so far, an even better one may lie beyond it.
        scores |= {i: refined(picture, _coarse(pictures[i]), matrix)[1] for i in more}
        index = max(scores, key=lambda i: scores[i])
    clear = scores[index] - scores[named] > _CLEARLY
    return index if clear and scores[index] >= MATCH else named


def candidates(raw: RawFrame, info: VideoInfo) -> Iterator[CropAndTurn]:
    """All geometries that the RAW's tags and the video's rotation suggest, likeliest first.

    The active area and the default crop, each rotated so that RAW and video are both upright
    according to their tags, or unrotated (tags are often lost or wrong).
    """
    mirror, quarter_turns = TURNS[raw.orientation]
    turns = [(mirror, (quarter_turns - info.rotation // 90) % 4), (False, 0)]
    areas = [Rect(0, 0, *raw.size), raw.default_crop]
    for turn in dict.fromkeys(turns):
        for area in dict.fromkeys(areas):
            if area is not None:
                yield crop_and_turn(raw.size, area, turn)


def _coarse(picture: GreyPicture) -> GreyPicture:
    """The picture for scoring. Its step is even, as `raw_picture` requires."""
    block = -(-max(picture.grey.shape) // _COARSE)
    return picture.coarser(block + (block * picture.step) % 2)


def _in_place(
    raw: RawFrame, info: VideoInfo, pictures: Mapping[int, GreyPicture]
) -> tuple[Alignment | None, float]:
    """The best match without resampling, and its displacement in pixels."""
    found: list[tuple[Alignment, float]] = []
    details = {index: _coarse(picture) for index, picture in pictures.items()}
    for transform in candidates(raw, info):
        if transform.grid_size != (info.height, info.width):
            continue
        frame = on_grid(raw, transform, info.rotation)
        step = next(iter(details.values())).step
        own = detail(raw_picture(frame, step).grey)
        scores = {i: correlation(own, detail(picture.grey)) for i, picture in details.items()}
        index = _earliest_best(scores)
        fine = pictures[index]
        fine = fine if fine.step % 2 == 0 else fine.coarser(2)
        apart = displacement(raw_picture(frame, fine.step), fine)
        found.append((Alignment(index, transform, scores[index]), apart))
    return max(found, key=lambda pair: pair[0].score, default=(None, np.inf))


def _earliest_best(scores: Mapping[int, float]) -> int:
    best = max(scores.values())
    return min(index for index, score in scores.items() if score >= best - _TIE)


def _registered(raw: RawFrame, info: VideoInfo, pictures: Mapping[int, GreyPicture]) -> Alignment:
    """The best match by a homography."""
    try:
        found = [
            _registered_with_aspect(shape, raw, info, pictures) for shape in _shapes(raw, info)
        ]
    except ImportError as error:
        raise MismatchError(
            f"{sizes(raw.size, info)}: aligning them needs OpenCV; install it (pip "
            "install opencv-python-headless)"
        ) from error
    return max(found, key=lambda one: one.score)


def _shapes(raw: RawFrame, info: VideoInfo) -> list[float]:
    """Factors by which to widen the RAW's pixels so that they have the video's pixel aspect.

    1 is always included: the squeeze of an anamorphic lens is often recorded in only one file.
    """
    seen = info.sample_aspect or Fraction(1)
    if next(candidates(raw, info)).quarter_turns % 2:
        seen = 1 / seen
    shape = float(pixel_aspect(raw.profile) / seen)
    return [1.0, shape] if shape != 1 and 1 / _WIDEST <= shape <= _WIDEST else [1.0]


def _registered_with_aspect(
    shape: float, raw: RawFrame, info: VideoInfo, pictures: Mapping[int, GreyPicture]
) -> Alignment:
    """The best match by a homography, after the RAW's pixels are widened by the factor `shape`."""
    from rvdtool.capture.guess import fits_again
    from rvdtool.capture.register import refined, stretched, with_lens

    step = 2 * -(-max(raw.size) // (2 * _RAW_FINE))
    picture, onto = stretched(raw_picture(raw, step), shape)
    anchor, matrix = _anchor(raw, info, picture, onto, pictures)
    coarse_raw = picture.coarser(max(1, -(-max(picture.grey.shape) // (2 * _COARSE))))
    found: dict[int, tuple[Matrix, float]] = {}
    for index in sorted(pictures, key=lambda index: abs(index - anchor)):
        near = min(found, key=lambda other: abs(other - index), default=None)
        start = matrix if near is None else found[near][0]
        found[index] = refined(coarse_raw, _coarse(pictures[index]), start)
    index = _earliest_best({index: score for index, (_, score) in found.items()})
    matrix, _ = refined(picture, pictures[index], found[index][0])
    bent: Lens | None = None
    if shape == 1:  # the lens model is radial, which holds only on the sensor's own pixels
        matrix, bent, _ = with_lens(picture, pictures[index], matrix, raw.size)
    transform = _homography(raw, info, np.linalg.inv(onto) @ matrix, bent)
    score = match_score(on_grid(raw, transform, info.rotation), pictures[index])
    return Alignment(index, transform, score, fits_again(picture, pictures[index], matrix))


def _anchor(
    raw: RawFrame,
    info: VideoInfo,
    picture: GreyPicture,
    onto: "Matrix",
    pictures: Mapping[int, GreyPicture],
) -> tuple[int, "Matrix"]:
    """A frame to start from, and its approximate transform to the RAW's picture.

    Tries features and centred placement; if neither matches, searches positions, sizes and
    rotations.
    """
    from rvdtool.capture.guess import RawFeatures, by_search

    # SIFT doubles the picture's size and keeps a dozen copies: half a gigabyte at full size.
    small = picture.coarser(-(-max(picture.grey.shape) // _FINE))
    features = [RawFeatures(small, mirrored) for mirrored in {False, TURNS[raw.orientation][0]}]
    centred = _centred(raw, info, onto)
    turned = {tuple(np.sign(matrix[:2, :2]).ravel()): matrix for matrix in centred}.values()
    best_index, best_matrix, best_score = -1, np.eye(3), -np.inf
    for index in sorted(pictures)[::_ANCHOR_EVERY]:
        video = pictures[index]
        guesses = [feature.match(video) for feature in features]
        found = [_likeliest(picture, video, [*guesses, *(centred if best_index < 0 else ())])]
        if found[0][1] < MATCH:
            searched = [by_search(small, video, start) for start in turned]
            found.append(_likeliest(picture, video, searched))
        for matrix, score in found:
            if score > best_score:
                best_index, best_matrix, best_score = index, matrix, score
        if best_score >= MATCH:
            break
    return best_index, best_matrix


def _likeliest(
    picture: GreyPicture, video: GreyPicture, guesses: Sequence["Matrix | None"]
) -> tuple["Matrix", float]:
    """The best guess after refinement, and its score."""
    from rvdtool.capture.register import refined

    coarse = _coarse(video)
    found = (refined(picture, coarse, guess) for guess in guesses if guess is not None)
    return max(found, key=lambda pair: pair[1], default=(np.eye(3), -np.inf))


def _centred(raw: RawFrame, info: VideoInfo, stretch: "Matrix") -> list["Matrix"]:
    """Matrices that put the video on the largest centred part of each candidate's area."""
    matrices = []
    for transform in candidates(raw, info):
        height, width = transform.grid_size
        turn = transform.mirror, transform.quarter_turns
        x, y = (1, 0) if transform.quarter_turns % 2 else (0, 1)
        wider, higher = stretch[x, x], stretch[y, y]
        scale = min(height * higher / info.height, width * wider / info.width)
        across, down = scale / wider, scale / higher
        # Coordinates refer to pixel centres: pixel 0 covers -1/2 to 1/2.
        left, top = (width - across * info.width) / 2, (height - down * info.height) / 2
        onto = np.array(
            [[across, 0, left + (across - 1) / 2], [0, down, top + (down - 1) / 2], [0, 0, 1]]
        )
        back = _undo_turn(turn, (transform.crop.height, transform.crop.width))
        back[0, 2] += transform.crop.left
        back[1, 2] += transform.crop.top
        matrices.append(stretch @ back @ onto)
    return matrices


def _undo_turn(turn: Turn, size: tuple[int, int]) -> NDArray[np.float64]:
    """Matrix from a mirrored and rotated area back to the original one, which has this size."""
    mirror, quarter_turns = turn
    height, width = size
    matrix = np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]]) if mirror else np.eye(3)
    for _ in range(quarter_turns):
        # Clockwise: (x, y) moves to (height - 1 - y, x).
        matrix = matrix @ np.array([[0.0, 1, 0], [-1, 0, height - 1], [0, 0, 1]])
        height, width = width, height
    return matrix


def _homography(raw: RawFrame, info: VideoInfo, matrix: "Matrix", bent: Lens | None) -> Homography:
    """The transform, rounded to nine digits: a millionth of a pixel. Further digits may differ
    between machines."""
    rows = [[float(f"{value:.9g}") for value in row] for row in matrix.tolist()]
    return Homography.model_validate(
        {
            "kind": "homography",
            "sensor_height": raw.size[0],
            "sensor_width": raw.size[1],
            "grid_height": info.height,
            "grid_width": info.width,
            "matrix": tuple(tuple(row) for row in rows),
            "lens": bent and tuple(float(f"{term:.9g}") for term in bent.terms),
        }
    )


def sizes(active_area: tuple[int, int], info: VideoInfo) -> str:
    """Text that gives the RAW's and the video's size, for a message. Sizes are (height, width)."""
    height, width = active_area
    return (
        f"its active area is {width}×{height}; the video is {info.width}×{info.height}, "
        f"rotation {info.rotation}°"
    )
