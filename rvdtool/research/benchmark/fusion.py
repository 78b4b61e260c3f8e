"""The training-free fusion, and each of the candidates that it fuses."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from rvdtool.raw.bayer import normalise, to_dn
from rvdtool.reconstruct.chain import Chain, Step
from rvdtool.reconstruct.statistics import Array
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.method import Method, PredictedFrame

PARTS: dict[str, Callable[[Step], Array]] = {
    "inverse-isp+gain": lambda step: step.prior.fit.value,
    "raw-1-along-flow": lambda step: step.prior.warped.value,
    "previous-residual": lambda step: step.prior.previous.value,
    "anchored-residual": lambda step: step.prior.anchored.value,
}
"""Candidates by name, at the reference frame's brightness."""


@dataclass(frozen=True)
class Link:
    """A step of the training-free chain, the chain itself, and the seconds the step took."""

    chain: Chain
    step: Step
    seconds: float


class ChainMethod(Method):
    """A method whose predictions are read from the training-free chain, which several can share."""

    @abstractmethod
    def read(self, clip: BenchmarkClip, links: Iterator[Link]) -> Iterator[PredictedFrame]:
        """Give a prediction for each step of a clip's chain, from `run_chain`."""

    def predict(self, clip: BenchmarkClip, wanted: Sequence[int]) -> Iterator[PredictedFrame]:
        """As `Method.predict`."""
        return self.read(clip, run_chain(clip, wanted[-1]))


class Fusion(ChainMethod):
    """De-rendering as `rvdtool derender --model none` does it."""

    name = "fusion"
    sources = ("research.benchmark.fusion", "reconstruct", "matching")

    def read(self, clip: BenchmarkClip, links: Iterator[Link]) -> Iterator[PredictedFrame]:
        """As `ChainMethod.read`."""
        for link in links:
            yield PredictedFrame(link.step.state.index, link.step.mosaic, link.seconds)


class Part(ChainMethod):
    """A single candidate as the prediction; where it has no value, the fit. The chain itself isn't
    changed."""

    sources = Fusion.sources

    def __init__(self, name: str) -> None:
        self.name = name
        self._candidate = PARTS[name]

    def read(self, clip: BenchmarkClip, links: Iterator[Link]) -> Iterator[PredictedFrame]:
        """As `ChainMethod.read`."""
        for link in links:
            state = link.step.state
            value = self._candidate(link.step) * np.float32(state.exposure)
            values = to_dn(value, clip.reference.black, clip.reference.white)
            yield PredictedFrame(state.index, values, link.seconds)


class KnownGain(ChainMethod):
    """The inverse ISP with the gain that fits the *true* RAW best: a bound, not a real method."""

    name = "inverse-isp+known-gain"
    sources = Fusion.sources

    def read(self, clip: BenchmarkClip, links: Iterator[Link]) -> Iterator[PredictedFrame]:
        """As `ChainMethod.read`."""
        for link in links:
            index, prior = link.step.state.index, link.step.prior
            raw = clip.raw(index)
            true = normalise(raw.mosaic, raw.black, raw.white)
            fit, free = prior.fit.value, prior.clipped == 0
            gain = float((true[free] * fit[free]).sum() / max((fit[free] ** 2).sum(), 1e-12))
            bright = fit * np.float32(gain)
            values = to_dn(bright, clip.reference.black, clip.reference.white)
            yield PredictedFrame(index, values, link.seconds)


def run_chain(clip: BenchmarkClip, last: int) -> Iterator[Link]:
    """The training-free chain's steps up to frame `last`; the first one's time includes
    calibration."""
    first = clip.srgb(0)
    start = perf_counter()
    chain = Chain(clip.reference, first)
    calibration = perf_counter() - start
    for index in range(1, last + 1):
        picture = clip.srgb(index)
        start = perf_counter()
        step = chain.step(picture)
        yield Link(chain, step, perf_counter() - start + calibration)
        calibration = 0.0
