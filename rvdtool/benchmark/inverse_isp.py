"""Inverse ISP: learnt on the first frame, of which sRGB and RAW are known, applied to all."""

from collections.abc import Iterator, Sequence
from time import perf_counter

from rvdtool.benchmark.clip import Clip
from rvdtool.benchmark.method import Method, Prediction, to_dn
from rvdtool.derender.brightness import has_auto_brightness
from rvdtool.derender.inverse_isp import InverseIsp
from rvdtool.raw.bayer import normalise


class Inverse(Method):
    """What colour alone gives: no look at motion, nor at the gain of the ISP."""

    name = "inverse-isp"
    sources = (
        "benchmark.inverse_isp",
        "derender.inverse_isp",
        "derender.isp_features",
        "derender.isp_prior",
        "derender.brightness",
    )

    def predict(self, clip: Clip, wanted: Sequence[int]) -> Iterator[Prediction]:
        """As `Method.predict`."""
        reference = clip.reference
        first = clip.srgb(0)
        start = perf_counter()
        raw = normalise(reference.mosaic, reference.black, reference.white)
        inverse = InverseIsp.calibrate(
            first, raw, reference.phase, by_libraw=has_auto_brightness(reference, first)
        )
        calibration = perf_counter() - start
        for index in range(1, wanted[-1] + 1):
            picture = clip.srgb(index)
            start = perf_counter()
            values = to_dn(inverse(picture).value, reference)
            yield Prediction(index, values, perf_counter() - start + calibration)
            calibration = 0.0
