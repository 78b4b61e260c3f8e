"""Blocks that still show what the reference frame shows, even if their tone has changed since.

A smooth surface whose tone changes has nothing that certainly identifies it in the reference frame:
without texture, another tone is like another surface. But from frame to frame, tone changes little.
So a surface is followed: a block certainly shows the same as the reference frame if the block that
it shows in the previous frame did, and if both have the same colour and nearly the same brightness.
A surface that something else uncovers differs from what was there before, so it isn't followed.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.brightness import BLOCK, block_means
from rvdtool.reconstruct.flow import Flow, compose, nearest, outside, resize_flow, sample
from rvdtool.reconstruct.motion import Motion
from rvdtool.reconstruct.statistics import Array

TONE = np.float32(0.12)
"""Largest change of a block's brightness (log) from frame to frame."""
HUE = np.float32(0.05)
"""Largest difference (log) between that change and the change of a single colour."""
ELSEWHERE = np.float32(0.05)
"""Largest difference (log) of the reference RAW between the places that two flows lead to."""
FULL = np.float32(0.95)
"""RAW above this, 0..1, may be saturated, so its ratio to the fit isn't due to tone."""
_DARK = np.float32(0.004)
"""Added to intensities, 0..1, before the logarithm, so that noise matters less."""


class Levels(NamedTuple):
    """The reference frame's blocks, [H//8, W//8] each.

    Attributes:
        log: logarithms of the RAW's means.
        full: fraction that may be saturated, 0..1.
    """

    log: Array
    full: Array

    @classmethod
    def of(cls, raw: Array) -> Self:
        """Those of the normalised RAW, [H, W]."""
        full = block_means((raw > FULL).astype(np.float32))
        return cls(np.log(np.maximum(block_means(raw), 0) + _DARK), full)


@dataclass(frozen=True)
class Tracked:
    """What is known of a frame's blocks; h = H//8, w = W//8.

    Attributes:
        same: whether they certainly show the same as the reference frame, bool [h, w].
        colors: logarithms of the means of the estimate by position in the CFA cell, without
            correction of brightness or tone, [h, w, 4].
    """

    same: NDArray[np.bool_]
    colors: Array

    @classmethod
    def of(cls, estimate: Array, same: NDArray[np.bool_]) -> Self:
        """What is known if the blocks `same` show the same as the reference frame.

        Args:
            estimate: the frame's inverse ISP, [H, W].
            same: bool [H//8, W//8].
        """
        height, width = (side // BLOCK * BLOCK for side in estimate.shape)
        positions = [estimate[y:height:2, x:width:2] for y in range(2) for x in range(2)]
        means = cv2.resize(
            np.dstack(positions), (width // BLOCK, height // BLOCK), interpolation=cv2.INTER_AREA
        )
        return cls(same, np.log(np.maximum(means, 0) + _DARK))

    def follow(
        self,
        next_one: "Tracked",
        free: NDArray[np.bool_],
        motion: Motion,
        far: Flow,
        levels: Levels,
    ) -> "Tracked":
        """The next frame's blocks, with those that it still shows.

        Args:
            next_one: its blocks, with those that certainly show the same without being followed.
            free: those that aren't clipped in either frame, bool [h, w].
            motion: its flows.
            far: this frame's flow to the reference frame.
            levels: those of the reference frame.
        """
        if motion.cut or motion.lost:
            return next_one
        size = self.same.shape[0], self.same.shape[1]
        near, now_far, far = (resize_flow(flow, size) for flow in (motion.near, motion.far, far))
        source, inside = nearest(near)
        same = self.same[source] & free & inside & ~outside(now_far)
        if not same.any():
            return next_one
        change = next_one.colors - sample(self.colors, near)
        tone = change.mean(axis=-1)
        apart = sample(levels.log, now_far) - sample(levels.log, compose(near, far))
        same &= np.abs(tone - np.median(tone[same])) < TONE
        same &= np.abs(change - tone[..., None]).max(axis=-1) < HUE
        same &= np.abs(apart) < ELSEWHERE
        same &= sample(levels.full, now_far) < 0.01
        return Tracked(next_one.same | same, next_one.colors)
