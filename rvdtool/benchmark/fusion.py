"""Our training-free fusion, and its parts by themselves: every candidate that it blends."""

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from rvdtool.benchmark.clip import Clip
from rvdtool.benchmark.method import Method, Prediction, to_dn
from rvdtool.derender.chain import Chain, Step
from rvdtool.derender.statistics import Array
from rvdtool.raw.bayer import normalise

if TYPE_CHECKING:
    from rvdtool.network.fagdn import Fagdn

PARTS: dict[str, Callable[[Step], Array]] = {
    "inverse-isp+gain": lambda step: step.prior.fit.value,
    "raw-1-along-flow": lambda step: step.prior.warped.value,
    "previous-residual": lambda step: step.prior.previous.value,
    "anchored-residual": lambda step: step.prior.anchored.value,
}
"""Candidates by name, as bright as frame 1."""


class Fusion(Method):
    """What `rvdtool derender` does without a network."""

    name = "fusion"
    sources = ("benchmark.fusion", "derender")

    def predict(self, clip: Clip, wanted: Sequence[int]) -> Iterator[Prediction]:
        """As `Method.predict`."""
        for _, step, seconds in run_chain(clip, wanted[-1]):
            yield Prediction(step.state.index, step.mosaic, seconds)


class Part(Method):
    """One candidate as the answer; where it has none, it is the fit. The chain runs as ever."""

    sources = Fusion.sources

    def __init__(self, name: str) -> None:
        self.name = name
        self._candidate = PARTS[name]

    def predict(self, clip: Clip, wanted: Sequence[int]) -> Iterator[Prediction]:
        """As `Method.predict`."""
        for chain, step, seconds in run_chain(clip, wanted[-1]):
            exposure = chain.exposure(step.state.brightness, step.state.index)
            values = to_dn(self._candidate(step) * exposure, clip.reference)
            yield Prediction(step.state.index, values, seconds)


class KnownGain(Method):
    """The inverse ISP with the gain that fits the *true* RAW best: a bound, and no method."""

    name = "inverse-isp+known-gain"
    sources = Fusion.sources

    def predict(self, clip: Clip, wanted: Sequence[int]) -> Iterator[Prediction]:
        """As `Method.predict`."""
        for _, step, seconds in run_chain(clip, wanted[-1]):
            raw = clip.raw(step.state.index)
            true = normalise(raw.mosaic, raw.black, raw.white)
            fit, free = step.prior.fit.value, step.prior.clipped == 0
            gain = float((true[free] * fit[free]).sum() / max((fit[free] ** 2).sum(), 1e-12))
            values = to_dn(fit * np.float32(gain), clip.reference)
            yield Prediction(step.state.index, values, seconds)


def run_chain(
    clip: Clip, last: int, network: "Fagdn | None" = None
) -> Iterator[tuple[Chain, Step, float]]:
    """The chain's steps up to frame `last`, and the seconds each took."""
    first = clip.srgb(0)
    start = perf_counter()
    chain = Chain(clip.reference, first, network=network)
    calibration = perf_counter() - start
    for index in range(1, last + 1):
        picture = clip.srgb(index)
        start = perf_counter()
        step = chain.step(picture)
        yield chain, step, perf_counter() - start + calibration
        calibration = 0.0
