"""The chain of the paper's FAGDN: how its authors run the network over a clip.

    sRGB and flow to half size → everything padded with zeros → network → padding zeroed → state

Sources: github.com/zhangchen98/RAW_CVPR24 at 874cfd8, dataset/dataset.py (its test data set) and
main.py (`test`). Unlike `rvdtool.reconstruct.chain`, it doesn't subtract the black level, has no
calibration, uses no reference but the first frame, and doesn't quantise its state. Clips that the
authors' code doesn't support (odd sides, CFA phases other than RGGB, 16-bit sRGB) are converted to
RGGB geometry by `rvdtool.raw.bayer.to_planes`.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rvdtool.errors import MismatchError, ModelError
from rvdtool.fagdn.network import MULTIPLE, Fagdn
from rvdtool.raw.bayer import from_planes, to_planes
from rvdtool.raw.frame import CfaPhase, Mosaic, RawFrame
from rvdtool.reconstruct.flow import (
    Flow,
    estimate_flow,
    flow_image,
    read_flow_to_next,
    resize_flow,
)
from rvdtool.reconstruct.motion import Grey
from rvdtool.reconstruct.pipeline import ReadAhead
from rvdtool.reconstruct.references import Clip, Result, Start
from rvdtool.reconstruct.resuming import checked_state
from rvdtool.reconstruct.statistics import Array
from rvdtool.video.frame import Rgb, VideoFrame

FlowToNext = Callable[[int, tuple[int, int]], Flow]
"""A source of flows: (index of the current frame, (height, width)) → flow of that size from the
*previous* frame to the current one, as the authors' warp needs it."""


@dataclass(frozen=True)
class FagdnState:
    """The state of the chain after a frame, as needed for the next frame.

    Attributes:
        index: number of the frame.
        planes: its RAW as output by the network, DN / (2^bits − 1), padding zeroed, [4, h, w].
        srgb: its sRGB at half size, 0..1, padded, [3, h, w].
        grey: its grey picture for flow estimation.
    """

    index: int
    planes: Array
    srgb: Array
    grey: Grey


@dataclass(frozen=True)
class FagdnObservation:
    """The network's inputs from the sRGB video: fields as in the state, and flow [2, h, w]."""

    index: int
    srgb: Array
    grey: Grey
    flow: Array


class FagdnChain:
    """De-renders a clip frame by frame in display order, as `rvdtool.reconstruct.chain.Chain` does.

    `step` is `observe` followed by `advance`; `observe` may run ahead in another thread.
    """

    def __init__(
        self,
        network: nn.Module,
        reference: RawFrame,
        rgb: Rgb,
        flow: FlowToNext | None = None,
    ) -> None:
        """Start at the reference frame.

        Args:
            network: a `Fagdn` on any device, in evaluation mode; float32, or bfloat16 for speed.
            reference: the true RAW of the reference frame, on the video's grid.
            rgb: the reference frame, uint8 or uint16 [H, W, 3].
            flow: source of the flows between consecutive frames; None to estimate them.

        Raises:
            ModelError: `network` isn't a `Fagdn`.
            MismatchError: RAW and video frame differ in size.
        """
        if not isinstance(network, Fagdn):
            raise ModelError(f"FagdnChain runs a Fagdn; got {type(network).__name__}")
        if reference.size != rgb.shape[:2]:
            raise MismatchError(
                f"the RAW frame has {reference.size[1]}×{reference.size[0]} photosites, the video "
                f"{rgb.shape[1]}×{rgb.shape[0]} pixels; they must be equal"
            )
        self._network = network
        self._device = next(network.parameters()).device
        self._reference = reference
        self._scale = np.float32(2**reference.bits - 1)
        self._flow = flow
        # The black level isn't subtracted (dataset.py: to_tensor).
        planes = to_planes(reference.mosaic, reference.phase).astype(np.float32) / self._scale
        self._size = (planes.shape[1], planes.shape[2])
        self.state = FagdnState(
            0, pad(planes), pad(half_size(rgb, reference.phase)), flow_image(rgb)
        )
        self._observed = (0, self.state.grey)

    def resume(self, state: FagdnState) -> None:
        """Continue after `state`, which an earlier run of the same chain saved."""
        self.state = state
        self._observed = (state.index, state.grey)

    def step(self, rgb: Rgb) -> FagdnState:
        """De-render the next frame, and return it as the new state.

        Args:
            rgb: uint8 or uint16 [H, W, 3], of the reference frame's size.
        """
        return self.advance(self.observe(rgb))

    def observe(self, rgb: Rgb) -> FagdnObservation:
        """Convert the next unobserved frame and its flow to the network's inputs.

        Args:
            rgb: uint8 or uint16 [H, W, 3], of the reference frame's size.
        """
        (past, previous), phase, size = self._observed, self._reference.phase, self._reference.size
        grey = flow_image(rgb)
        if self._flow is None:
            flow = resize_flow(estimate_flow(previous, grey), size)
        else:
            flow = self._flow(past + 1, size)
        self._observed = (past + 1, grey)
        srgb = pad(half_size(rgb, phase))
        # Flow in half-size pixels (dataset.py divides by the sides, resizes and multiplies).
        halved = np.float32(0.5) * _means(flow, phase)
        return FagdnObservation(past + 1, srgb, grey, pad(halved))

    def advance(self, observation: FagdnObservation) -> FagdnState:
        """De-render the frame after the current state; return it as the new state."""
        inputs = (self.state.srgb, observation.srgb, self.state.planes, observation.flow)
        with torch.inference_mode():
            predicted, _ = self._network(*(self._tensor(array) for array in inputs))
        planes = predicted[0].float().cpu().numpy()
        self.state = FagdnState(
            observation.index, zero_padding(planes, self._size), observation.srgb, observation.grey
        )
        return self.state

    def values(self) -> Array:
        """The last frame's RAW in DN without rounding, float32 [H, W].

        The authors' metric truncates it to uint16 (main.py), which is half a DN too dark on
        average; `mosaic` rounds.
        """
        top, left = _margins(self._size)
        height, width = self._size
        inner = self.state.planes[:, top : top + height, left : left + width] * self._scale
        return from_planes(inner, self._reference.phase, self._reference.size)

    def mosaic(self) -> Mosaic:
        """The last frame's RAW in DN, rounded and clipped to 0..white, uint16 [H, W]."""
        if self.state.index == 0:
            return self._reference.mosaic
        return np.clip(np.rint(self.values()), 0, self._reference.white).astype(np.uint16)

    def _tensor(self, array: Array) -> Tensor:
        tensor = torch.from_numpy(array)[None].to(self._device)
        return tensor.contiguous(memory_format=torch.channels_last)


