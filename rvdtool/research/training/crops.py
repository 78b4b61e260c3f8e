"""Crops of clips' frames at random, each with the prior that the chain gives it there.

The paper trains on true previous RAWs but runs on its own. Here the previous RAW is what the
training-free chain made of that frame (`rvdtool.research.training.evidence`): as good and as bad,
after as many frames, as what the network will be given, since it is that chain it answers beside.
So batches may mix frames of all clips freely.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rvdtool.network.calibrated import Planes, ReferencePlanes
from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.packing import Packing, pack_prior, pack_reference
from rvdtool.research.dataset.augment import Move, draw, fit
from rvdtool.research.training.evidence import EvidenceClip

MISLED = 0.5
"""Share of the crops in which the flow to the reference frame is made wrong in places. It seldom
is where the training scenes are clipped; so a network believes it there, also when it shouldn't."""
ON_CLIPPED = 0.5
"""Share of those in which the middle of such a place is clipped, if anything in the crop is."""


class Sample(NamedTuple):
    """What the network gets, the true RAW [B, 4, h, w], and the training-free chain's squared error
    in the whole frames [B]."""

    planes: Planes
    reference: ReferencePlanes
    true: Tensor
    error: Tensor


class Crops:
    """Crop 0, 1, …: all follow from the seed."""

    def __init__(
        self, clips: Sequence[EvidenceClip], crop: int, seed: int, *, chained: bool = True
    ) -> None:
        """Nothing is read yet.

        Args:
            clips: to choose from, of 2 frames at least; longer ones are chosen as often as they
                have frames.
            crop: side of the crops in photosites.
            seed: of the choices.
            chained: whether the previous RAW is what the chain made of it, or the true one.
        """
        self._clips, self._crop, self._seed, self._chained = clips, crop, seed, chained
        lengths = np.array([len(clip) - 1 for clip in clips], np.float64)
        self._chances = lengths / lengths.sum()
        self._packing = Packing.of((crop, crop), CfaPhase.RGGB)

    def read(self, number: int) -> Sample:
        """One crop, as a batch of one.

        Raises:
            InputError: the evidence is damaged.
        """
        rng = np.random.default_rng([self._seed, number])
        clip = self._clips[rng.choice(len(self._clips), p=self._chances)]
        move = draw(rng, clip.size, (self._crop, self._crop), clip.phase)
        index = int(rng.integers(1, len(clip)))
        first = clip.first(move)
        raw, variance = clip.state(index - 1, move)
        if not self._chained:
            raw, variance = clip.raw(index - 1, move), np.zeros_like(variance)
        evidence = clip.evidence(index, move)
        if rng.uniform() < MISLED:
            evidence = evidence.with_corrupted_flow(
                _blob(rng, evidence.clipped > 0), _shift(rng, self._crop)
            )
        prior = evidence.with_previous(raw, variance)
        return Sample(
            pack_prior(self._packing, prior, clip.rgb(index, move), clip.gain_tracked),
            pack_reference(self._packing, first.rgb, first.raw, first.estimate, first.variance),
            self._packing.pack(clip.raw(index, move)[None]),
            torch.tensor([clip.error(index)]),
        )


def _blob(rng: np.random.Generator, clipped: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """An ellipse anywhere or on what is clipped, or what lies outside it."""
    shape = clipped.shape
    axes = rng.uniform(0.1, 0.6, 2) * shape
    center = rng.uniform(0, 1, 2) * shape
    if rng.uniform() < ON_CLIPPED and clipped.any():
        center = rng.choice(np.argwhere(clipped))
    places = np.indices(shape).transpose(1, 2, 0) - center
    inside = ((places / axes) ** 2).sum(axis=-1) < 1
    return inside if rng.uniform() < 0.8 else ~inside


def _shift(rng: np.random.Generator, crop: int) -> tuple[int, int]:
    """Even, so that colours stay."""
    rows, columns = rng.integers(-crop // 4, crop // 4 + 1, 2)
    return 2 * int(rows), 2 * int(columns)


def whole(clip: EvidenceClip) -> Move:
    """The largest crop of a clip that begins with red and has even sides."""
    height, width = clip.size
    red = np.argwhere(clip.phase.pattern == 0)[0]
    crop = ((height - int(red[0])) // 8 * 8, (width - int(red[1])) // 8 * 8)
    return fit(clip.size, crop, clip.phase, at=(0, 0))


def collate(samples: Sequence[Sample]) -> Sample:
    """Samples of one crop size, as one batch."""
    return Sample(
        Planes(*map(torch.cat, zip(*(sample.planes for sample in samples), strict=True))),
        ReferencePlanes(
            *map(torch.cat, zip(*(sample.reference for sample in samples), strict=True))
        ),
        torch.cat([sample.true for sample in samples]),
        torch.cat([sample.error for sample in samples]),
    )
