"""CAM: RAW from an sRGB frame and a few RAW samples of the same frame, chosen by content.

Written from "Learning sRGB-to-Raw-RGB De-rendering with Content-Aware Metadata" (Nam et al., CVPR
2022); details that the paper doesn't state are from its authors' published settings.

    sRGB, RAW ─ sampler ─▶ affinity of each pixel to the 9 superpixels around it
    affinity ─ best pixel of each superpixel ─▶ mask               (on the camera: stored samples)
    sRGB, RAW · mask, mask ─ reconstructor ─▶ RAW                  (later: from the stored samples)

Everything is on the grid of the packed planes (half the video's size). sRGB is gamma-coded, 0..1;
RAW is normalised ((DN − black) / (white − black)) in order R, Gr, Gb, B. The paper's RAW has three
channels (demosaiced); FAGDN's authors used four channels on RVD, as here.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from rvdtool.errors import ModelError, UsageError

POOLINGS = 4
OFFSETS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))
"""Channel k of an affinity belongs to the superpixel at OFFSETS[k] from the pixel's own cell."""


@dataclass(frozen=True)
class CamConfig:
    """The configuration of CAM.

    Attributes:
        features: channels of the first level of both U-Nets; 32 in the paper.
        cell: side of a superpixel's cell; 8 in the paper: 1 / 64 = 1.5625 % samples.

    Raises:
        ModelError: features outside 1..256, or cell outside 2..64.
    """

    features: int = 32
    cell: int = 8

    def __post_init__(self) -> None:
        if not (1 <= self.features <= 256 and 2 <= self.cell <= 64):
            raise ModelError(
                f"features must be 1..256 and cell 2..64; got {self.features} and {self.cell}"
            )


@dataclass(frozen=True)
class CamLossOptions:
    """Weights of the loss's terms; the defaults are the authors' published settings.

    Attributes:
        slic: weight of the superpixel term; `slic_srgb` divides it between sRGB and RAW,
            `compactness` weights position against colour.
        meta: weight of the term that prepares for fine-tuning: the loss after `inner_steps` steps
            of gradient descent (rate `inner_rate`) on random samples. 0 leaves it out, which makes
            a training step about five times faster.
    """

    slic: float = 1e-4
    slic_srgb: float = 0.2
    compactness: float = 10.0
    meta: float = 1e-3
    inner_steps: int = 5
    inner_rate: float = 1e-3


@dataclass(frozen=True)
class CamLosses:
    """The terms of the loss (scalars); `total` is to be minimised."""

    total: Tensor
    reconstruction: Tensor
    slic: Tensor
    meta: Tensor


