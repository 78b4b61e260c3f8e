"""Train the paper's FAGDN as described in its paper, or as its authors' code does.

Sources: "Leveraging Frame Affinity for sRGB-to-RAW Video De-rendering", CVPR 2024, section 3.3 and
4.1; github.com/zhangchen98/RAW_CVPR24 at 874cfd8, loss.py, config.py, README. Both train with the
true previous RAW. Unlike in their code, rotated and flipped crops keep the Bayer phase.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvdtool.fagdn.chain import FagdnChain
from rvdtool.fagdn.network import MULTIPLE, Fagdn, FagdnConfig
from rvdtool.reconstruct.flow import Flow, read_flow_to_next
from rvdtool.research.dataset.loader import Snippet
from rvdtool.research.dataset.rvd import RvdFolder, RvdVideo
from rvdtool.research.training.pairs import CropTask, half_flow, half_srgb, score, stack
from rvdtool.research.training.task import Outcome, Settings, require_multiple, switched_off

EPOCHS = 60
DECAYS = 3
"""The training is divided into this many parts; after each but the last, the learning rate falls
to a tenth (every 20 of 60 epochs)."""

PAPER = Settings(steps=1, batch=8, crop=512, rate=1e-3)
"""The paper's settings: crops of 256 pixels of the packed planes (dataset.py crops after packing).
The paper doesn't state a batch size; 8 is the default of config.py. The number of steps follows
from `EPOCHS` and the data."""

CODE = replace(PAPER, batch=2, rate=2e-3)
"""The settings of the command line in the authors' README."""

AUXILIARY = "auxiliary_loss"
AUXILIARY_WEIGHT = 0.5


class PairBatch(NamedTuple):
    """The network's inputs, [B, C, h, w] each, and the true RAW of the second frame."""

    from_rgb: Tensor
    to_rgb: Tensor
    from_raw: Tensor
    flow: Tensor
    true: Tensor


class FagdnTask(CropTask):
    """Training of the paper's FAGDN; the loss is MSE + SSIM on the output, and λ times the same
    on the side outputs."""

    kind: ClassVar[str] = "fagdn"
    figures: ClassVar[tuple[str, ...]] = ("mse", "ssim", "auxiliary")
    length: ClassVar[int] = 2
    flow: ClassVar[bool] = True

    def __init__(
        self,
        folders: Sequence[RvdFolder],
        validation: RvdFolder | None,
        settings: Settings,
        *,
        as_code: bool = False,
        without: Sequence[str] = (),
        validation_frames: int | None = None,
        workers: int = 2,
        config: FagdnConfig = FagdnConfig(),
    ) -> None:
        """Set up the training, without reading data.

        Args:
            folders, validation: data sets for training and for validation.
            settings: length, batch size and rate of the training.
            as_code: use the mean of the side outputs' losses, as in the code, not their sum.
            without: switches of the configuration to turn off (Table 3), or `auxiliary_loss`.
            validation_frames: largest number of frames of each validation video.
            workers: number of reading threads.
            config: the network's configuration, before `without`.

        Raises:
            UsageError: an unknown switch, or a crop that doesn't fit the network.
        """
        require_multiple(settings.crop, 2 * MULTIPLE)
        on = switched_off(without, ("warping", "confidence_map", "gla", AUXILIARY))
        self.switches = {AUXILIARY: on.pop(AUXILIARY), "mean_of_sides": as_code}
        on["confidence_map"] &= on["warping"]  # it needs the warped RAW
        off: dict[str, Any] = {name: False for name, is_on in on.items() if not is_on}
        self.config = replace(config, **off)
        super().__init__(folders, validation, settings, validation_frames, workers)

    def make_network(self) -> nn.Module:
        """As `TrainingTask.make_network`."""
        return Fagdn(self.config)

    def rate_at(self, step: int) -> float:
        """As `TrainingTask.rate_at`."""
        return self.settings.rate * 0.1 ** (DECAYS * step // self.settings.steps)

    def next_batch(self) -> PairBatch:
        """As `TrainingTask.next_batch`."""
        return collate(next(self._batches))

    def loss(self, network: Fagdn, batch: PairBatch) -> Outcome:
        """As `TrainingTask.loss`."""
        output, sides = network(batch.from_rgb, batch.to_rgb, batch.from_raw, batch.flow)
        mse, ssim = mse_and_ssim(output.float(), batch.true)
        auxiliary = mse.new_zeros(())
        if self.switches[AUXILIARY]:
            for side in sides:
                smaller = F.interpolate(
                    batch.true, size=side.shape[-2:], mode="bilinear", align_corners=True
                )
                auxiliary = auxiliary + sum(mse_and_ssim(side.float(), smaller))
            if self.switches["mean_of_sides"]:
                auxiliary = auxiliary / len(sides)
        loss = mse + ssim + AUXILIARY_WEIGHT * auxiliary
        return Outcome(loss, torch.stack([mse, ssim, auxiliary]).detach())

    def validate(self, network: Fagdn, index: int) -> tuple[float, ...]:
        """PSNR of the authors' chain from the reference frame on; predictions are rounded, not
        truncated."""
        folder, video = self._videos[index]
        reference = folder.read_first(video)
        flow = _folder_flow(folder, video)
        chain = FagdnChain(network, reference, folder.read_srgb(video, 0), flow)
        scores = []
        for frame in range(1, len(video.frames[: self._frames])):
            chain.step(folder.read_srgb(video, frame))
            scores.append(score(chain.mosaic(), folder.read_raw(video, frame), reference.bits))
        return (float(np.mean(scores)),)


def collate(snippets: Sequence[Snippet]) -> PairBatch:
    """A batch of the first two frames of each snippet, with the flow between them."""
    rgb = [half_srgb(snippet) for snippet in snippets]
    # The black level isn't subtracted (dataset.py: to_tensor).
    raw = [
        torch.from_numpy(snippet.planes.astype(np.float32) / np.float32(2**snippet.camera.bits - 1))
        for snippet in snippets
    ]
    return PairBatch(
        stack([pair[0] for pair in rgb]),
        stack([pair[1] for pair in rgb]),
        stack([pair[0] for pair in raw]),
        torch.stack([half_flow(snippet)[0] for snippet in snippets]),
        stack([pair[1] for pair in raw]),
    )


def _folder_flow(
    folder: RvdFolder, video: RvdVideo
) -> Callable[[int, tuple[int, int]], Flow] | None:
    """The flows in the video's folder; None if it has none."""
    if not Path(folder.flow_path(video, 0)).exists():
        return None
    return lambda current, size: read_flow_to_next(folder.flow_path(video, current - 1), size)


def mse_and_ssim(predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of the paper's loss ℓ: mean squared error, and (1 − SSIM) / 2.

    SSIM has windows of 3×3, constants for values in 0..1, and reflected edges (loss.py).

    Args:
        predicted, true: [B, C, h, w], 0..1, float32.
    """
    a, b = (F.pad(image, (1, 1, 1, 1), mode="reflect") for image in (predicted, true))

    def mean(image: Tensor) -> Tensor:
        return F.avg_pool2d(image, 3, stride=1)

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    alike = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    ssim = alike / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
    return F.mse_loss(predicted, true), ((1 - ssim) / 2).clamp(0, 1).mean()
