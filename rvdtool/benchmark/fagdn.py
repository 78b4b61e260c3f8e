"""Our own network, in the chain that `rvdtool derender` runs."""

from collections.abc import Iterator, Sequence

import torch

from rvdtool.benchmark.clip import Clip
from rvdtool.benchmark.fusion import run_chain
from rvdtool.benchmark.method import Method, Prediction, switches_of
from rvdtool.errors import ModelError
from rvdtool.network.checkpoint import Model
from rvdtool.network.fagdn import Fagdn


class OurFagdn(Method):
    """The chain with a network in the place of the fusion by variances."""

    sources = ("benchmark.fagdn", "benchmark.fusion", "derender", "network.fagdn", "network.gla")

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

    def predict(self, clip: Clip, wanted: Sequence[int]) -> Iterator[Prediction]:
        """As `Method.predict`."""
        for _, step, seconds in run_chain(clip, wanted[-1], self._network):
            yield Prediction(step.state.index, step.state.mosaic, seconds)
