"""The calibrated FAGDN, rvdtool's own network, which fuses a frame's candidates into a RAW frame.

As in FAGDN (CVPR 2024), temporal affinity priors are extracted without learning
(`rvdtool.reconstruct.affinity`); then an encoder-decoder fuses them with the sRGB frame, guided by
a reference frame (`gla.py`). The differences are:

- It works on the packed grid: each cell has R, Gr, Gb, B and the sRGB pixels at those four
  photosites, so that no sRGB pixel is discarded.
- Each candidate has an error variance, and all differences are given in units of σ, the expected
  error of the fused value. The network therefore doesn't depend on the camera, and works for clips
  of 30 dB and of 70 dB: brightness is the only absolute value that it sees.
- It doesn't output a RAW frame but changes to the variance-weighted fusion: factors for the
  candidates' precisions, and a correction in units of σ. They are zero at the start, so an
  untrained network *is* the training-free fusion; a trained one can leave the candidates' range
  only by a few σ.
- The reference frame, with its true RAW and the inverse ISP's error on it, is encoded once per
  clip, so that it can't drift.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvdtool.errors import ModelError
from rvdtool.network.gla import WarpedGla

CANDIDATES = 4
"""Number of candidates, in this order: fit, anchored, previous, warped. The first three share the
fine error."""
STRIDE = 8
"""Stride of the deepest features in cells of the packed grid; divides the planes' sides."""
SMALLEST = 1e-9
"""Lower limit of variances, about the square of the rounding error at 14 bits."""
_EQUAL = 1e-4
"""Variance of all errors in the ablation without known variances."""
BEYOND = 3.0
"""The output leaves the candidates' range by at most this many σ."""
UNTOLD = 1e-3
"""Where a channel is clipped and the unpredictable error has at least this variance, the result is
the mean of the fusion and the network's output. The picture doesn't show how far a colour exceeds
the limit, and a network's estimate of it isn't better than the fusion in other scenes
(docs/research/training-log.md)."""
STEEPEST = 6.0
"""Largest change of the logarithm of a precision."""


class Planes(NamedTuple):
    """The network's inputs for one frame, packed: B clips, h × w cells. RAW is normalised.

    Attributes:
        rgb: sRGB at the four photosites, 0..1, [B, 12, h, w]: channel, then position in the cell.
        clipped: 1 where R, G, B of such a pixel is clipped, [B, 12, h, w].
        values: the candidates, [B, 4, 4, h, w]: candidate, then position in the cell.
        variances: of the candidates' errors, [B, 4, 4, h, w]; for the first three, without the
            fine error that they share.
        fine: variance of the fine error, [B, 4, h, w].
        fits: the fits of the reference frame and of the previous frame, warped to the current one,
            [B, 2, 4, h, w].
        flow: to the reference frame in cells of the deepest features, [B, 2, h / 8, w / 8] (x, y).
        brightness: logarithm of the current frame's brightness relative to the reference frame, and
            1 if the ISP caused it, else 0, [B, 2].
    """

    rgb: Tensor
    clipped: Tensor
    values: Tensor
    variances: Tensor
    fine: Tensor
    fits: Tensor
    flow: Tensor
    brightness: Tensor


class ReferencePlanes(NamedTuple):
    """The packed reference frame, whose sRGB and RAW are both known.

    Attributes:
        rgb, clipped: as in `Planes`.
        raw: true normalised RAW, [B, 4, h, w].
        fit: RAW estimated by the inverse ISP, [B, 4, h, w].
        variance: of the fit's error, [B, 4, h, w].
    """

    rgb: Tensor
    clipped: Tensor
    raw: Tensor
    fit: Tensor
    variance: Tensor


