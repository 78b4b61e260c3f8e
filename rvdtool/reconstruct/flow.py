"""Optical flow between two frames, and sampling along it.

Convention for all flows: a flow belongs to the *current* frame and points to the *other* frame.
`flow[y, x] = (dx, dy)`, in pixels of the flow's own grid, means that the object at (x, y) in the
current frame is at (x + dx, y + dy) in the other frame. The other frame is therefore warped to the
current one by sampling at `grid + flow`; zero flow is the identity.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import InputError, MismatchError
from rvdtool.npy import map_array
from rvdtool.reconstruct.buffers import empty
from rvdtool.reconstruct.candidates import sample_strip
from rvdtool.reconstruct.compiled import in_strips
from rvdtool.reconstruct.statistics import Array, Where
from rvdtool.video.listing import natural_key

Flow = NDArray[np.float32]
"""[H, W, 2]: (dx, dy) from the current frame to the other one."""

WORKING_SIDE = 960
"""Flow is estimated on frames whose longer side is at most this, and enlarged: finer grids take
longer without measurable gain (docs/method/reconstruction.md)."""
FARTHEST = 100_000
"""Largest flow in pixels; larger numbers would overflow when they are sampled."""


def sample(image: Array, flow: Flow) -> Array:
    """Bilinear samples of `image` [H, W] or [H, W, C] at `grid + flow`; edges are repeated."""
    return cv2.remap(
        image, coordinates(flow), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def coordinates(flow: Flow) -> Array:
    """The positions that `flow` points to: absolute (x, y), [H, W, 2]."""
    height, width = flow.shape[:2]
    result = flow.copy()
    result[..., 0] += np.arange(width, dtype=np.float32)
    result[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    return result


def nearest(flow: Flow) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], NDArray[np.bool_]]:
    """Rows and columns of the samples nearest to where `flow` points, each [H, W] and limited to
    the frame, and where they were inside of it, bool [H, W]."""
    height, width = flow.shape[:2]
    x, y = cv2.split(np.rint(coordinates(flow)))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return (y.clip(0, height - 1).astype(int), x.clip(0, width - 1).astype(int)), inside


def sample_mosaic(mosaic: Array, flow: Flow) -> Array:
    """Warp a Bayer mosaic, [H, W] → [H, W]; see `sample_mosaics`."""
    return sample_mosaics(mosaic[..., None], flow)[0]


def sample_mosaics(mosaics: Array, flow: Flow) -> list[Array]:
    """Warp Bayer mosaics together, [H, W, C] → C × [H, W], without mixing colours.

    Each of the four positions of the CFA cell is sampled bilinearly from its own half-size grid, at
    the position that the flow at that photosite points to. Edges are repeated.
    """
    mosaics, flow = np.ascontiguousarray(mosaics), np.ascontiguousarray(flow)
    height, width, count = mosaics.shape
    result = tuple(empty((height, width)) for _ in range(count))

    def strip(first: int, last: int) -> None:
        sample_strip(first, last, mosaics, flow, result)

    in_strips(height, strip)
    return list(result)


def outside(flow: Flow) -> NDArray[np.bool_]:
    """Where the flow leaves the other frame by more than half a pixel, [H, W]."""
    height, width = flow.shape[:2]
    at = coordinates(flow)
    x, y = at[..., 0], at[..., 1]
    return (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)


def leaves(flow: Flow, where: Where) -> NDArray[np.bool_]:
    """`outside` at some pixels only, [pixels]."""
    (height, width), (rows, columns) = flow.shape[:2], where
    x, y = columns + flow[where][:, 0], rows + flow[where][:, 1]
    return (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)


def compose(to_middle: Flow, middle_to_far: Flow) -> Flow:
    """Compose flows: current → far, from current → middle and middle → far."""
    return to_middle + sample(middle_to_far, to_middle)


def resize_flow(flow: Flow, size: tuple[int, int]) -> Flow:
    """The same motion on a grid of `size` = (height, width), in that grid's pixels."""
    height, width = size
    if flow.shape[:2] == size:
        return flow
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    if width > flow.shape[1]:
        large = empty((height, width, 2))
        return cv2.resize(flow * scale, (width, height), large, interpolation=cv2.INTER_LINEAR)
    return cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale


def invert(forward: Flow, iterations: int = 4) -> Flow:
    """Invert a flow from the previous to the current frame: the flow from current to previous.

    Fixed-point iteration of b(x) = −f(x + b(x)). At discontinuities (occlusions) no flow is right;
    the photometric error detects that.
    """
    backward = -forward
    for _ in range(iterations):
        backward = -sample(forward, backward)
    return backward


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) at which the flow of frames of `size` is estimated."""
    scale = min(1.0, WORKING_SIDE / max(size))
    return max(16, round(size[0] * scale)), max(16, round(size[1] * scale))


def flow_image(rgb: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """The 8-bit grey picture, at working size, on which flow is estimated."""
    eight = rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8)
    grey = cv2.cvtColor(eight, cv2.COLOR_RGB2GRAY)
    height, width = working_size(grey.shape)
    if grey.shape != (height, width):
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return grey


def estimate_flow(
    current: NDArray[np.uint8], other: NDArray[np.uint8], start: Flow | None = None
) -> Flow:
    """Flow from `current` to `other` (both grey, uint8 [H, W]); `start` is refined if given.

    OpenCV's dense inverse search (Kroeger et al., ECCV 2016). A new object is created for every
    pair, because an object that was once given a start keeps some state: a resumed chain would
    differ from an uninterrupted one. Creating it takes no measurable time.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # No brightness constancy: after a change of brightness, it would shift smooth areas until both
    # frames look equally bright. Gradient constancy remains.
    search.setVariationalRefinementDelta(0)
    return search.calc(current, other, None if start is None else start.copy())


