"""Inverse ISP: fitted on the first frame, where sRGB and RAW are known, and applied to all."""

from collections.abc import Iterator, Sequence
from time import perf_counter

from rvdtool.raw.bayer import normalise, to_dn
from rvdtool.reconstruct.brightness import has_auto_brightness
from rvdtool.reconstruct.inverse_isp import InverseIsp
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.method import Method, PredictedFrame


class Inverse(Method):
    """A baseline from colour only, without motion and without the ISP's gain."""

    name = "inverse-isp"
    sources = (
        "research.benchmark.inverse_isp",
        "reconstruct.inverse_isp",
        "reconstruct.isp_features",
        "reconstruct.isp_prior",
        "reconstruct.brightness",
    )

    def predict(self, clip: BenchmarkClip, wanted: Sequence[int]) -> Iterator[PredictedFrame]:
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
            values = to_dn(inverse(picture).value, reference.black, reference.white)
            yield PredictedFrame(index, values, perf_counter() - start + calibration)
            calibration = 0.0
