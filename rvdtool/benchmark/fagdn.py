"""Our own network, in the chain that `rvdtool derender` runs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
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

    def __init__(self, model: Model, device: str = "cpu", *, known_previous: bool = False) -> None:
        """Nothing is run yet.

        Args:
            model: of kind `fagdn`.
            device: where it runs.
            known_previous: give it the *true* RAW of every previous frame: a bound, and no method.

        Raises:
            ModelError: a model of another kind.
        """
        if not isinstance(model.network, Fagdn):
            raise ModelError(f"{model.name}: a model of kind {model.kind!r}, not 'fagdn'")
        self.name = f"{model.name}+known-previous" if known_previous else model.name
        self._known_previous = known_previous
        self.switches = switches_of(model)
        self._sha256 = model.sha256
        self._network = model.network.to(torch.device(device))

    def key(self) -> dict[str, str]:
        """As `Method.key`."""
        return {**super().key(), "model": self._sha256}

    def predict(self, clip: Clip, wanted: Sequence[int]) -> Iterator[Prediction]:
        """As `Method.predict`."""
        for chain, step, seconds in run_chain(clip, wanted[-1], self._network):
            yield Prediction(step.state.index, step.mosaic, seconds)
            if self._known_previous:
                mosaic = clip.raw(step.state.index).mosaic
                known = np.zeros_like(step.state.variance)
                chain.resume(replace(step.state, mosaic=mosaic, variance=known))
