"""Crops of clips, followed frame by frame on the network's own predictions.

The paper trains on true previous RAWs but runs on its own. Here every training sample is a step of
a running chain: each stream follows one crop of one clip from frame 1 on, and what the network made
of a frame is the next frame's previous RAW. So the network learns on what it will be given, and
does so anew at every step.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rvdtool.dataset.augment import Move, draw, fit
from rvdtool.derender.packing import Packing, pack_prior, pack_reference
from rvdtool.derender.statistics import Array
from rvdtool.network.fagdn import Planes, ReferencePlanes
from rvdtool.raw.frame import CfaPhase
from rvdtool.training.evidence import EvidenceClip


class Sample(NamedTuple):
    """One step of one stream: what the network gets, and the true RAW [1, 4, h, w]."""

    planes: Planes
    reference: ReferencePlanes
    true: Tensor


class Stream:
    """Follows crops of clips chosen at random, one after the other."""

    def __init__(
        self,
        clips: Sequence[EvidenceClip],
        crop: int,
        seed: tuple[int, ...],
        *,
        begun: int = 0,
        chained: bool = True,
    ) -> None:
        """Begin at a random frame, so that streams aren't in step.

        Args:
            clips: to choose from, of 2 frames at least; longer ones are chosen as often as they
                have frames.
            crop: side of the crops in photosites.
            seed: of the choices, and which stream this is.
            begun: crops that were followed before.
            chained: whether the previous RAW is what the network made of it, or the true one.
        """
        self._clips = clips
        self._crop = crop
        self._seed = seed
        self._begun = begun
        self._chained = chained
        lengths = np.array([len(clip) for clip in clips], np.float64)
        self._chances = lengths / lengths.sum()
        self._packing = Packing.of((crop, crop), CfaPhase.RGGB)
        rng = self._begin()
        self._index = int(rng.integers(0, len(self._clip) - 1))
        self._raw: Array = self._clip.raw(self._index, self._move)

    def _begin(self) -> np.random.Generator:
        # A generator of its own for each crop: its number is all that has to be kept.
        rng = np.random.default_rng([*self._seed, self._begun])
        self._begun += 1
        self._clip = self._clips[rng.choice(len(self._clips), p=self._chances)]
        self._move: Move = draw(rng, self._clip.size, (self._crop, self._crop), self._clip.phase)
        first = self._clip.first(self._move)
        self._reference = pack_reference(
            self._packing, first.rgb, first.raw, first.estimate, first.variance
        )
        self._index = 0
        self._raw = first.raw
        self._variance = np.zeros_like(first.raw)
        return rng

    def position(self) -> dict[str, Tensor]:
        """Where the stream stands: all that `restore` needs."""
        return {
            "begun": torch.tensor(self._begun),
            "index": torch.tensor(self._index),
            "raw": torch.from_numpy(self._raw),
            "variance": torch.from_numpy(self._variance),
        }

    def restore(self, position: Mapping[str, Tensor]) -> None:
        """Go on where another stream of the same clips, crop and seed stood."""
        self._begun = int(position["begun"]) - 1
        self._begin()
        self._index = int(position["index"])
        self._raw = position["raw"].numpy()
        self._variance = position["variance"].numpy()

    def sample(self) -> Sample:
        """The next frame; `keep` has to follow."""
        if self._index + 1 >= len(self._clip):
            self._begin()
        self._index += 1
        clip, move = self._clip, self._move
        prior = clip.evidence(self._index, move).with_previous(self._raw, self._variance)
        planes = pack_prior(self._packing, prior, clip.rgb(self._index, move), clip.gain_tracked)
        true = self._packing.pack(clip.raw(self._index, move)[None])
        return Sample(planes, self._reference, true)

    def keep(self, value: Tensor, variance: Tensor) -> None:
        """Take what the network made of the sample as the state, as the chain does.

        Args:
            value, variance: [1, 4, h, w].
        """
        if not self._chained:
            self._raw = self._clip.raw(self._index, self._move)
            return
        exposure = np.float32(self._clip.exposure(self._index))
        white, black = self._clip.levels[1], self._clip.levels[0][0]
        steps = np.float32(white - black)
        raw = np.clip(self._packing.unpack(value) * exposure, 0, 1)
        self._raw = np.round(raw * steps) / steps / exposure
        self._variance = self._packing.unpack(variance)


def whole(clip: EvidenceClip) -> Move:
    """The largest crop of a clip that begins with red and has even sides."""
    height, width = clip.size
    red = np.argwhere(clip.phase.pattern == 0)[0]
    crop = ((height - int(red[0])) // 8 * 8, (width - int(red[1])) // 8 * 8)
    return fit(clip.size, crop, clip.phase, at=(0, 0))


def collate(samples: Sequence[Sample]) -> Sample:
    """Samples of streams of one crop size, as one batch."""
    return Sample(
        Planes(*map(torch.cat, zip(*(sample.planes for sample in samples), strict=True))),
        ReferencePlanes(
            *map(torch.cat, zip(*(sample.reference for sample in samples), strict=True))
        ),
        torch.cat([sample.true for sample in samples]),
    )
