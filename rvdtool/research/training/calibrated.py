"""Train the calibrated FAGDN on frames of running chains, and validate it on whole chains."""

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from rvdtool.errors import UsageError
from rvdtool.network.calibrated import (
    SMALLEST,
    STRIDE,
    CalibratedConfig,
    CalibratedFagdn,
    fuse_planes,
)
from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.fusion import fuse
from rvdtool.reconstruct.learned import Learned
from rvdtool.reconstruct.packing import Packing, pack_reference
from rvdtool.research.dataset.rvd import RvdFolder
from rvdtool.research.training.crops import Crops, Sample, collate, whole
from rvdtool.research.training.evidence import (
    FEW,
    GAINS,
    EvidenceClip,
    require_same,
    write_evidence,
)
from rvdtool.research.training.pairs import count_frames
from rvdtool.research.training.task import (
    Outcome,
    Settings,
    TrainingTask,
    require_multiple,
    switched_off,
    switched_on,
)

SETTINGS = Settings(steps=7_500, batch=6, crop=256, rate=1e-3)
WARMUP = 300
"""Steps of linear warm-up; then the learning rate falls to a hundredth along half a cosine."""

SWITCHES = ("full_resolution", "warping", "confidence_map", "anchored", "calibrated")
CHAINED = "chained"


class CalibratedTask(TrainingTask):
    """Training of the calibrated FAGDN.

    The loss is the logarithm of the error, so that clips of 60 dB count as much as clips of 30 dB.
    """

    kind: ClassVar[str] = "fagdn-calibrated"
    figures: ClassVar[tuple[str, ...]] = ("fusion",)
    scores: ClassVar[tuple[str, ...]] = ("psnr", "fusion")
    clip: ClassVar[float | None] = 1.0
    average: ClassVar[float] = 0.999

    def __init__(
        self,
        folders: Sequence[RvdFolder],
        validation: RvdFolder | None,
        settings: Settings,
        evidence: Path,
        *,
        without: Sequence[str] = (),
        also: Sequence[str] = (),
        validation_frames: int | None = None,
        workers: int = 2,
        config: CalibratedConfig = CalibratedConfig(),
    ) -> None:
        """Set up the training, without reading data.

        Args:
            folders, validation: data sets for training and for validation.
            settings: length, batch size and rate of the training.
            evidence: folder for the videos' evidence, by name of folder and video.
            without: switches of the configuration to turn off, or `chained` to train with true
                previous RAWs.
            also: switches of the configuration to turn on.
            validation_frames: largest number of frames of each validation video.
            workers: number of reading threads.
            config: the network's configuration, before `without`.

        Raises:
            UsageError: an unknown switch, a crop that doesn't fit the network, or two folders of
                the same name.
        """
        require_multiple(settings.crop, 2 * STRIDE)
        on = switched_off(without, (*SWITCHES, CHAINED))
        self.switches = {CHAINED: on.pop(CHAINED)}
        changes: dict[str, Any] = {name: False for name, is_on in on.items() if not is_on}
        changes |= dict.fromkeys(switched_on(also, ("gla",)), True)
        self.config = replace(config, **changes)
        self.settings = settings
        self._folders, self._validation_folder = folders, validation
        self._evidence, self._frames, self._workers = evidence, validation_frames, workers
        roots = [folder.root.resolve() for folder in (*folders, *filter(None, [validation]))]
        if len({root.name for root in roots}) < len(set(roots)):
            raise UsageError(
                (
                    "two of the folders have the same name, which their evidence is stored by; "
                    "rename one:"
                )
                + ", ".join(str(root) for root in roots)
            )

    @property
    def _all(self) -> list[RvdFolder]:
        return [*self._folders, *filter(None, [self._validation_folder])]

    def count_preparations(self, processes: int) -> int:
        """Videos."""
        return math.ceil(sum(len(folder.videos) for folder in self._all) / processes)

    def prepare(self, rank: int, processes: int, advance: Callable[[int], None]) -> None:
        """Compute the videos' evidence; existing evidence must be of the same videos."""
        videos = [(folder, video) for folder in self._all for video in folder.videos]
        for folder, video in videos[rank::processes]:
            if len(video.frames) > 1:
                out = self._evidence / folder.root.resolve().name / video.video_name
                write_evidence(folder, video, out)
                require_same(EvidenceClip(out), folder, video)
            advance(1)

    def make_network(self) -> nn.Module:
        """As `TrainingTask.make_network`."""
        return CalibratedFagdn(self.config)

    def rate_at(self, step: int) -> float:
        """As `TrainingTask.rate_at`."""
        if step < WARMUP:
            return self.settings.rate * (step + 1) / WARMUP
        done = (step - WARMUP) / max(1, self.settings.steps - WARMUP)
        return self.settings.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1))))

    def begin(self, step: int, rank: int, processes: int) -> None:
        """As `TrainingTask.begin`."""
        clips = self._clips(self._folders)
        if not clips:
            raise UsageError("no training video has two frames")
        self._validation = self._clips(filter(None, [self._validation_folder]))
        settings = self.settings
        self._crops = Crops(clips, settings.crop, settings.seed, chained=self.switches[CHAINED])
        # Crops are numbered over all processes; this one reads every `processes`-th.
        self._numbers = itertools.count(step * settings.batch * processes + rank, processes)
        self._readers = ThreadPoolExecutor(self._workers)
        self._ahead = self._read_ahead()

    def _read_ahead(self) -> list[Future[Sample]]:
        """Start reading the crops of one more batch."""
        numbers = itertools.islice(self._numbers, self.settings.batch)
        return [self._readers.submit(self._crops.read, number) for number in numbers]

    def _clips(self, folders: Any) -> list[EvidenceClip]:
        return [
            EvidenceClip(self._evidence / folder.root.resolve().name / video.video_name)
            for folder in folders
            for video in folder.videos
            if len(video.frames) > 1
        ]

    def next_batch(self) -> Sample:
        """As `TrainingTask.next_batch`."""
        crops, self._ahead = self._ahead, self._read_ahead()
        return collate([crop.result() for crop in crops])

    def loss(self, network: CalibratedFagdn, batch: Sample) -> Outcome:
        """Mean over the crops of the error in dB, where each crop's MSE is added to its frame's.

        A frame's PSNR depends mostly on its worst regions, so this weights each crop by its share
        in the frame's error.
        """
        planes = batch.planes
        reference = network.encode_reference(batch.reference)
        value = network(planes, reference)
        with torch.no_grad():
            blend, _ = fuse_planes(planes.values, planes.variances.clamp_min(SMALLEST), planes.fine)
            true = as_bright(batch.true, blend, planes.clipped)
            fusion = _decibels(blend, true, batch.error)
        return Outcome(_decibels(value, true, batch.error), fusion.reshape(1))

    @property
    def validation(self) -> Sequence[str]:
        """As `TrainingTask.validation`."""
        return [clip.name for clip in self._validation]

    def validate(self, network: CalibratedFagdn, index: int) -> tuple[float, ...]:
        """PSNR of the network's chain and of the fusion's, see `TrainingTask.validate`."""
        return validate(network, self._validation[index], self._frames)

    def data(self) -> dict[str, JsonValue]:
        """As `TrainingTask.data`."""
        return count_frames(self._folders)