@dataclass(frozen=True)
class CalibratedConfig:
    """The configuration of a network.

    Attributes:
        widths: channels at 1, 1/2, 1/4 and 1/8 of the packed grid.
        depths: residual blocks of the encoder at those levels; the decoder has one at each.
        heads: attention heads.
        gla: whether features of the reference frame are aggregated.
        full_resolution: whether the input is each photosite's own sRGB pixel, or its cell's mean.
        warping: whether candidates warped along a flow are used, or only the fit.
        confidence_map: whether the candidates' variances are used, or assumed to be equal.
        anchored: whether the candidates from the reference frame (anchored, warped) are used.
        calibrated: whether differences are given in units of σ, or of a constant.
    """

    widths: tuple[int, int, int, int] = (24, 48, 80, 128)
    depths: tuple[int, int, int, int] = (1, 1, 1, 2)
    heads: int = 4
    gla: bool = False
    full_resolution: bool = True
    warping: bool = True
    confidence_map: bool = True
    anchored: bool = True
    calibrated: bool = True

    def __post_init__(self) -> None:
        """Refuse configurations for which no network can be built.

        Raises:
            ModelError: a field has a value that isn't allowed.
        """
        if not all(1 <= width <= 1024 for width in self.widths):
            raise ModelError(f"widths are 1 to 1024 channels; got {self.widths}")
        if not all(1 <= depth <= 16 for depth in self.depths):
            raise ModelError(f"depths are 1 to 16 blocks; got {self.depths}")
        if self.heads < 1 or self.widths[3] % self.heads:
            raise ModelError(f"{self.widths[3]} channels can't be split among {self.heads} heads")


SMALL = CalibratedConfig(widths=(16, 24, 40, 64), depths=(1, 1, 1, 1))
"""A network with a third of the operations, for machines without a GPU."""


