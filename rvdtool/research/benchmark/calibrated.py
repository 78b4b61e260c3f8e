"""Benchmark methods of rvdtool's own network, on the chain that `rvdtool derender` runs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np

from rvdtool.network.checkpoint import Model
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.fusion import ChainMethod, Link, run_chain
from rvdtool.research.benchmark.method import Method, PredictedFrame, TrainedMethod, switches_of


class Calibrated(TrainedMethod, ChainMethod):
    """De-rendering with a calibrated FAGDN."""

    sources = (
        "research.benchmark.calibrated",
        "research.benchmark.fusion",
        "reconstruct",
        "matching",
        "network.calibrated",
        "network.gla",
    )

    kind = "fagdn-calibrated"

    def __init__(self, model: Model, device: str = "cpu") -> None:
        """As `TrainedMethod`."""
        super().__init__(model, device)
        self.switches = switches_of(model)

    def read(self, clip: BenchmarkClip, links: Iterator[Link]) -> Iterator[PredictedFrame]:
        """As `ChainMethod.read`."""
        first, learned = clip.srgb(0), None
        for link in links:
            index = link.step.state.index
            picture = clip.srgb(index)
            start = perf_counter()
            learned = learned or link.chain.encode_reference(self._network, first)
            mosaic = link.chain.predict(learned, link.step.prior, picture)
            yield PredictedFrame(index, mosaic, link.seconds + perf_counter() - start)


class KnownPrevious(Method):
    """The same with the *true* previous RAW in every step: an upper bound, not a real method."""

    sources = Calibrated.sources

    def __init__(self, model: Model, device: str = "cpu") -> None:
        """As `Calibrated`."""
        self._ours = Calibrated(model, device)
        self.name = f"{model.name}+known-previous"
        self.switches = self._ours.switches

    def key(self) -> dict[str, str]:
        """As `Method.key`."""
        return {**self._ours.key(), "name": self.name}

    def predict(self, clip: BenchmarkClip, wanted: Sequence[int]) -> Iterator[PredictedFrame]:
        """As `Method.predict`."""
        return self._ours.read(clip, _told(clip, run_chain(clip, wanted[-1])))


def _told(clip: BenchmarkClip, links: Iterator[Link]) -> Iterator[Link]:
    """The links of a chain that is given the true RAW of each previous frame."""
    for link in links:
        yield link
        state = link.step.state
        known = np.zeros_like(state.variance)
        link.chain.resume(replace(state, mosaic=clip.raw(state.index).mosaic, variance=known))
