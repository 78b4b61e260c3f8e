"""The paper's FAGDN, in its authors' chain."""

from collections.abc import Iterator, Sequence
from time import perf_counter

from rvdtool.fagdn.chain import FagdnChain
from rvdtool.network.checkpoint import Model
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.method import PredictedFrame, TrainedMethod, switches_of


class PaperFagdn(TrainedMethod):
    """The paper's FAGDN in float32, with the authors' weights or weights trained here.

    Flow is that of the data set (UniMatch's in RVD) if it has any, else it is estimated.
    """

    sources = ("research.benchmark.fagdn", "fagdn.chain", "reconstruct.flow", "fagdn.network")

    kind = "fagdn"

    def __init__(self, model: Model, device: str = "cpu") -> None:
        """As `TrainedMethod`."""
        super().__init__(model, device)
        self.switches = switches_of(model)

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
