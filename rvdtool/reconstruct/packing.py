"""Convert a frame's prior to the network's planes, and planes to a mosaic."""

from dataclasses import dataclass
from typing import Any, Self

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
Device = torch.device | str


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

    def pack(self, maps: Tensor) -> Tensor:
        """Pack maps, [C, H, W] → [1, 4 C, h, w]; the position in the cell varies fastest."""
        for dimension, (place, before, side) in enumerate(
            zip(self.places(), self.before, self.size, strict=True), start=1
        ):
            if len(place) > side:
                source = torch.from_numpy(place.astype(np.int64)).to(maps.device)
                added = (source[:before], source[before + side :])
                first, last = (maps.index_select(dimension, part) for part in added)
                maps = torch.cat([first, maps, last], dim=dimension)
        # The same as pixel_unshuffle, which is slower on CPUs.
        corners = [maps[:, row::2, column::2] for row in range(2) for column in range(2)]
        return torch.stack(corners, dim=1).flatten(0, 1)[None]

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


def pack_prior(
    packing: Packing, prior: Prior, rgb: Rgb, gain_tracked: bool, device: Device = "cpu"
) -> Planes:
    """The network's inputs for one frame.

    Args:
        packing: the packing for mosaics of this size and phase.
        prior: the frame's prior.
        rgb: the frame, uint8 or uint16 [H, W, 3].
        gain_tracked: whether changes of brightness are attributed to the ISP.
        device: where the inputs are computed.
    """
    candidates = (prior.fit, prior.anchored, prior.previous, prior.warped)
    maps = (
        *(candidate.value for candidate in candidates),
        *(candidate.variance for candidate in candidates),
        prior.first_fit,
        prior.previous_fit,
        prior.fine,
    )
    packed = _cells(packing.pack(torch.stack([_there(one, device) for one in maps])))
    brightness = [[shown_brightness(prior), float(gain_tracked)]]
    return Planes(
        rgb=_shown(packing, rgb, device),
        clipped=_states(packing, prior.clipped, device),
        values=packed[:, :4],
        variances=packed[:, 4:8],
        fits=packed[:, 8:10],
        fine=packed[:, 10],
        flow=packing.pack_flow(prior.far).to(device),
        brightness=torch.tensor(brightness, device=device),
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
    packed = _cells(packing.pack(torch.from_numpy(np.stack([raw, fit, variance]))))
    return ReferencePlanes(
        rgb=_shown(packing, rgb),
        clipped=_states(packing, clipped),
        raw=packed[:, 0],
        fit=packed[:, 1],
        variance=packed[:, 2],
    )


def _there(array: NDArray[Any], device: Device) -> Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device)


def _cells(packed: Tensor) -> Tensor:
    """Separate maps and cell positions, [1, 4 C, h, w] → [1, C, 4, h, w]."""
    return packed.reshape(1, -1, 4, *packed.shape[-2:])


def _shown(packing: Packing, rgb: Rgb, device: Device = "cpu") -> Tensor:
    """Convert codes [H, W, 3] to 0..1, packed, [1, 12, h, w]."""
    codes = rgb if rgb.dtype == np.uint8 else rgb.astype(np.int32)  # not all devices have uint16
    packed = packing.pack(_there(codes, device).permute(2, 0, 1))
    return packed.float() / float(np.iinfo(rgb.dtype).max)


def _states(packing: Packing, clipped: NDArray[np.uint8], device: Device = "cpu") -> Tensor:
    """Convert clip states [H, W] to whether R, G, B is clipped, 0 or 1, packed, [1, 12, h, w]."""
    packed = packing.pack(_there(clipped, device)[None])
    return torch.cat([(packed >> channel) & 1 for channel in range(3)], dim=1).float()