class CalibratedFagdn(nn.Module):
    """The calibrated FAGDN; the module's docstring describes it."""

    def __init__(self, config: CalibratedConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third, deepest = config.widths
        self.encoder = _Encoder(INPUTS, config.widths, config.depths)
        if config.gla:
            self.reference_encoder = _Encoder(
                _REFERENCE_INPUTS, tuple(max(8, width // 2) for width in config.widths), (1,) * 4
            )
            self.reference_out = nn.Conv2d(max(8, deepest // 2), deepest, 1)
            self.gla = WarpedGla(deepest, config.heads)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(inside, outside, 2, stride=2)
            for inside, outside in ((deepest, third), (third, second), (second, first))
        )
        self.decoder = nn.ModuleList(_Block(width) for width in (third, second, first))
        self.head = nn.Conv2d(first, 4 * (CANDIDATES + 1), 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def encode_reference(self, reference: ReferencePlanes) -> Tensor | None:
        """Encode the reference frame, once per clip.

        Returns:
            Features [B, C, h / 8, w / 8]; h and w must be multiples of `STRIDE`. None without GLA.
        """
        if not self.config.gla:
            return None
        sigma = reference.variance.clamp_min(SMALLEST).sqrt()
        inputs = torch.cat(
            [
                reference.rgb - 0.5,
                reference.clipped,
                _tone(reference.raw),
                _squash((reference.raw - reference.fit) / sigma),
                0.1 * sigma.log(),
            ],
            dim=1,
        )
        return self.reference_out(
            self.reference_encoder(self.reference_encoder.stem(_channels_last(inputs)))[-1]
        )

    def forward(self, planes: Planes, reference: Tensor | None) -> Tensor:
        """De-render.

        Args:
            planes: the inputs; h and w are multiples of `STRIDE`.
            reference: the result of `encode_reference` for the same clips.

        Returns:
            Normalised RAW, [B, 4, h, w].
        """
        planes = _ablated(planes, self.config)
        variances = planes.variances.clamp_min(SMALLEST)
        fused, total = fuse_planes(planes.values, variances, planes.fine)
        expected = total.sqrt()
        sigma = expected if self.config.calibrated else torch.full_like(expected, 0.01)
        first = self.encoder.stem(_channels_last(self._inputs(planes, variances, fused, sigma)))
        out = self.decide(first, reference, planes.flow).float()
        out = out.reshape(out.shape[0], CANDIDATES + 1, 4, *out.shape[-2:])
        change = STEEPEST * torch.tanh(out[:, :CANDIDATES] / STEEPEST)
        value, _ = fuse_planes(planes.values, variances, planes.fine, change)
        value = value + sigma * out[:, CANDIDATES]
        if self.training:  # no clamping: it would stop the gradient
            return value
        uncertain = _any_clipped(planes) & (planes.fine >= UNTOLD)
        value = torch.where(uncertain, (fused + value) / 2, value)
        slack = BEYOND * expected
        return value.clamp(planes.values.amin(dim=1) - slack, planes.values.amax(dim=1) + slack)

    def decide(self, first: Tensor, reference: Tensor | None, flow: Tensor) -> Tensor:
        """Run the network after its first layer; returns changes to the fusion.

        Args:
            first: features of the first layer, [B, C, h, w].
            reference: the result of `encode_reference` for the same clips.
            flow: see `Planes`.

        Returns:
            [B, 4 · (CANDIDATES + 1), h, w]: changes to the logarithms of the candidates'
            precisions, then a correction in units of σ, each for the four positions in the cell.
        """
        fine = self.encode_fine(first)
        return self.decode_fine(self.inner(self.encoder.down[0](fine), reference, flow), fine)

    # `decide` in three steps, so that the outer two, whose features are as large as the packed
    # grid, can be computed in strips.

    def encode_fine(self, first: Tensor) -> Tensor:
        """Features of the encoder's finest level from those of the first layer, [B, C, h, w]."""
        features: Tensor = self.encoder.blocks[0](first)
        return features

    def inner(self, half: Tensor, reference: Tensor | None, flow: Tensor) -> Tensor:
        """Run all levels but the finest.

        Args:
            half: features of the encoder's finest level, downsampled to half size.
            reference, flow: as for `decide`.

        Returns:
            The decoder's features at half size, [B, C, h / 2, w / 2].
        """
        features = self.encoder.after_down(half)
        x = features[-1]
        if reference is not None:
            x = self.gla(x, reference, flow.to(x.dtype))
        inside = zip(self.up[:-1], self.decoder[:-1], features[-2::-1], strict=True)
        for up, block, skip in inside:
            x = block(up(x).add_(skip))
        return x

    def decode_fine(self, half: Tensor, fine: Tensor) -> Tensor:
        """The result of `decide` from those of `inner` and `encode_fine`."""
        changes: Tensor = self.head(self.decoder[-1](self.up[-1](half).add_(fine)))
        return changes

    def _inputs(self, planes: Planes, variances: Tensor, fused: Tensor, sigma: Tensor) -> Tensor:
        """The first layer's input [B, INPUTS, h, w]; `rvdtool.reconstruct.answer` has the same
        computation compiled to one pass."""
        rgb, clipped = planes.rgb, planes.clipped
        if not self.config.full_resolution:
            cells = rgb.reshape(rgb.shape[0], 3, 4, *rgb.shape[-2:])
            rgb = cells.mean(dim=2).repeat_interleave(4, dim=1)
        others = torch.cat([planes.values, planes.fits], dim=1) - fused[:, None]
        spread = (variances / (sigma * sigma)[:, None]).mean(dim=2).log()
        fine = (planes.fine.clamp_min(SMALLEST) / (sigma * sigma)).mean(dim=1, keepdim=True).log()
        constants = torch.stack([5 * planes.brightness[:, 0], planes.brightness[:, 1]], dim=1)
        maps = [
            rgb - 0.5,
            clipped,
            _squash(others / sigma[:, None]).flatten(1, 2),
            0.25 * spread,
            0.25 * fine,
            0.1 * sigma.log().mean(dim=1, keepdim=True),
            _tone(fused),
            constants[:, :, None, None].expand(-1, -1, *rgb.shape[-2:]),
            *self._ratios(planes),
        ]
        return torch.cat(maps, dim=1)

    def _ratios(self, planes: Planes) -> list[Tensor]:
        """Logarithms of the ratios of both warped fits, and of the warped RAW, to the current fit.

        Where the flow is right, they show drift of gain and colour.
        """
        others = (planes.fits[:, 1], planes.fits[:, 0], planes.values[:, 3])
        fit = planes.values[:, 0].clamp_min(0) + 0.01
        return [((x.clamp_min(0) + 0.01) / fit).log().clamp(-1, 1) * 5 for x in others]


INPUTS = 12 + 12 + 4 * (CANDIDATES + 2) + CANDIDATES + 1 + 1 + 4 + 2 + 3 * 4
_REFERENCE_INPUTS = 12 + 12 + 4 + 4 + 4


def fuse_planes(
    values: Tensor, variances: Tensor, fine: Tensor, change: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Fuse candidates as `rvdtool.reconstruct.fusion.fuse` does, with learned changes.

    Args:
        values, variances, fine: see `Planes`.
        change: added to the logarithms of the candidates' precisions, [B, 4, 4, h, w].

    Returns:
        The fused value and the expected square of its total error, [B, 4, h, w] each.
    """
    precisions = 1 / variances
    if change is not None:
        precisions = precisions * change.exp()
    shared, warped = precisions[:, :3], precisions[:, 3]
    total = shared.sum(dim=1)
    blend = (shared * values[:, :3]).sum(dim=1) / total
    blend_variance = 1 / total + fine
    share = blend_variance * warped / (blend_variance * warped + 1)
    variance = torch.minimum(3 / total, variances[:, 0])
    expected = ((1 - share) * (variance + fine)).clamp_min(SMALLEST)
    return blend + share * (values[:, 3] - blend), expected


def _ablated(planes: Planes, config: CalibratedConfig) -> Planes:
    """Replace the inputs that the configuration leaves out by constants or by the fit."""
    if not (config.warping and config.anchored):
        unused = [1, 3] if config.warping else [1, 2, 3]
        fit, values, variances = (
            planes.values[:, :1],
            planes.values.clone(),
            planes.variances.clone(),
        )
        values[:, unused], variances[:, unused] = fit, 1e3
        others = planes.fits[:, 1:] if config.warping else fit
        planes = planes._replace(
            values=values, variances=variances, fits=others.expand_as(planes.fits)
        )
    if not config.confidence_map:
        planes = planes._replace(
            variances=torch.full_like(planes.variances, _EQUAL),
            fine=torch.full_like(planes.fine, _EQUAL),
        )
    return planes


def _any_clipped(planes: Planes) -> Tensor:
    """1 at photosites where any channel of the sRGB pixel is clipped, [B, 4, h, w]."""
    clipped = planes.clipped
    return clipped.reshape(clipped.shape[0], 3, 4, *clipped.shape[-2:]).amax(dim=1) > 0


class _Encoder(nn.Module):
    """Features at 1, 1/2, 1/4 and 1/8 of the packed grid."""

    def __init__(self, inputs: int, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, widths[0], 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(_Block(width) for _ in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.down = nn.ModuleList(
            nn.Conv2d(inside, outside, 2, stride=2) for inside, outside in pairwise(widths)
        )

    def forward(self, first: Tensor) -> list[Tensor]:
        """Features of the four levels, from the first layer's features [B, C, h, w]."""
        fine = self.blocks[0](first)
        return [fine, *self.after_down(self.down[0](fine))]

    def after_down(self, half: Tensor) -> list[Tensor]:
        """Features of the levels below the finest, from its own taken down to half size."""
        x = self.blocks[1](half)
        features = [x]
        for down, blocks in zip(list(self.down)[1:], list(self.blocks)[2:], strict=True):
            x = blocks(down(x))
            features.append(x)
        return features


class _Block(nn.Module):
    """A residual block of two 3×3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.second(F.relu(self.first(x), inplace=True))
        return change.add_(x)


def _channels_last(x: Tensor) -> Tensor:
    """Store channels last in memory, which makes convolutions on CPUs 1.5 times as fast."""
    return x.contiguous(memory_format=torch.channels_last)


def _squash(x: Tensor) -> Tensor:
    """Compress ratios to σ: about linear up to 1, logarithmic above."""
    return 0.5 * torch.asinh(x)


def _tone(raw: Tensor) -> Tensor:
    """Normalised RAW on a scale, centred at 0, on which shot noise is uniform."""
    return raw.clamp_min(0).sqrt() - 0.5