def as_bright(true: Tensor, blend: Tensor, clipped: Tensor) -> Tensor:
    """Scale the true RAW to the fusion's brightness, as measured where nothing is clipped.

    Changes of exposure that the ISP compensates aren't visible in the sRGB. A network that is
    trained to predict them can only memorise the training clips (docs/research/training-log.md).

    Args:
        true, blend: [B, 4, h, w].
        clipped: [B, 12, h, w], see `Planes`.
    """
    cells = clipped.reshape(clipped.shape[0], 3, 4, *clipped.shape[-2:])
    free = 1 - cells.amax(dim=1)
    both = (free * blend * true).sum(dim=(1, 2, 3))
    own = (free * true * true).sum(dim=(1, 2, 3))
    gain = (both / own.clamp_min(1e-6)).clamp(*GAINS)
    few = free.mean(dim=(1, 2, 3)) < FEW
    return true * torch.where(few, torch.ones_like(gain), gain)[:, None, None, None]


def _decibels(value: Tensor, true: Tensor, error: Tensor) -> Tensor:
    """Mean over the batch of 10 log10(MSE + error), scalar."""
    errors = ((value - true) ** 2).mean(dim=(1, 2, 3))
    return (errors + error + 1e-9).log10().mean() * 10


@torch.no_grad()
def validate(
    network: CalibratedFagdn, clip: EvidenceClip, frames: int | None = None
) -> tuple[float, float]:
    """Chained PSNR in dB of the network and of the fusion, mean over a clip's frames.

    It is measured on DN / (2^bits − 1) with peak 1, without the outermost rows and columns that
    are cropped for phase RGGB.

    Args:
        network: in evaluation mode.
        clip: the clip's evidence.
        frames: number of frames to use, including the first; None for all.
    """
    augmentation = whole(clip)
    first = clip.first(augmentation)
    packing = Packing.of((first.raw.shape[0], first.raw.shape[1]), CfaPhase.RGGB)
    reference = pack_reference(packing, *first)
    learned = Learned(network, packing, reference, clip.gain_tracked)
    black, white, bits = clip.levels
    scale = (white - black[0]) / (2**bits - 1)
    count = min(len(clip), frames or len(clip))
    psnr = np.zeros((2, count - 1))
    raw, variance = first.raw, np.zeros_like(first.raw)
    steps = np.float32(white - black[0])
    for index in range(1, count):
        true, exposure, rgb = (
            clip.raw(index, augmentation),
            clip.exposure(index),
            clip.rgb(index, augmentation),
        )
        prior = clip.evidence(index, augmentation).with_previous(raw, variance)
        fused, variance = fuse(prior)
        # The fusion comes last, since the chain continues with the last result.
        for way, value in enumerate((learned(prior, rgb), fused)):
            raw = np.round(np.clip(value * exposure, 0, 1) * steps) / steps / exposure
            error = float(((raw - true) ** 2).mean()) * (scale * exposure) ** 2
            psnr[way, index - 1] = -10 * math.log10(max(error, 1e-12))
    ours, fusion = psnr.mean(axis=1)
    return float(ours), float(fusion)
