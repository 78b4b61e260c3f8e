"""The paper's FAGDN exactly as its authors published it, including its peculiarities.

Sources: github.com/zhangchen98/RAW_CVPR24 at 874cfd8 (files named below), and "Leveraging Frame
Affinity for sRGB-to-RAW Video De-rendering", CVPR 2024 (equations are named where code and paper
differ). It was written from their description; with equal weights its output equals theirs
(docs/research/fagdn.md). Parameters have the names of the authors' checkpoints.

    previous sRGB, RAW ─ warp along flow ─▶ warped sRGB, warped RAW
    current sRGB, warped sRGB ─▶ confidence map; × conv(warped RAW)  = temporal affinity prior
    current sRGB, prior ─▶ encoder ─┐
    previous sRGB, RAW ─▶ encoder ─GLA at each level─▶ U-Net decoder ─▶ RAW

Everything is on the grid of the packed planes (half the video's size), whose sides are multiples of
`MULTIPLE`. sRGB is gamma-coded, 0..1; RAW is DN / (2^bits − 1) in order R, Gr, Gb, B, without
subtraction of the black level.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvdtool.errors import MismatchError, ModelError

MULTIPLE = 32
"""Sides are multiples of this: three poolings, then patches of 4 (dataset/dataset.py pads)."""

GLA_PATCHES = (16, 8, 4, 4)
"""Patch size per level (model/network.py): a patch of levels 1 to 3 covers the same pixels."""

FULL_WEIGHT = 0.9999
"""A warped pixel is 0 if less than this fraction of it is inside the frame (model/utils.py)."""


@dataclass(frozen=True)
class FagdnConfig:
    """The configuration: the published network, or one of the paper's ablations (Table 3).

    Attributes:
        features: channels of the first level; 32 in the paper.
        warping: the current branch gets the warped RAW; without it, only the sRGB frame (line 1).
        confidence_map: weight the warped RAW by the confidence map (line 2); needs `warping`.
        gla: use the previous frame's branch and aggregate its features (line 3).

    Raises:
        ModelError: features outside 1..256, or a confidence map without warping.
    """

    features: int = 32
    warping: bool = True
    confidence_map: bool = True
    gla: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.features <= 256:
            raise ModelError(f"features must be 1..256; got {self.features}")
        if self.confidence_map and not self.warping:
            raise ModelError("confidence_map needs warping, as there is nothing else to weight")


class Fagdn(nn.Module):
    """`RawVideoNetwork` of model/network.py: 10.58 M parameters with 32 features."""

    def __init__(self, config: FagdnConfig = FagdnConfig()) -> None:
        super().__init__()
        self.config = config
        if config.confidence_map:
            self.confidence_map = nn.Sequential(ConvBlock(6, 16), Conv(16, 1, 3), nn.Sigmoid())
        if config.warping:
            self.conv_raw = Conv(4, 4, 1)
        self.mapping_branch = MappingBranch(config)

    def forward(
        self, from_rgb: Tensor, to_rgb: Tensor, from_raw: Tensor, flow: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """De-render one frame.

        Args:
            from_rgb: previous sRGB frame at half size, 0..1, [B, 3, H, W], float32; sides are
                multiples of `MULTIPLE`.
            to_rgb: current sRGB frame, like `from_rgb`.
            from_raw: previous RAW, DN / (2^bits − 1), [B, 4, H, W].
            flow: from the previous to the current frame in these pixels, (x, y), [B, 2, H, W].

        Returns:
            The current RAW, 0..1, [B, 4, H, W], and the side outputs for the auxiliary loss at 1/2,
            1/4 and 1/8 of its size, all in the weights' precision.

        Raises:
            MismatchError: sides aren't multiples of `MULTIPLE`.
        """
        height, width = to_rgb.shape[-2:]
        if height % MULTIPLE or width % MULTIPLE:
            raise MismatchError(
                f"sides must be multiples of {MULTIPLE}; got {height}×{width}; pad them"
            )
        dtype = next(self.parameters()).dtype
        previous, current = torch.cat([from_rgb, from_raw], dim=1), to_rgb.to(dtype)
        if self.config.warping:
            # Not in half precision: coordinates need more, and PyTorch 2.13 gives NaN.
            warped = warp(previous, flow).to(dtype)
            prior = self.conv_raw(warped[:, 3:])
            if self.config.confidence_map:
                # model/network.py multiplies; the paper's eq. 7 reads as concatenation.
                both = torch.cat([current, warped[:, :3]], dim=1)
                prior = prior * self.confidence_map(both)
            current = torch.cat([current, prior], dim=1)
        # The previous frame isn't warped here (model/network.py; eq. 7).
        result: tuple[Tensor, list[Tensor]] = self.mapping_branch(current, previous.to(dtype))
        return result


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Move an image [B, C, H, W] along a flow [B, 2, H, W], as model/utils.py does.

    It has two peculiarities: the image is sampled at `grid − flow`, although the flow starts at the
    *previous* frame's pixels; and coordinates are normalised by side − 1 but sampled with
    `align_corners=False`, so that even zero flow scales the image by one pixel about its centre.
    """
    height, width = flow.shape[-2:]
    x = torch.arange(width, dtype=flow.dtype, device=flow.device)
    y = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None]
    grid = torch.stack(
        [
            2 * (x - flow[:, 0]) / max(width - 1, 1) - 1,
            2 * (y - flow[:, 1]) / max(height - 1, 1) - 1,
        ],
        dim=-1,
    )
    moved = F.grid_sample(image, grid, align_corners=False)
    inside = F.grid_sample(torch.ones_like(image[:, :1]), grid, align_corners=False)
    return moved * (inside >= FULL_WEIGHT)