class Cam(nn.Module):
    """Sampler and reconstructor; 15.5 M parameters with 32 features."""

    def __init__(self, config: CamConfig = CamConfig()) -> None:
        super().__init__()
        self.config = config
        self.sampler = UNet(3 + 4, len(OFFSETS), config.features)
        self.reconstructor = UNet(3 + 4 + 1, 4, config.features)

    def forward(self, srgb: Tensor, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sample, then reconstruct.

        Args:
            srgb: [B, 3, H, W], sides multiples of `multiple`.
            raw: [B, 4, H, W].

        Returns:
            RAW [B, 4, H, W] in 0..1, the mask [B, 1, H, W], the affinity [B, 9, H, W].
        """
        affinity = self.affinity(srgb, raw)
        mask = pick(affinity, self.config.cell)
        return self.reconstruct(srgb, raw * mask, mask), mask, affinity

    def affinity(self, srgb: Tensor, raw: Tensor) -> Tensor:
        """Probability that a pixel belongs to each superpixel around it, [B, 9, H, W]."""
        return F.softmax(self.sampler(torch.cat([srgb, raw], 1)), 1)

    def reconstruct(self, srgb: Tensor, samples: Tensor, mask: Tensor) -> Tensor:
        """RAW in 0..1 [B, 4, H, W] from sRGB and samples (0 where the mask is 0)."""
        return torch.sigmoid(self.reconstructor(torch.cat([srgb, samples, mask], 1)))

    @property
    def multiple(self) -> int:
        """The sides of inputs must be multiples of this."""
        return max(self.config.cell, 2**POOLINGS)


def pick(affinity: Tensor, cell: int) -> Tensor:
    """Pick one pixel for each superpixel: that of highest affinity in the 3×3 cells around it.

    The gradient is passed straight through at picked pixels, clipped to −1..1.

    Args:
        affinity: [B, 9, H, W], sides multiples of `cell`.
        cell: side of a cell.

    Returns:
        1 at picked pixels, else 0: [B, 1, H, W]. A pixel picked for two superpixels counts once.
    """
    batch, _, height, width = affinity.shape
    rows, columns = height // cell, width // cell
    around = F.pad(affinity, (cell,) * 4, value=-1.0)  # never picked outside
    inside = F.pixel_unshuffle(around, cell).view(batch, 9, cell * cell, rows + 2, columns + 2)
    # For a pixel in the cell at (row, column) from a superpixel, that one is at (−row, −column).
    candidates = torch.cat(
        [
            inside[:, 8 - k, :, 1 + row : 1 + row + rows, 1 + column : 1 + column + columns]
            for k, (row, column) in enumerate(OFFSETS)
        ],
        dim=1,
    )
    surest, place = candidates.max(dim=1)
    cell_of, within = place // (cell * cell), place % (cell * cell)
    row = torch.arange(rows, device=place.device)[:, None] + cell_of // 3 - 1
    column = torch.arange(columns, device=place.device) + cell_of % 3 - 1
    index = (row * cell + within // cell) * width + column * cell + within % cell
    picked = torch.zeros(batch, height * width, dtype=surest.dtype, device=surest.device)
    picked = picked.scatter_add(1, index.flatten(1), surest.flatten(1))
    mask: Tensor = _StraightThrough.apply(  # type: ignore[no-untyped-call]
        picked.view(batch, 1, height, width)
    )
    return mask


def cam_loss(
    network: Cam, srgb: Tensor, raw: Tensor, options: CamLossOptions = CamLossOptions()
) -> CamLosses:
    """L1 + superpixel term + meta term, as the paper trains it (patches 128, Adam, rate 1e-3).

    The meta term draws random masks from PyTorch's global generator; it is of first order.

    Args:
        network: in training mode.
        srgb, raw: as for `Cam.forward`.

    Raises:
        UsageError: sides that aren't multiples of `network.multiple`.
    """
    if raw.shape[-1] % network.multiple or raw.shape[-2] % network.multiple:
        raise UsageError(
            f"CAM's patches have sides that are multiples of {network.multiple}; got "
            f"{raw.shape[-2]}×{raw.shape[-1]} packed pixels"
        )
    reconstruction, _, affinity = network(srgb, raw)
    recon = F.l1_loss(reconstruction, raw)
    slic = _slic_loss(affinity, srgb, raw, network.config.cell, options)
    meta = _meta_loss(network, srgb, raw, options) if options.meta else torch.zeros_like(recon)
    return CamLosses(recon + options.slic * slic + options.meta * meta, recon, slic, meta)


def sample_loss(reconstruction: Tensor, raw: Tensor, mask: Tensor) -> Tensor:
    """L1 on the samples, as a mean over all pixels: what fine-tuning minimises."""
    return (mask * (reconstruction - raw).abs()).mean()


def _slic_loss(
    affinity: Tensor, srgb: Tensor, raw: Tensor, cell: int, options: CamLossOptions
) -> Tensor:
    """Error of representing pixels' colours (0..255) and positions by their superpixels' means."""
    height, width = srgb.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=srgb.device, dtype=srgb.dtype),
        torch.arange(width, device=srgb.device, dtype=srgb.dtype),
        indexing="ij",
    )
    place = torch.stack([y, x]).expand(len(srgb), 2, height, width)
    features = torch.cat([255 * srgb, 255 * raw, place], 1)
    back = _spread(_gather(features, affinity, cell), affinity, cell)
    colors = srgb.shape[1]
    color = F.mse_loss(back[:, :colors], features[:, :colors])
    light = F.mse_loss(back[:, colors:-2], features[:, colors:-2])
    where = F.mse_loss(back[:, -2:], features[:, -2:])
    compactness = options.compactness**2 / cell**2
    return options.slic_srgb * color + (1 - options.slic_srgb) * light + compactness * where


def _gather(features: Tensor, affinity: Tensor, cell: int) -> Tensor:
    """Mean features of each superpixel, weighted by affinity: [B, C, H / cell, W / cell]."""
    weighted = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    height, width = features.shape[-2] // cell, features.shape[-1] // cell
    total = features.new_zeros(())
    for k, (row, column) in enumerate(OFFSETS):
        own = F.pad(F.avg_pool2d(weighted * affinity[:, k : k + 1], cell), (1, 1, 1, 1))
        # Move the contribution of a cell's pixels to the superpixel at (row, column) from it.
        moved = own[..., 1 - row : 1 - row + height, 1 - column : 1 - column + width]
        total = total + moved
    return total[:, :-1] / (total[:, -1:] + 1e-8)


def _spread(superpixels: Tensor, affinity: Tensor, cell: int) -> Tensor:
    """Each pixel's features from the superpixels around it, weighted by affinity."""
    height, width = superpixels.shape[-2:]
    around = F.pad(superpixels, (1, 1, 1, 1))
    total = superpixels.new_zeros(())
    for k, (row, column) in enumerate(OFFSETS):
        there = around[..., 1 + row : 1 + row + height, 1 + column : 1 + column + width]
        spread = F.interpolate(there, scale_factor=cell, mode="nearest")
        total = total + spread * affinity[:, k : k + 1]
    return total


def _meta_loss(network: Cam, srgb: Tensor, raw: Tensor, options: CamLossOptions) -> Tensor:
    """L1 over all pixels after a few steps on random samples (first-order MAML)."""
    batch, _, height, width = raw.shape
    count = height * width // network.config.cell**2
    order = torch.rand(batch, height * width, device=raw.device).argsort(1)[:, :count]
    mask = torch.zeros(batch, height * width, device=raw.device).scatter(1, order, 1.0)
    mask = mask.view(batch, 1, height, width).to(raw.dtype)
    inputs = torch.cat([srgb, raw * mask, mask], 1)
    parameters: dict[str, Tensor] = dict(network.reconstructor.named_parameters())

    def predict(weights: dict[str, Tensor]) -> Tensor:
        return torch.sigmoid(functional_call(network.reconstructor, weights, (inputs,)))

    for _ in range(options.inner_steps):
        loss = sample_loss(predict(parameters), raw, mask)
        slopes = torch.autograd.grad(loss, list(parameters.values()))
        parameters = {
            name: value - options.inner_rate * slope
            for (name, value), slope in zip(parameters.items(), slopes, strict=True)
        }
    return F.l1_loss(predict(parameters), raw)


class _StraightThrough(torch.autograd.Function):
    """1 where the input is above 0; the gradient passes, clipped to −1..1."""

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        return (value > 0).to(value.dtype)

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].clamp(-1, 1)


class UNet(nn.Module):
    """U-Net with four poolings, two 3×3 convolutions with batch norm per level, and skips."""

    def __init__(self, inputs: int, outputs: int, features: int) -> None:
        super().__init__()
        widths = [features * 2**level for level in range(POOLINGS + 1)]
        pairs = list(pairwise(widths))
        self.encoders = nn.ModuleList(
            _convolutions(before, after)
            for before, after in zip([inputs, *widths], widths, strict=False)
        )
        self.ups = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(pairs))
        self.decoders = nn.ModuleList(_convolutions(2 * a, a) for a, _ in reversed(pairs))
        self.head = nn.Conv2d(features, outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, H, W]; sides must be multiples of 16."""
        skips = []
        for level, encoder in enumerate(self.encoders):
            image = encoder(F.max_pool2d(image, 2) if level else image)
            skips.append(image)
        skips.pop()
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            image = decoder(torch.cat([up(image), skips.pop()], 1))
        result: Tensor = self.head(image)
        return result


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (inputs, outputs):
        layers += [
            nn.Conv2d(before, outputs, 3, padding=1, padding_mode="replicate", bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
