"""CAM with and without fine-tuning, which needs content-aware RAW samples of every frame."""

import copy
import math
from collections.abc import Iterator, Sequence
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from rvdtool.network.checkpoint import Model
from rvdtool.raw.bayer import to_dn
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.method import PredictedFrame, TrainedMethod
from rvdtool.research.benchmark.packed import pack, unpack
from rvdtool.research.peers.cam import OFFSETS, Cam, sample_loss

TUNING_STEPS = 10
TUNING_RATE = 1e-4
"""Learning rate of Adam for fine-tuning the reconstructor to a frame (the authors' settings)."""


class CamMethod(TrainedMethod):
    """A trained CAM, used unchanged or fine-tuned to the samples of each frame."""

    alone = True
    sources = (
        "research.benchmark.cam",
        "research.benchmark.packed",
        "fagdn.chain",
        "research.peers.cam",
    )

    kind = "cam"

    def __init__(self, model: Model, *, tuned: bool, device: str = "cpu") -> None:
        super().__init__(model, device)
        self.name = f"{model.name}+tuned" if tuned else model.name
        self._tuned = tuned
        self._device = torch.device(device)

    def predict(self, clip: BenchmarkClip, wanted: Sequence[int]) -> Iterator[PredictedFrame]:
        """As `Method.predict`."""
        for index in wanted:
            picture, raw = clip.srgb(index), clip.raw(index)
            start = perf_counter()
            frame = pack(picture, raw)
            srgb, planes = (
                torch.from_numpy(array)[None].to(self._device) for array in (frame.srgb, frame.raw)
            )
            result = reconstruct(self._network, srgb, planes, tuned=self._tuned)
            values = to_dn(unpack(result[0].cpu().numpy(), raw), raw.black, raw.white)
            yield PredictedFrame(index, values, perf_counter() - start)

    def metadata_bytes(self, clip: BenchmarkClip) -> float:
        """Bytes for four values and a position within 3×3 cells per sample."""
        cell = self._network.config.cell
        samples = math.prod(math.ceil(side / 2 / cell) for side in clip.reference.size)
        place = math.ceil(math.log2(len(OFFSETS) * cell * cell))
        return samples * (4 * clip.reference.bits + place) / 8


def reconstruct(network: Cam, srgb: Tensor, raw: Tensor, *, tuned: bool) -> Tensor:
    """Sample a frame of any size and reconstruct it.

    Args:
        network: in evaluation mode; not changed by fine-tuning.
        srgb: [1, 3, h, w].
        raw: [1, 4, h, w]; the sampler uses all of it, the reconstructor only the samples.
        tuned: first fine-tune a copy of the reconstructor to the samples.

    Returns:
        RAW in 0..1, [1, 4, h, w].
    """
    height, width = raw.shape[-2:]
    padding = (0, -width % network.multiple, 0, -height % network.multiple)
    srgb, raw = (F.pad(tensor, padding, mode="replicate") for tensor in (srgb, raw))
    with torch.no_grad():
        result, mask, _ = network(srgb, raw)
    if tuned:
        result = _tune(network, srgb, raw * mask, mask)
    return result[..., :height, :width]


def _tune(network: Cam, srgb: Tensor, samples: Tensor, mask: Tensor) -> Tensor:
    tuned = copy.deepcopy(network)
    adam = torch.optim.Adam(tuned.reconstructor.parameters(), lr=TUNING_RATE)
    for _ in range(TUNING_STEPS):
        adam.zero_grad()
        loss = sample_loss(tuned.reconstruct(srgb, samples, mask), samples, mask)
        torch.autograd.backward(loss)
        adam.step()
    with torch.no_grad():
        return tuned.reconstruct(srgb, samples, mask)