def bridge(flow: Flow, grey: NDArray[np.uint8], blank: NDArray[np.bool_]) -> Flow:
    """Replace the flow of areas without texture by that of their surroundings.

    In clipped or flat areas the estimated flow is arbitrary; they most likely move like their
    surroundings. Implemented as normalised convolution at three scales.

    Args:
        flow: [H, W, 2].
        grey: the current frame, uint8 [H, W].
        blank: bool [H, W], where all channels are clipped.
    """
    image = grey.astype(np.float32)
    slope_x = cv2.Sobel(image, -1, 1, 0, ksize=3) / 8
    slope_y = cv2.Sobel(image, -1, 0, 1, ksize=3) / 8
    texture = cv2.boxFilter(slope_x * slope_x + slope_y * slope_y, -1, (9, 9))
    weight = np.where(blank, 0, np.minimum(texture / 4, 1)).astype(np.float32) + np.float32(1e-4)
    height, width = grey.shape
    small = (max(1, width // 4), max(1, height // 4))
    small_weight = cv2.resize(weight, small, interpolation=cv2.INTER_AREA)
    small_flow = cv2.resize(flow * weight[..., None], small, interpolation=cv2.INTER_AREA)
    total = np.zeros_like(small_flow)
    share = np.zeros_like(small_weight)
    for reach, factor in ((2, 1.0), (8, 1e-2), (24, 1e-4)):
        total += factor * cv2.GaussianBlur(small_flow, (0, 0), reach)
        share += factor * cv2.GaussianBlur(small_weight, (0, 0), reach)
    around = cv2.resize(total / share[..., None], (width, height))
    own = np.minimum(2 * cv2.GaussianBlur(weight, (0, 0), 3), 1)[..., None]
    return (own * flow + (1 - own) * around).astype(np.float32)


def read_flow(path: Path, size: tuple[int, int]) -> Flow:
    """Read a flow file and invert it: flow from the next frame back to this one, [H, W, 2].

    Args, Raises: see `read_flow_to_next`.
    """
    return invert(read_flow_to_next(path, size))


def read_flow_to_next(path: Path, size: tuple[int, int]) -> Flow:
    """Read a flow file in RVD's format: `.npy`, numbers [H, W, 2], from this frame to the *next*.

    It may be smaller or larger than the frames (RVD's have half their size), but must have their
    aspect ratio.

    Args:
        path: the file.
        size: (height, width) to which it is resized.

    Raises:
        InputError: the file can't be read.
        MismatchError: the array isn't [H, W, 2], has another aspect ratio, or has NaN, infinity or
            values too large for pixels.
    """
    forward = map_array(path)
    if forward.ndim != 3 or forward.shape[2] != 2 or 0 in forward.shape:
        raise MismatchError(
            f"{path}: a flow is an array [height, width, 2]; this one is {list(forward.shape)}"
        )
    _require_same_shape(path, forward.shape[:2], size)
    with np.errstate(over="ignore"):  # beyond float32 is beyond FARTHEST, too
        flow = forward.astype(np.float32) if forward.dtype.kind in "fiu" else None
    if flow is None or not (np.abs(flow) < FARTHEST).all():
        raise MismatchError(
            f"{path}: a flow is real numbers in pixels, each below {FARTHEST:,}; this has others"
        )
    return resize_flow(flow, size)


def _require_same_shape(path: Path, found: tuple[int, int], size: tuple[int, int]) -> None:
    """Refuse a flow whose aspect ratio differs from the frames' by more than 2 % and rounding."""
    height, width = found
    rounding = 1 + 0.02 * width
    if abs(height * size[1] / size[0] - width) > rounding or 16 * height < size[0]:
        raise MismatchError(
            f"{path}: a flow of {width}×{height} doesn't fit frames of {size[1]}×{size[0]} (flow's "
            "working size); give flows of the frames' aspect ratio, at least 1/16 of their size"
        )


def list_flows(folder: Path, frames: int) -> list[Path]:
    """The flow files of a clip, ordered by their numbers: one for each frame except the last.

    If there is one for the last frame, it is ignored.

    Raises:
        InputError: the folder doesn't exist.
        MismatchError: the number of files is wrong.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder (a folder of .npy flows was expected)")
    files = sorted(folder.glob("*.npy"), key=natural_key)
    if len(files) not in (frames - 1, frames):
        raise MismatchError(
            f"{folder}: {len(files)} flows for a video of {frames} frames; "
            f"{frames - 1} are needed, each from one frame to the next"
        )
    return files[: frames - 1]
