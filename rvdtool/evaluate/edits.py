"""Compares RAWs as a colourist sees them: developed and edited alike, on the display.

Light is linear with sRGB's primaries, 0..1 (`develop_linear`), scaled by the first true frame's
auto-brightness. Display values are sRGB code values, 0..1, not rounded to 8 bits. An edit is a
function from light to display values. docs/research/edits.md defines all edits.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import fmean

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.evaluate.compare import WORKERS, Comparison, finite_mean, read_frame
from rvdtool.evaluate.jod import Visibility
from rvdtool.evaluate.metrics import psnr
from rvdtool.raw.bayer import normalise, orient
from rvdtool.raw.color import white_xy
from rvdtool.raw.curves import encode_acescct, encode_srgb
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.read import MosaicLevels
from rvdtool.raw.render import Look, develop_linear, look_of

LinearRgb = NDArray[np.float32]
"""Linear RGB, [H, W, 3]."""

Mask = NDArray[np.bool_]

SRGB_FROM_XYZ = np.array(
    [
        [3.2409699, -1.5373832, -0.4986108],
        [-0.9692436, 1.8759675, 0.0415551],
        [0.0556301, -0.2039770, 1.0569715],
    ]
)
"""Matrix from XYZ to linear sRGB (IEC 61966-2-1, white D65)."""

BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)

LUMA = np.linalg.inv(SRGB_FROM_XYZ)[1].astype(np.float32)

NEUTRAL_KELVIN = 6500.0
SHIFT = 2000.0
STOPS = 2.0
SATURATION = 1.5

_SLOPES = np.array([10.0, 10.5, 9.5], np.float32)
_MIDDLES = np.array([0.40, 0.41, 0.42], np.float32)
"""Slopes and midpoints of the film-like curves of R, G and B over ACEScct code values. They imitate
a print with warm highlights and cool shadows."""

_CROSSTALK = np.array([[0.90, 0.07, 0.03], [0.05, 0.90, 0.05], [0.02, 0.10, 0.88]], np.float32)
"""Crosstalk of the film's dyes: a matrix on linear light."""


def adaptation(source: float, target: float) -> NDArray[np.float32]:
    """Bradford matrix [3, 3] on linear sRGB from one colour temperature's white to another's."""

    def cones(kelvin: float) -> NDArray[np.float64]:
        x, y = white_xy(kelvin)
        return BRADFORD @ np.array([x / y, 1.0, (1 - x - y) / y])

    xyz = np.linalg.inv(BRADFORD) @ np.diag(cones(target) / cones(source)) @ BRADFORD
    return (SRGB_FROM_XYZ @ xyz @ np.linalg.inv(SRGB_FROM_XYZ)).astype(np.float32)


def _exposed(stops: float) -> Callable[[LinearRgb], LinearRgb]:
    return lambda light: encode_srgb(light * np.float32(2**stops))


def _balanced(kelvin: float) -> Callable[[LinearRgb], LinearRgb]:
    matrix = adaptation(NEUTRAL_KELVIN, kelvin)
    return lambda light: encode_srgb(light @ matrix.T)


def _contrast(light: LinearRgb) -> LinearRgb:
    code = encode_srgb(light)
    return code * code * (3 - 2 * code)


def _saturated(light: LinearRgb) -> LinearRgb:
    grey = (light @ LUMA)[..., None]
    return encode_srgb(grey + np.float32(SATURATION) * (light - grey))


def _film(light: LinearRgb) -> LinearRgb:
    code = encode_acescct(light @ _CROSSTALK.T)
    black, white = (_density(encode_acescct(np.full(3, end))) for end in (0.0, 1.0))
    return np.clip((_density(code) - black) / (white - black), 0, 1)


def _density(code: LinearRgb) -> LinearRgb:
    return np.float32(1) / (np.float32(1) + np.exp(-_SLOPES * (code - _MIDDLES)))