class MappingBranch(nn.Module):
    """Encoders, bottleneck and decoder (model/network.py: MappingBranch)."""

    def __init__(self, config: FagdnConfig) -> None:
        super().__init__()
        first = config.features
        self.encoder = Encoder(config)
        self.bottleneck = _double_conv(first * 8, first * 16)
        self.de_block4 = DecoderBlock(first * 16, first * 8)
        self.de_block3 = DecoderBlock(first * 8, first * 4)
        self.de_block2 = DecoderBlock(first * 4, first * 2)
        self.de_block1 = DecoderBlock(first * 2, first)

    def forward(self, current: Tensor, previous: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the RAW, and the side outputs from fine to coarse."""
        deepest, skips = self.encoder(current, previous)
        features = self.bottleneck(_pool(deepest))
        outputs = []
        blocks = (self.de_block4, self.de_block3, self.de_block2, self.de_block1)
        for block, skip in zip(blocks, reversed(skips), strict=True):
            features, output = block(features, skip)
            outputs.append(output)
        return outputs[-1], outputs[-2::-1]


class Encoder(nn.Module):
    """Two encoders; at each level, features of the previous frame are added to the current ones.

    The decoder gets the current features *before* this aggregation (model/network.py: Encoder).
    """

    def __init__(self, config: FagdnConfig) -> None:
        super().__init__()
        self._gla = config.gla
        before, before_ref = 7 if config.warping else 3, 7
        for level, patch in enumerate(GLA_PATCHES, start=1):
            features = config.features * 2 ** (level - 1)
            self.add_module(f"encoder{level}", _double_conv(before, features))
            if config.gla:
                self.add_module(f"encoder{level}_ref", _double_conv(before_ref, features))
                self.add_module(f"gla{level}", Gla(patch, features))
            before = before_ref = features

    def forward(self, current: Tensor, previous: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the deepest features after aggregation, and each level's before it, fine first."""
        skips = []
        for level in range(1, len(GLA_PATCHES) + 1):
            if level > 1:
                current, previous = _pool(current), _pool(previous)
            current = self.get_submodule(f"encoder{level}")(current)
            skips.append(current)
            if self._gla:
                previous = self.get_submodule(f"encoder{level}_ref")(previous)
                current = self.get_submodule(f"gla{level}")(current, previous)
        return current, skips


class DecoderBlock(nn.Module):
    """Upsampling by 2 and concatenation with the skip; outputs a RAW image at each level."""

    def __init__(self, before: int, features: int) -> None:
        super().__init__()
        self.upconv = nn.ConvTranspose2d(before, features, kernel_size=2, stride=2)
        self.decoder = _double_conv(features * 2, features)
        self.side_out = nn.Sequential(ConvBlock(features, 16), Conv(16, 4, 3))

    def forward(self, features: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features, and the RAW image of this level, 0..1."""
        features = self.decoder(torch.cat([self.upconv(features), skip], dim=1))
        return features, torch.sigmoid(self.side_out(features))


class Gla(nn.Module):
    """Global and local feature aggregation (model/GLA.py)."""

    def __init__(self, patch: int, channels: int) -> None:
        super().__init__()
        self._patch = patch
        self.globalGuidance = Guidance(channels)
        self.localGuidance = Guidance(channels)

    def forward(self, current: Tensor, previous: Tensor) -> Tensor:
        """Add the previous frame's features to the current frame's; all are [B, C, H, W].

        Both are split into patches once, [B·patches, side², C]. In global attention, a patch is
        represented by its maximum; in local attention, its pixels attend to each other.
        """
        batch, channels, height, width = current.shape
        side = self._patch
        rows, columns = height // side, width // side

        def split(image: Tensor) -> Tensor:
            pixels = image.permute(0, 2, 3, 1)
            pixels = pixels.reshape(batch, rows, side, columns, side, channels)
            return pixels.transpose(2, 3).reshape(-1, side * side, channels)

        def patch_maxima(image: Tensor) -> Tensor:
            return F.max_pool2d(image, side).flatten(2).transpose(1, 2)

        pixels = split(current)
        global_features = self.globalGuidance(patch_maxima(current), patch_maxima(previous))
        local = self.localGuidance(pixels, split(previous))
        pixels = pixels + (global_features.reshape(-1, 1, channels) + local)
        pixels = pixels.reshape(batch, rows, columns, side, side, channels).transpose(2, 3)
        return pixels.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


class Guidance(nn.Module):
    """Attention from the current frame's vectors to the previous frame's (model/GLA.py)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj_x = Mlp(channels)
        self.proj_y = Mlp(channels)
        self.cross_attention = CrossAttention(channels)
        self.expand = Mlp(channels)

    def forward(self, current: Tensor, previous: Tensor) -> Tensor:
        """Attend; both arguments and the result are [B, N, C]."""
        attended = self.cross_attention(self.proj_x(current), self.proj_y(previous))
        result: Tensor = self.expand(attended)
        return result


class CrossAttention(nn.Module):
    """Attention with one head, no output projection, and a skip from the input (model/GLA.py)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear_q = nn.Linear(channels, channels, bias=False)
        self.linear_k = nn.Linear(channels, channels, bias=False)
        self.linear_v = nn.Linear(channels, channels, bias=False)

    def forward(self, current: Tensor, previous: Tensor) -> Tensor:
        """Attend; both arguments and the result are [B, N, C].

        The authors' two matrix products need N² numbers per window; PyTorch's fused attention
        (also scaled by 1/√C) needs only a few rows, if called with one head.
        """
        query = self.linear_q(current)[:, None]
        key, value = self.linear_k(previous)[:, None], self.linear_v(previous)[:, None]
        return current + F.scaled_dot_product_attention(query, key, value)[:, 0]


class Mlp(nn.Module):
    """Two linear layers, dropout 0.2 after each (model/GLA.py; not in the paper)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, channels)
        self.fc2 = nn.Linear(channels, channels)
        self.drop = nn.Dropout(0.2)

    def forward(self, vectors: Tensor) -> Tensor:
        """Apply to vectors […, C]."""
        hidden = self.drop(F.relu(self.fc1(vectors), inplace=True))
        result: Tensor = self.drop(self.fc2(hidden))
        return result


class Conv(nn.Module):
    """A convolution with odd kernel and same output size (model/layers.py: Conv3x3, Conv1x1)."""

    def __init__(self, before: int, after: int, side: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, side, padding=side // 2)

    def forward(self, image: Tensor) -> Tensor:
        """Apply to an image [B, C, H, W]."""
        result: Tensor = self.conv(image)
        return result


class ConvBlock(nn.Module):
    """A 3×3 convolution and ReLU, no normalisation (model/layers.py)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.basicconv = nn.Sequential()
        self.basicconv.add_module("conv", nn.Conv2d(before, after, 3, padding=1))
        self.basicconv.add_module("relu", nn.ReLU(inplace=True))

    def forward(self, image: Tensor) -> Tensor:
        """Apply to an image [B, C, H, W]."""
        result: Tensor = self.basicconv(image)
        return result


def _double_conv(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(ConvBlock(before, after), ConvBlock(after, after))


def _pool(image: Tensor) -> Tensor:
    return F.max_pool2d(image, 2)
