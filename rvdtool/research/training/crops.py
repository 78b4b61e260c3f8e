"""Random crops of clips' frames, each with the inputs that the chain gives the network.

The paper trains with the true previous RAW, but runs with the network's own. Here, the previous
RAW is the result of the training-free chain for that frame (`rvdtool.research.training.evidence`).
The network gets the same at run time, since it works on that chain, so its errors are the same in
training. As no frame depends on the network, batches can mix frames of all clips.
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
from rvdtool.research.dataset.augment import Augmentation, draw, fit
from rvdtool.research.training.corrupt import with_corrupted_flow
from rvdtool.research.training.evidence import EvidenceClip

CORRUPTED_SHARE = 0.5
"""Fraction of the crops in which a region of the flow to the reference frame is corrupted. In the
training scenes, the flow of clipped areas is rarely wrong, and without this the network would
trust it there too much."""
ON_CLIPPED = 0.5
"""Fraction of those crops in which the region is centred on a clipped photosite (if any)."""


class Sample(NamedTuple):
    """The network's inputs, the true RAW [B, 4, h, w], and the training-free chain's mean squared
    error over the whole frames [B]."""

    planes: Planes
    reference: ReferencePlanes
    true: Tensor
    error: Tensor


class Crops:
    """Numbered random crops, which depend only on the seed and their number."""

    def __init__(
        self, clips: Sequence[EvidenceClip], crop: int, seed: int, *, chained: bool = True
    ) -> None:
        """Set up, without reading data.

        Args:
            clips: the clips, of at least 2 frames; chosen in proportion to their length.
            crop: side of the crops in photosites.
            seed: seed of the random choices.
            chained: whether the previous RAW is the chain's result, or the true RAW.
        """
        self._clips, self._crop, self._seed, self._chained = clips, crop, seed, chained
        lengths = np.array([len(clip) - 1 for clip in clips], np.float64)
        self._chances = lengths / lengths.sum()
        self._packing = Packing.of((crop, crop), CfaPhase.RGGB)

    def read(self, number: int) -> Sample:
        """Read one crop, as a batch of one.

        Raises:
            InputError: the evidence is damaged.
        """
        rng = np.random.default_rng([self._seed, number])
        clip = self._clips[rng.choice(len(self._clips), p=self._chances)]
        augmentation = draw(rng, clip.size, (self._crop, self._crop), clip.phase)
        index = int(rng.integers(1, len(clip)))
        first = clip.first(augmentation)
        raw, variance = clip.state(index - 1, augmentation)
        if not self._chained:
            raw, variance = clip.raw(index - 1, augmentation), np.zeros_like(variance)
        evidence = clip.evidence(index, augmentation)
        if rng.uniform() < CORRUPTED_SHARE:
            evidence = with_corrupted_flow(
                evidence, _blob(rng, evidence.clipped > 0), _shift(rng, self._crop)
            )
        prior = evidence.with_previous(raw, variance)
        return Sample(
            pack_prior(self._packing, prior, clip.rgb(index, augmentation), clip.gain_tracked),
            pack_reference(self._packing, *first),
            self._packing.pack(torch.from_numpy(clip.raw(index, augmentation))[None]),
            torch.tensor([clip.error(index)]),
        )


def _blob(rng: np.random.Generator, clipped: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mask of a random ellipse, which may be centred on a clipped photosite, or of its outside."""
    shape = clipped.shape
    axes = rng.uniform(0.1, 0.6, 2) * shape
    center = rng.uniform(0, 1, 2) * shape
    if rng.uniform() < ON_CLIPPED and clipped.any():
        center = rng.choice(np.argwhere(clipped))
    places = np.indices(shape).transpose(1, 2, 0) - center
    inside = ((places / axes) ** 2).sum(axis=-1) < 1
    return inside if rng.uniform() < 0.8 else ~inside


def _shift(rng: np.random.Generator, crop: int) -> tuple[int, int]:
    """A random shift in photosites, even so that the CFA phase is kept."""
    rows, columns = rng.integers(-crop // 4, crop // 4 + 1, 2)
    return 2 * int(rows), 2 * int(columns)


def whole(clip: EvidenceClip) -> Augmentation:
    """The largest crop of a clip with phase RGGB and even sides."""
    height, width = clip.size
    red = np.argwhere(clip.phase.pattern == 0)[0]
    crop = ((height - int(red[0])) // 8 * 8, (width - int(red[1])) // 8 * 8)
    return fit(clip.size, crop, clip.phase, at=(0, 0))


def collate(samples: Sequence[Sample]) -> Sample:
    """Join samples of the same crop size to one batch."""
    return Sample(
        Planes(*map(torch.cat, zip(*(sample.planes for sample in samples), strict=True))),
        ReferencePlanes(
            *map(torch.cat, zip(*(sample.reference for sample in samples), strict=True))
        ),
        torch.cat([sample.true for sample in samples]),
        torch.cat([sample.error for sample in samples]),
    )
