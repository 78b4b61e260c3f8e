"""Convert a frame's prior to the network's planes, and planes to a mosaic."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pixel_shuffle

from rvdtool.network.calibrated import STRIDE, Planes, ReferencePlanes
from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.affinity import Prior
from rvdtool.reconstruct.flow import Flow
from rvdtool.reconstruct.statistics import Array
from rvdtool.video.frame import Rgb

BRIGHTEST = 0.7
"""Limit of the logarithm of a frame's brightness as an input of networks. Without it, three stops
more light cost 5 dB."""
_STATES = ((np.arange(8)[:, None] >> np.arange(3)) & 1).astype(np.float32)
"""Clip state → whether R, G, B is clipped."""


@dataclass(frozen=True)
class Packing:
    """How a mosaic is padded by reflection to RGGB geometry and multiples of the network's stride.

    Reflection about a photosite preserves its colour.

    Attributes:
        size: (height, width) of the mosaic.
        before: rows added above, columns added left.
        after: rows added below, columns added right.
    """

    size: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], phase: CfaPhase) -> Self:
        """Make the packing for mosaics of a size and a CFA phase."""
        red = np.argwhere(phase.pattern == 0)[0]
        # If red is in row 1, one row added above brings it to row 0 of a cell.
        before = (int(red[0]), int(red[1]))
        cell = 2 * STRIDE
        after = [-(side + added) % cell for side, added in zip(size, before, strict=True)]
        return cls(size, before, (after[0], after[1]))

    def places(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """For each row and column of the padded mosaic, its source row and column."""
        rows, columns = (
            np.pad(np.arange(side, dtype=np.uint64), (before, after), mode="reflect")
            for side, before, after in zip(self.size, self.before, self.after, strict=True)
        )
        return rows, columns

    def pack(self, maps: Array) -> Tensor:
        """Pack maps, [C, H, W] → [1, 4 C, h, w]; the position in the cell varies fastest."""
        (top, left), (bottom, right) = self.before, self.after
        if top or left or bottom or right:
            maps = np.pad(maps, ((0, 0), (top, bottom), (left, right)), mode="reflect")
        count, height, width = maps.shape
        # The same as torch's pixel_unshuffle, but faster.
        cells = maps.reshape(count, height // 2, 2, width // 2, 2).transpose(0, 2, 4, 1, 3)
        planes = np.ascontiguousarray(cells).reshape(1, 4 * count, height // 2, width // 2)
        return torch.from_numpy(planes)

    def unpack(self, planes: Tensor) -> Array:
        """Unpack planes to a mosaic, [1, 4, h, w] → [H, W]."""
        mosaic = pixel_shuffle(planes.float(), 2)[0, 0].cpu().numpy()
        (top, left), (height, width) = self.before, self.size
        return np.ascontiguousarray(mosaic[top : top + height, left : left + width])

    def pack_flow(self, flow: Flow) -> Tensor:
        """Convert a flow [H, W, 2] in pixels to cells of the deepest features,
        [1, 2, h / STRIDE, w / STRIDE]."""
        (top, left), (bottom, right) = self.before, self.after
        if top or left or bottom or right:
            flow = np.pad(flow, ((top, bottom), (left, right), (0, 0)), mode="edge")
        cell = 2 * STRIDE
        size = (flow.shape[1] // cell, flow.shape[0] // cell)
        small = cv2.resize(flow, size, interpolation=cv2.INTER_AREA) / np.float32(cell)
        return torch.from_numpy(small.transpose(2, 0, 1).copy())[None]


def pack_prior(packing: Packing, prior: Prior, rgb: Rgb, gain_tracked: bool) -> Planes:
    """The network's inputs for one frame.

    Args:
        packing: the packing for mosaics of this size and phase.
        prior: the frame's prior.
        rgb: the frame, uint8 or uint16 [H, W, 3].
        gain_tracked: whether changes of brightness are attributed to the ISP.
    """
    candidates = (prior.fit, prior.anchored, prior.previous, prior.warped)
    maps = np.stack(
        [
            *(candidate.value for candidate in candidates),
            *(candidate.variance for candidate in candidates),
            prior.first_fit,
            prior.previous_fit,
            prior.fine,
        ]
    ).astype(np.float32, copy=False)
    packed = _cells(packing.pack(maps))
    brightness = [[shown_brightness(prior), float(gain_tracked)]]
    return Planes(
        rgb=packing.pack(_unit(rgb)),
        clipped=packing.pack(_states(prior.clipped)),
        values=packed[:, :4],
        variances=packed[:, 4:8],
        fits=packed[:, 8:10],
        fine=packed[:, 10],
        flow=packing.pack_flow(prior.far),
        brightness=torch.tensor(brightness),
    )


def shown_brightness(prior: Prior) -> float:
    """Logarithm of a frame's brightness, limited to the range in training."""
    return float(np.clip(np.log(prior.brightness.value), -BRIGHTEST, BRIGHTEST))


def pack_reference(
    packing: Packing,
    rgb: Rgb,
    raw: Array,
    fit: Array,
    clipped: NDArray[np.uint8],
    variance: Array,
) -> ReferencePlanes:
    """The network's inputs for the reference frame.

    Args:
        packing: the packing for mosaics of this size and phase.
        rgb: the frame, uint8 or uint16 [H, W, 3].
        raw: its true normalised RAW, [H, W].
        fit: the inverse ISP's estimate of it, [H, W].
        clipped: its clip state, [H, W].
        variance: variance of the estimate's error, [H, W].
    """
    packed = _cells(packing.pack(np.stack([raw, fit, variance])))
    return ReferencePlanes(
        rgb=packing.pack(_unit(rgb)),
        clipped=packing.pack(_states(clipped)),
        raw=packed[:, 0],
        fit=packed[:, 1],
        variance=packed[:, 2],
    )


def _cells(packed: Tensor) -> Tensor:
    """Separate maps and cell positions, [1, 4 C, h, w] → [1, C, 4, h, w]."""
    return packed.reshape(1, -1, 4, *packed.shape[-2:])


def _unit(rgb: Rgb) -> Array:
    """Convert codes [H, W, 3] to [3, H, W] in 0..1."""
    return rgb.transpose(2, 0, 1).astype(np.float32) / np.float32(np.iinfo(rgb.dtype).max)


def _states(clipped: np.ndarray) -> Array:
    return _STATES[clipped].transpose(2, 0, 1)