EDITS: dict[str, Callable[[LinearRgb], LinearRgb]] = {
    "none": encode_srgb,
    "exposure +2": _exposed(STOPS),
    "exposure -2": _exposed(-STOPS),
    "warmer": _balanced(NEUTRAL_KELVIN - SHIFT),
    "cooler": _balanced(NEUTRAL_KELVIN + SHIFT),
    "contrast": _contrast,
    "saturation": _saturated,
    "film": _film,
}
"""Edits by name: functions from light to display values."""


def delta_e(predicted: LinearRgb, true: LinearRgb) -> NDArray[np.float64]:
    """CIEDE2000 between display values, [H, W]. About 1 is just noticeable side by side."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    found: NDArray[np.float64] = deltaE_ciede2000(rgb2lab(true), rgb2lab(predicted))
    return found


@dataclass(frozen=True)
class EditScores:
    """How closely a reconstruction matches the truth after an edit, over the counted frames.

    Attributes:
        delta_e: mean CIEDE2000.
        delta_e_95: mean over frames of the 95th percentile of CIEDE2000.
        psnr: mean over frames of the PSNR of display values in dB, peak 1.
        flicker: variance of the second difference of the frames' mean display value, divided by the
            truth's; None for fewer than five frames, or if the truth's is 0.
        jod: quality in JOD by ColorVideoVDP, see `Visibility`; None if not measured.
        areas: mean CIEDE2000 in each of `AREAS`; None if an area is empty.
    """

    delta_e: float
    delta_e_95: float
    psnr: float
    flicker: float | None
    jod: float | None
    areas: Mapping[str, float | None]


AREAS = ("clipped", "unclipped", "moving", "still")
"""Areas of a frame. Clipped: the truth has a photosite of at least 99 % of white within one cell.
Moving: the truth's display value, of cells blurred by `_BLUR`, differs by more than `_MOVES` from
the previous frame's. The other two are their complements."""

_CLIPPED = 0.99
_BLUR = 2.0
_MOVES = 0.02


@dataclass(frozen=True)
class _Frame:
    """Scores of a frame after an edit. `areas` holds the sum of ΔE and the number of pixels."""

    delta_e: float
    delta_e_95: float
    psnr: float
    means: tuple[float, float]
    areas: Mapping[str, tuple[float, int]]


def score_edits(
    comparison: Comparison,
    *,
    levels: MosaicLevels | None = None,
    visibility: Visibility | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, EditScores]:
    """Develop all counted frames alike, edit them, and compare them on the display.

    ΔE is measured at every second pixel in each direction, everything else at all pixels.

    Args:
        comparison: result of `compare`.
        levels: levels of TIFF mosaics, as for `compare`.
        visibility: measures JOD, which takes about ten times as long as everything else; None to
            skip that.
        advance: called with 1 for every frame; with `visibility`, once more per frame and edit.

    Returns:
        Scores by the names in `EDITS`.

    Raises:
        InputError: a frame can't be read, or is too small for LibRaw.
    """
    frames = comparison.frames
    look = look_of(orient(read_frame(frames[0].pair.true, levels)))
    counted = [index for index, frame in enumerate(frames) if frame.counted]

    def read(index: int) -> tuple[RawFrame, RawFrame]:
        pair = frames[index].pair
        return orient(read_frame(pair.predicted, levels)), orient(read_frame(pair.true, levels))

    def work(index: int) -> dict[str, _Frame]:
        predicted, true = read(index)
        before = read_frame(frames[index - 1].pair.true, levels) if index else None
        masks = _areas(true, None if before is None else orient(before), look.brightness)
        light = _light(predicted, look), _light(true, look)
        return {name: _score(edit(light[0]), edit(light[1]), masks) for name, edit in EDITS.items()}

    found: list[dict[str, _Frame]] = []
    with ThreadPoolExecutor(WORKERS) as workers:
        for one in workers.map(work, counted):
            found.append(one)
            advance(1)

    def jod(edit: Callable[[LinearRgb], LinearRgb]) -> float | None:
        def pair(number: int) -> tuple[LinearRgb, LinearRgb]:
            predicted, true = read(counted[number])
            advance(1)
            return edit(_light(predicted, look)), edit(_light(true, look))

        return None if visibility is None else visibility(pair, len(counted))

    return {
        name: _gathered([one[name] for one in found], jod(edit)) for name, edit in EDITS.items()
    }


