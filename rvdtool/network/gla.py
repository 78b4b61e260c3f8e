"""Global and local feature aggregation (GLA) from the reference frame to the current one.

As in the paper's Figure 6, this is cross-attention: queries come from the current frame's features,
keys and values from the reference frame's. In *local* guidance, each pixel attends to the pixels of
its own patch, in *global* guidance to all patches of the reference frame. Both results are added to
the current features.

The differences from the paper are:

- The reference features are warped along the flow before patches are paired, so that both patches
  of a pair show the same thing. The paper pairs patches at equal positions.
- Global keys and values are patch means, and queries are pixels instead of patches, since the
  mapping depends on a pixel's colour and a patch contains several. `scaled_dot_product_attention`
  avoids storing the matrix of all pairs.
- The outputs are initialised with zero: an untrained module changes nothing.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 4
"""Side of a patch, in feature pixels."""


class WarpedGla(nn.Module):
    """Adds information from the reference frame's features to the current frame's."""

    def __init__(self, channels: int, heads: int) -> None:
        """Build the module for features of `channels` channels, a multiple of `heads`."""
        super().__init__()
        self.local_guidance = _Guidance(channels, heads)
        self.global_guidance = _Guidance(channels, heads)

    def forward(self, current: Tensor, reference: Tensor, flow: Tensor) -> Tensor:
        """Add the reference frame's information to the current features.

        Args:
            current, reference: [B, C, h, w].
            flow: current → reference in feature pixels, [B, 2, h, w] (x, y).

        Returns:
            The new current features, [B, C, h, w].
        """
        b, c, height, width = current.shape
        # Pad to complete patches by repeating the last row and column.
        padding = (0, -width % PATCH, 0, -height % PATCH)
        padded, warped = (
            F.pad(x, padding, mode="replicate") for x in (current, warp(reference, flow))
        )
        local = self.local_guidance(_patches(padded), _patches(warped))
        current = current + _join(local, *padded.shape[-2:])[..., :height, :width]
        tokens = F.avg_pool2d(reference, PATCH, ceil_mode=True).flatten(2).transpose(1, 2)
        added = self.global_guidance(current.flatten(2).transpose(1, 2), tokens)
        return current + added.transpose(1, 2).reshape(b, c, height, width)


class _Guidance(nn.Module):
    """Attention from the current frame's features to the reference frame's."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_query = nn.LayerNorm(channels)
        self.norm_source = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, current: Tensor, source: Tensor) -> Tensor:
        """Args: current: [N, n, C]; source: [N, m, C]. Returns: [N, n, C]."""
        query = self.query(self.norm_query(current))
        key, value = self.key_value(self.norm_source(source)).chunk(2, dim=-1)
        split = (self.heads, current.shape[-1] // self.heads)
        query, key, value = (x.unflatten(-1, split).transpose(1, 2) for x in (query, key, value))
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.out(attended.transpose(1, 2).flatten(2))


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Sample `features` [B, C, h, w] bilinearly at grid + flow [B, 2, h, w]; edges are repeated."""
    height, width = features.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=flow.device, dtype=flow.dtype),
        torch.arange(width, device=flow.device, dtype=flow.dtype),
        indexing="ij",
    )
    # Pixel centres in grid_sample's coordinates: −1…1 from edge to edge (align_corners=False).
    at = torch.stack(
        [
            (2 * (x + flow[:, 0]) + 1) / width - 1,
            (2 * (y + flow[:, 1]) + 1) / height - 1,
        ],
        dim=-1,
    )
    return F.grid_sample(
        features, at.to(features.dtype), padding_mode="border", align_corners=False
    )


def _patches(features: Tensor) -> Tensor:
    """Split into patches: [B, C, h, w] → [B · patches, PATCH², C]."""
    b, c, h, w = features.shape
    split = features.reshape(b, c, h // PATCH, PATCH, w // PATCH, PATCH)
    return split.permute(0, 2, 4, 3, 5, 1).reshape(-1, PATCH * PATCH, c)


def _join(patches: Tensor, height: int, width: int) -> Tensor:
    """Join patches; the inverse of `_patches`: [B · patches, PATCH², C] → [B, C, h, w]."""
    c = patches.shape[-1]
    split = patches.reshape(-1, height // PATCH, width // PATCH, PATCH, PATCH, c)
    return split.permute(0, 5, 1, 3, 2, 4).reshape(-1, c, height, width)
