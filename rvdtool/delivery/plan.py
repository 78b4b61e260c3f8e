"""Plans at which frames of a clip further RAWs help most.

A frame's expected PSNR is that of a run with the RAWs there are, plus what further RAWs save of the
loss that is expected from the video (`rvdtool.video.tones.loss`). The saving counts as far as the
loss shows in the expected PSNRs: by the ratio of what the frames around lack, compared with the
clip's best frame, to their loss. Of the two RAWs around a frame the better one counts: a blend of
both results is about as good.

The best plan saves most, the losses of the frames that get a RAW included. The mean of the other
frames would be a bad aim: the noise of single frames' values decides which of them to leave out.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.bundle.store import Bundle
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.run import make_clip
from rvdtool.errors import UsageError
from rvdtool.reconstruct.confidence import expected_psnr
from rvdtool.reconstruct.references import reconstruct, require_usable
from rvdtool.video.decode import read_frames
from rvdtool.video.frame import VideoFrame
from rvdtool.video.tones import Tones, loss, tones

MOST_PLACES = 250
"""In longer clips, only every second, third, … frame may get a RAW."""
_AROUND = 8.0
"""Standard deviation in frames of the weights of frames around: single frames' values are noisy."""
_LEAST_SHARE = 1e-3
"""Lower limit of the share of a loss that counts, so that RAWs spread evenly over frames that are
all equally good."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """Frames for further RAWs, and what to expect of the other frames.

    Attributes:
        frames: the frames that get a RAW, in ascending order.
        mean: mean expected PSNR in dB of all frames without a RAW.
        worst: the frame with the lowest expected PSNR, and that PSNR.
    """

    frames: tuple[int, ...]
    mean: float
    worst: tuple[int, float]


@dataclass(frozen=True)
class Outlook:
    """What a clip's frames look like, and what is expected of them.

    Attributes:
        known: frames that have a RAW, in ascending order; one at least.
        looks: tones of each frame, [N, 96].
        expected: expected PSNR of each frame in dB, [N]; −∞ for `known`, if nothing is known.
    """

    known: tuple[int, ...]
    looks: NDArray[np.float32]
    expected: Floats

    @property
    def every(self) -> int:
        """Every how many frames one may get a RAW: 1 for all but long clips."""
        return -(-len(self.looks) // MOST_PLACES)

    def plans(self, every: int = 0) -> Iterator[Plan]:
        """The best plan with no further RAW, then with 1, 2, …, until all possible frames have one.

        Exact for the losses expected (dynamic programming): RAWs only affect the frames up to the
        next one. The plans aren't nested.

        Args:
            every: every how many frames one may get a RAW, counted from 0; 0 for `self.every`.

        Raises:
            UsageError: every frame has a RAW.
        """
        count = len(self.looks)
        if len(self.known) == count:
            raise UsageError("every frame of the video has a RAW; there is nothing to plan")
        places = sorted({*self.known, *range(0, count, every or self.every)})
        chart = _Chart(self, places)
        values = chart.values()
        is_new = [False, *(place not in self.known for place in places), False]
        before = np.full(len(is_new), -np.inf)
        ways: list[NDArray[np.intp]] = []
        for further in range(sum(is_new) + 1):
            best, way = np.full(len(is_new), -np.inf), np.zeros(len(is_new), np.intp)
            best[0] = 0 if further == 0 else -np.inf
            for node in range(1, len(is_new)):
                sums = (before if is_new[node] else best)[:node] + values[:node, node]
                way[node] = sums.argmax()
                best[node] = sums[way[node]]
            ways.append(way)
            before = best
            nodes = _way_back(ways, is_new)
            if further + len(self.known) < count:
                yield self._plan([places[node - 1] for node in nodes], chart)

    def _plan(self, chosen: Sequence[int], chart: "_Chart") -> Plan:
        expected = chart.expected([-1, *chosen, len(self.looks)])
        expected[list(chosen)] = np.nan
        worst = int(np.nanargmin(expected))
        further = tuple(frame for frame in chosen if frame not in self.known)
        return Plan(further, float(np.nanmean(expected)), (worst, float(expected[worst])))


def _way_back(ways: Sequence[NDArray[np.intp]], is_new: Sequence[bool]) -> list[int]:
    """The nodes on the best way to the last node, without both ends."""
    layer, node = len(ways) - 1, len(is_new) - 1
    nodes: list[int] = []
    while True:
        layer, node = layer - is_new[node], int(ways[layer][node])
        if node == 0:
            return nodes[::-1]
        nodes.append(node)


class _Chart:
    """Expected PSNR of all frames between any two places of RAWs."""

    def __init__(self, outlook: Outlook, places: Sequence[int]) -> None:
        frames, looks = np.arange(len(outlook.looks)), outlook.looks
        none = np.full(len(looks), np.inf, np.float32)
        self._loss = {place: loss(frames - place, looks, looks[place]) for place in places}
        self._loss |= {-1: none, len(looks): none}
        self._known, self._places = outlook.known, places
        self._now = outlook.expected
        self._before = self._losses([-1, *outlook.known, len(looks)])
        lacks = np.where(self._before > 0, self._now.max() - self._now, 0)
        self._share = np.maximum(_around(lacks) / _around(self._before), _LEAST_SHARE)

    def expected(self, ends: Sequence[int]) -> Floats:
        """Expected PSNR in dB of each frame from `ends[0]` + 1 to `ends[-1]` − 1, if `ends` are the
        RAWs there, −1 and the number of frames standing for none."""
        span = slice(ends[0] + 1, ends[-1])
        saved = self._before[span] - self._losses(ends)
        return np.asarray(self._now[span] + self._share[span] * saved)

    def _losses(self, ends: Sequence[int]) -> Floats:
        parts = []
        for one, two in pairwise(ends):
            span = slice(one + 1, two + 1)
            parts.append(np.minimum(self._loss[one][span], self._loss[two][span]))
        whole = np.concatenate(parts)
        return whole[: ends[-1] - ends[0] - 1].astype(np.float64)

    def values(self) -> Floats:
        """What RAWs at two ends leave of the losses between them, negative; −∞ if there is a RAW
        between them already, or if neither end is one."""
        ends = [-1, *self._places, len(self._loss[-1])]
        values = np.full((len(ends), len(ends)), -np.inf)
        for row, one in enumerate(ends):
            for column in range(row + 1, len(ends)):
                two = ends[column]
                if (row, column) != (0, len(ends) - 1):
                    share = self._share[one + 1 : two]
                    values[row, column] = -(share * self._losses([one, two])).sum()
                if two in self._known:
                    break
        return values


def _around(values: Floats) -> Floats:
    """Weighted sum of the values around each."""
    row, size = values[None], (2 * int(3 * _AROUND) + 1, 1)
    return cv2.GaussianBlur(row, size, _AROUND, borderType=cv2.BORDER_CONSTANT)[0]


def look(bundle: Bundle, advance: Callable[[int], None]) -> Outlook:
    """Reconstruct a bundle's frames, without a network and without writing them.

    Args:
        bundle: an open bundle.
        advance: called with the number of frames just done.

    Raises:
        BundleError, MismatchError, VideoError: as in `derender_to_folder`.
    """
    clip = make_clip(bundle, DerenderOptions(), None)
    looks: list[Tones] = []
    expected = np.full(bundle.video_info.frame_count, -np.inf)
    frames = _looked_at(read_frames(bundle.checked_video(), bundle.video_info), looks)
    with closing(reconstruct(clip, frames, None, advance)) as results:
        for result in results:
            if result and result.expected is not None:
                expected[result.index] = expected_psnr(result.expected)
            if result and not result.counted:
                advance(1)
    known = tuple(reference.index for reference in bundle.references)
    expected[list(known)] = -np.inf  # one that was resampled has an expected PSNR, too
    return Outlook(known, np.array(looks), expected)


def look_at_video(frames: Iterable[VideoFrame], advance: Callable[[int], None]) -> Outlook:
    """What can be expected of a video alone, if its frame 0 had a RAW. PSNRs are relative.

    Args:
        frames: the whole video, in display order.
        advance: called with 1 for each frame.
    """
    looks: list[Tones] = []
    for _ in _looked_at(frames, looks):
        advance(1)
    shown = np.array(looks)
    return Outlook((0,), shown, -loss(np.arange(len(looks)), shown, shown[0]).astype(np.float64))


def raw_size(bundle: Bundle) -> int:
    """Bytes that a bundle's first RAW takes in it.

    Raises:
        BundleError: it has none.
    """
    require_usable(bundle.references, bundle.path)
    first = bundle.manifest.references[0]
    return first.raw.member.size + first.planes.member.size


def _looked_at(frames: Iterable[VideoFrame], looks: list[Tones]) -> Iterator[VideoFrame]:
    for frame in frames:
        looks.append(tones(frame.rgb))
        yield frame