def frame_delta_e(predicted: RawFrame, true: RawFrame, look: Look) -> dict[str, float]:
    """Mean CIEDE2000 of one frame after each of `EDITS`, measured as `score_edits` does.

    Args:
        predicted, true: upright frames of one size.
        look: the clip's, `look_of` its first true frame.
    """
    light = _light(predicted, look), _light(true, look)
    return {
        name: float(delta_e(*(edit(one)[::2, ::2] for one in light)).mean())
        for name, edit in EDITS.items()
    }


def _light(frame: RawFrame, look: Look) -> LinearRgb:
    return develop_linear(replace(frame, profile=look.profile)) * np.float32(look.brightness)


def _areas(true: RawFrame, before: RawFrame | None, brightness: float) -> dict[str, Mask]:
    """Masks of `AREAS` by cell, [⌈H/2⌉, ⌈W/2⌉]."""
    values = normalise(true.mosaic, true.black, true.white)
    saturated = cv2.dilate((values >= _CLIPPED).astype(np.uint8), np.ones((3, 3), np.uint8))
    clipped = saturated[::2, ::2] > 0
    moving = np.zeros_like(clipped)
    if before is not None:
        now, then = (
            _blurred_display_values(values, brightness),
            _blurred_display_values(
                normalise(before.mosaic, before.black, before.white), brightness
            ),
        )
        moving = np.abs(now - then) > _MOVES
    return {"clipped": clipped, "unclipped": ~clipped, "moving": moving, "still": ~moving}


def _blurred_display_values(values: NDArray[np.float32], brightness: float) -> NDArray[np.float32]:
    """Display values of blurred cells, without white balance, [⌈H/2⌉, ⌈W/2⌉]."""
    height, width = values.shape
    size = (width + 1) // 2, (height + 1) // 2
    cells = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    return encode_srgb(cv2.GaussianBlur(cells, (0, 0), _BLUR) * brightness)


def _score(predicted: LinearRgb, true: LinearRgb, masks: Mapping[str, Mask]) -> _Frame:
    differences = delta_e(predicted[::2, ::2], true[::2, ::2])
    return _Frame(
        delta_e=float(differences.mean()),
        delta_e_95=float(np.quantile(differences, 0.95)),
        psnr=psnr(predicted, true, peak=1),
        means=(float(predicted.mean(dtype=np.float64)), float(true.mean(dtype=np.float64))),
        areas={
            name: (float(differences[mask].sum()), int(mask.sum())) for name, mask in masks.items()
        },
    )


def _gathered(frames: Sequence[_Frame], jod: float | None) -> EditScores:
    areas: dict[str, float | None] = {}
    for name in AREAS:
        total, count = (sum(part) for part in zip(*(f.areas[name] for f in frames), strict=True))
        areas[name] = total / count if count else None
    return EditScores(
        delta_e=fmean(frame.delta_e for frame in frames),
        delta_e_95=fmean(frame.delta_e_95 for frame in frames),
        psnr=finite_mean(frame.psnr for frame in frames),
        flicker=_flicker([frame.means for frame in frames]),
        jod=jod,
        areas=areas,
    )


def _flicker(means: Sequence[tuple[float, float]]) -> float | None:
    if len(means) < 5:
        return None
    predicted, true = np.var(np.diff(np.array(means), 2, axis=0), axis=0)
    return float(predicted / true) if true > 0 else None
