"""INF: a small network per frame from colour and position to RAW, fitted to 1.6 % of the RAW.

Written from "Metadata-Based RAW Reconstruction via Implicit Neural Functions" (Li et al., CVPR
2023); what the paper doesn't state is as in its authors' settings. Frames larger than about 256
packed pixels are divided into patches, each with its own network, fitted to the samples of the
patch and of its neighbours. RAW is the packed planes after black subtraction (the paper's RAW is
demosaiced).

Two details of the authors' code differ: it reports the mean of the patches' PSNRs, which is higher
than the frame's PSNR, and at the frame's border it fits zeros for missing neighbours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rvdtool.raw.bayer import to_dn
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.method import Method, PredictedFrame
from rvdtool.research.benchmark.packed import PackedFrame, Planes, pack, unpack

OMEGA = 30.0
"""Frequency of the sines (SIREN, Sitzmann et al. 2020)."""

CHUNK = 1 << 16
"""Number of pixels predicted at once."""


@dataclass(frozen=True)
class InfOptions:
    """The authors' settings.

    Attributes:
        spacing: spacing of the uniform grid of samples in packed pixels; 8 gives 1.5625 %.
        patch: approximate side of a network's patch in packed pixels.
        steps: steps of Adam over all samples; the rate starts at `rate`, and is halved every
            `halved_every` steps.
    """

    spacing: int = 8
    patch: int = 256
    steps: int = 500
    rate: float = 1e-4
    halved_every: int = 200


class Inf(Method):
    """INF, fitted to each frame separately."""

    name = "inf"
    alone = True
    sources = ("research.benchmark.inf", "research.benchmark.packed", "fagdn.chain")

    def __init__(self, device: str = "cpu", options: InfOptions = InfOptions()) -> None:
        self._device = torch.device(device)
        self._options = options

    def key(self) -> dict[str, str]:
        """As `Method.key`."""
        return {**super().key(), "options": str(asdict(self._options))}

    def predict(self, clip: BenchmarkClip, wanted: Sequence[int]) -> Iterator[PredictedFrame]:
        """As `Method.predict`."""
        for index in wanted:
            picture, raw = clip.srgb(index), clip.raw(index)
            start = perf_counter()
            planes = reconstruct(pack(picture, raw), self._options, seed=index, at=self._device)
            values = to_dn(unpack(planes, raw), raw.black, raw.white)
            yield PredictedFrame(index, values, perf_counter() - start)

    def metadata_bytes(self, clip: BenchmarkClip) -> float:
        """Bytes for four values per sample; the positions are fixed."""
        height, width = (-(-side // 2) for side in clip.reference.size)
        samples = len(_grid(height, self._options)) * len(_grid(width, self._options))
        return samples * 4 * clip.reference.bits / 8


class Siren(nn.Module):
    """A network from colour and position to RAW, with sines as activations."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.color = nn.ModuleList([_layer(3, 256, True), _layer(256, 256), _layer(256, 128)])
        self.place = nn.ModuleList([_layer(2, 256, True), _layer(256, 256), _layer(256, 128)])
        self.joined = nn.ModuleList([_layer(256, 256) for _ in range(3)])
        self.head = _layer(256, outputs)

    def forward(self, color: Tensor, place: Tensor) -> Tensor:
        """Map colours [N, 3] and positions [N, 2], both 0..1, to RAW [N, outputs]."""
        for layer in self.color:
            color = torch.sin(OMEGA * layer(color))
        for layer in self.place:
            place = torch.sin(OMEGA * layer(place))
        both = torch.cat([color, place], -1)
        for layer in self.joined:
            both = torch.sin(OMEGA * layer(both))
        result: Tensor = self.head(both)
        return result


def reconstruct(
    frame: PackedFrame,
    options: InfOptions,
    *,
    seed: int,
    at: torch.device = torch.device("cpu"),
) -> Planes:
    """Fit to a frame's samples, and predict the whole frame: normalised planes [C, h, w], ≥ 0.

    Args:
        frame: the frame; its RAW is used only at the samples.
        options: settings of the fit.
        seed: seed of the networks' initial weights; PyTorch's global generator isn't changed.
        at: the device to compute on.
    """
    height, width = frame.raw.shape[1:]
    rows, columns = _grid(height, options), _grid(width, options)
    place = np.stack(
        np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height)), 0, dtype=np.float32
    )
    known = np.concatenate([frame.srgb, place, frame.raw])[:, rows[:, None], columns]
    seen = np.concatenate([frame.srgb, place])
    result = np.empty_like(frame.raw)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for top, bottom in _patches(height, options):
            near_rows = _near(rows, top, bottom)
            for left, right in _patches(width, options):
                samples = known[:, near_rows][:, :, _near(columns, left, right)]
                patch = seen[:, top:bottom, left:right]
                result[:, top:bottom, left:right] = _fit(samples, patch, options, at)
    return np.maximum(result, 0)


def _fit(samples: Planes, patch: Planes, options: InfOptions, at: torch.device) -> Planes:
    """Fit to samples [3 + 2 + C, …], and predict a patch [3 + 2, h, w] → [C, h, w]."""
    flat = torch.from_numpy(np.ascontiguousarray(samples.reshape(len(samples), -1).T)).to(at)
    color, place, raw = flat[:, :3], flat[:, 3:5], flat[:, 5:]
    network = Siren(raw.shape[1]).to(at)
    adam = torch.optim.Adam(
        [
            {"params": network.place.parameters(), "weight_decay": 0.1},
            {"params": network.color.parameters(), "weight_decay": 1e-4},
            {
                "params": [*network.joined.parameters(), *network.head.parameters()],
                "weight_decay": 1e-3,
            },
        ],
        lr=options.rate,
    )
    schedule = torch.optim.lr_scheduler.StepLR(adam, options.halved_every, 0.5)
    for _ in range(options.steps):
        adam.zero_grad()
        torch.autograd.backward(nn.functional.mse_loss(network(color, place), raw))
        adam.step()
        schedule.step()
    pixels = torch.from_numpy(np.ascontiguousarray(patch.reshape(len(patch), -1).T)).to(at)
    with torch.no_grad():
        parts = [network(part[:, :3], part[:, 3:]) for part in torch.split(pixels, CHUNK)]
    values: Planes = torch.cat(parts).T.cpu().numpy().reshape(-1, *patch.shape[1:])
    return values


def _layer(inputs: int, outputs: int, first: bool = False) -> nn.Linear:
    """A linear layer with SIREN's initialisation."""
    layer = nn.Linear(inputs, outputs)
    bound = 1 / inputs if first else (6 / inputs) ** 0.5 / OMEGA
    nn.init.uniform_(layer.weight, -bound, bound)
    return layer


def _grid(side: int, options: InfOptions) -> NDArray[np.int64]:
    """Positions of the samples along a side, centred."""
    return np.arange(side % options.spacing // 2, side, options.spacing)


def _patches(side: int, options: InfOptions) -> list[tuple[int, int]]:
    """Start and end of the patches along a side."""
    count = max(1, round(side / options.patch))
    edges = [round(side * number / count) for number in range(count + 1)]
    return list(pairwise(edges))


def _near(grid: NDArray[np.int64], start: int, end: int) -> NDArray[np.bool_]:
    """Which samples lie in a patch or within a patch's length on either side of it."""
    reach = end - start
    return (grid >= start - reach) & (grid < end + reach)
