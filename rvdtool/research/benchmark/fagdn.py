"""The published FAGDN, in its authors' chain."""

from collections.abc import Iterator, Sequence
from time import perf_counter

import torch

from rvdtool.errors import ModelError
from rvdtool.fagdn.chain import FagdnChain
from rvdtool.fagdn.network import Fagdn
from rvdtool.network.checkpoint import Model
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.method import Method, PredictedFrame, switches_of


class PaperFagdn(Method):
    """The published FAGDN in float32, with the authors' weights or weights trained here.

    Flow is that of the data set (UniMatch's in RVD) if it has any, else it is estimated.
    """

    sources = ("research.benchmark.fagdn", "fagdn.chain", "reconstruct.flow", "fagdn.network")

    def __init__(self, model: Model, device: str = "cpu") -> None:
        if not isinstance(model.network, Fagdn):
            raise ModelError(f"{model.name}: a model of kind {model.kind!r}, not 'fagdn'")
        self.name = model.name
        self.switches = switches_of(model)
        self._sha256 = model.sha256
        self._network = model.network.to(torch.device(device))

    def key(self) -> dict[str, str]:
        """As `Method.key`."""
        return {**super().key(), "model": self._sha256}

    def predict(self, clip: BenchmarkClip, wanted: Sequence[int]) -> Iterator[PredictedFrame]:
        """As `Method.predict`."""
        flow = (lambda index, _: clip.flow(index)) if clip.has_flow else None
        chain = FagdnChain(self._network, clip.reference, clip.srgb(0), flow)
        for index in range(1, wanted[-1] + 1):
            picture = clip.srgb(index)
            start = perf_counter()
            chain.step(picture)
            values = chain.values()
            yield PredictedFrame(index, values, perf_counter() - start)
