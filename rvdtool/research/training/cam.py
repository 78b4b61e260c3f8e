"""Train CAM, which gets RAW samples of every frame, as described in its paper."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvdtool.fagdn.chain import half_size
from rvdtool.raw.bayer import denormalise, from_planes, normalise, to_planes
from rvdtool.research.dataset.loader import Snippet
from rvdtool.research.dataset.rvd import RvdFolder
from rvdtool.research.peers.cam import POOLINGS, Cam, CamConfig, CamLossOptions, cam_loss
from rvdtool.research.training.pairs import CropTask, half_srgb, score, stack
from rvdtool.research.training.task import Outcome, Settings, require_multiple, switched_off

EPOCHS = 60
SETTINGS = Settings(steps=1, batch=128, crop=256, rate=1e-3)
"""Patches of 128 packed pixels, and Adam with a constant rate of 1e-3. The number of steps follows
from `EPOCHS`, which the paper doesn't state, and the data."""

META = "meta"


class FrameBatch(NamedTuple):
    """A batch of single frames: sRGB [B, 3, h, w] and RAW [B, 4, h, w]."""

    srgb: Tensor
    raw: Tensor


class CamTask(CropTask):
    """Training of CAM; the loss has an L1 term, a superpixel term, and a meta term that prepares
    the network for fine-tuning."""

    kind: ClassVar[str] = "cam"
    figures: ClassVar[tuple[str, ...]] = ("l1", "slic", "meta")
    length: ClassVar[int] = 1

    def __init__(
        self,
        folders: Sequence[RvdFolder],
        validation: RvdFolder | None,
        settings: Settings,
        *,
        without: Sequence[str] = (),
        validation_frames: int | None = None,
        workers: int = 2,
        config: CamConfig = CamConfig(),
    ) -> None:
        """Set up the training, without reading data.

        Args:
            folders, validation: data sets for training and for validation.
            settings: length, batch size and rate of the training.
            without: `meta` to leave out the meta term, which makes a step about five times faster.
            validation_frames: largest number of frames of each validation video.
            workers: number of reading threads.
            config: the network's configuration.

        Raises:
            UsageError: an unknown switch, or a crop that doesn't fit the network.
        """
        require_multiple(settings.crop, 2 * max(config.cell, 2**POOLINGS))
        self.switches = switched_off(without, (META,))
        self._options = CamLossOptions() if self.switches[META] else CamLossOptions(meta=0)
        self.config = config
        super().__init__(folders, validation, settings, validation_frames, workers)

    def make_network(self) -> nn.Module:
        """As `TrainingTask.make_network`."""
        return Cam(self.config)

    def rate_at(self, step: int) -> float:
        """As `TrainingTask.rate_at`."""
        return self.settings.rate

    def next_batch(self) -> FrameBatch:
        """As `TrainingTask.next_batch`."""
        return collate(next(self._batches))

    def loss(self, network: Cam, batch: FrameBatch) -> Outcome:
        """As `TrainingTask.loss`."""
        losses = cam_loss(network, batch.srgb, batch.raw, self._options)
        figures = torch.stack([losses.reconstruction, losses.slic, losses.meta]).detach()
        return Outcome(losses.total, figures.float())

    def validate(self, network: Cam, index: int) -> tuple[float, ...]:
        """PSNR of frames reconstructed from their own samples, without fine-tuning."""
        folder, video = self._videos[index]
        frame = folder.read_first(video)
        device = next(network.parameters()).device
        scores = []
        for number in range(1, len(video.frames[: self._frames])):
            mosaic = folder.read_raw(video, number)
            planes = to_planes(normalise(mosaic, frame.black, frame.white), frame.phase)
            srgb = half_size(folder.read_srgb(video, number), frame.phase)
            inputs = [torch.from_numpy(one)[None].to(device) for one in (srgb, planes)]
            result = _reconstruct(network, *inputs)[0].cpu().numpy()
            values = from_planes(result, frame.phase, frame.size)
            scores.append(score(denormalise(values, frame.black, frame.white), mosaic, frame.bits))
        return (float(np.mean(scores)),)


def collate(snippets: Sequence[Snippet]) -> FrameBatch:
    """A batch of the first frame of each snippet."""
    raw = []
    for snippet in snippets:
        black = np.array(snippet.camera.black, np.float32)[:, None, None]
        planes = (snippet.planes[0] - black) / (snippet.camera.white - black)
        raw.append(torch.from_numpy(planes.astype(np.float32)))
    return FrameBatch(stack([half_srgb(snippet)[0] for snippet in snippets]), stack(raw))


@torch.no_grad()
def _reconstruct(network: Cam, srgb: Tensor, raw: Tensor) -> Tensor:
    """Reconstruct the RAW of a frame of any size."""
    height, width = raw.shape[-2:]
    padding = (0, -width % network.multiple, 0, -height % network.multiple)
    result, _, _ = network(*(F.pad(one, padding, mode="replicate") for one in (srgb, raw)))
    return result[..., :height, :width]