def reconstruct_fagdn(
    network: nn.Module, clip: Clip, frames: Iterable[VideoFrame], start: Start | None = None
) -> Generator[Result | None]:
    """Yield each frame in display order; None for frames that an earlier run has finished.

    The chain runs forward and restarts at every reference frame. (The authors' code has only one,
    frame 0.)

    Args:
        network: the network, see `FagdnChain`.
        clip: the clip's references; the first must belong to frame 0. Its gain and exposures
            aren't used.
        frames: the whole video, in display order.
        start: the state at which an earlier run of the same clip stopped.

    Raises:
        ModelError: `network` isn't a `Fagdn`.
        BundleError: a reference is damaged.
        MismatchError, InputError: see `FagdnChain` and `read_flow_to_next`.
    """
    done = -1 if start is None else start.index
    references = {reference.index: reference for reference in clip.references}
    chain: FagdnChain | None = None
    with ReadAhead(frames) as decoded:
        for frame in decoded:
            reference = references.get(frame.index)
            if reference is not None or chain is None:
                # A copy, since the bundle's array would keep the whole frame in memory.
                raw = replace(reference or clip.references[0]).frame
                flow = _flow_to_next(clip.flows, frame.index)
                chain, begin = FagdnChain(network, raw, frame.rgb, flow), frame.index
            elif frame.index > done:
                chain.step(frame.rgb)
            elif frame.index == done and start and isinstance(start.state, FagdnState):
                chain.resume(checked_state(start.state, chain.state, frame.index - begin))
            if frame.index <= done:
                yield None
                continue
            result = raw.with_mosaic(chain.mosaic())
            if clip.made and reference is None:
                clip.made(result, frame.index)
            yield Result(frame.index, result, state=chain.state, is_reference=reference is not None)


def _flow_to_next(files: Sequence[Path] | None, begin: int) -> FlowToNext | None:
    """A source of flows from files, for a chain that starts at frame `begin`."""
    if files is None:
        return None
    return lambda index, size: read_flow_to_next(files[begin + index - 1], size)


def half_size(rgb: Rgb, phase: CfaPhase) -> Array:
    """sRGB on the planes' grid, [3, h, w], 0..1.

    Bilinear resizing to half size (dataset.py: cv2.resize) is the mean of 2×2 pixels; here, of the
    pixels of one RGGB cell.
    """
    return _means(rgb, phase) / np.float32(np.iinfo(rgb.dtype).max)


def pad(planes: Array) -> Array:
    """Pad [C, h, w] with zeros on all sides to multiples of 32 (pad_to_multiple_of)."""
    size = (planes.shape[1], planes.shape[2])
    (top, left), (bottom, right) = _margins(size), (-side % MULTIPLE for side in size)
    return np.pad(planes, ((0, 0), (top, bottom - top), (left, right - left)))


def zero_padding(planes: Array, size: tuple[int, int]) -> Array:
    """Zero the padding in the network's output as main.py does: the smaller margin, on both sides.

    If the total padding is odd, one row or column at the bottom or right isn't zeroed and affects
    the next frame.

    Args:
        planes: padded planes, [4, h, w].
        size: size of the planes before padding.
    """
    result = np.zeros_like(planes)
    top, left = _margins(size)
    height, width = planes.shape[1:]
    kept = (slice(None), slice(top, height - top), slice(left, width - left))
    result[kept] = planes[kept]
    return result


def _margins(size: tuple[int, int]) -> tuple[int, int]:
    """Rows above and columns left that `pad` adds to planes of `size`."""
    return (-size[0] % MULTIPLE) // 2, (-size[1] % MULTIPLE) // 2


def _means(image: NDArray[np.uint8] | NDArray[np.uint16] | Array, phase: CfaPhase) -> Array:
    """Means over the pixels of each RGGB cell: [H, W, C] → float32 [C, h, w]."""
    channels = [to_planes(channel, phase) for channel in np.moveaxis(image, 2, 0)]
    return np.stack([channel.mean(axis=0, dtype=np.float32) for channel in channels])
