"""Copy-warp: the first RAW frame, warped from frame to frame along the optical flow."""

from collections.abc import Iterator, Sequence
from time import perf_counter

from rvdtool.raw.bayer import normalise, to_dn
from rvdtool.reconstruct.flow import estimate_flow, flow_image, resize_flow, sample_mosaic
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.method import Method, PredictedFrame


class CopyWarp(Method):
    """A baseline from motion only, which ignores the sRGB frames' brightness and colour."""

    name = "copy-warp"
    sources = ("research.benchmark.copy_warp", "reconstruct.flow")

    def predict(self, clip: BenchmarkClip, wanted: Sequence[int]) -> Iterator[PredictedFrame]:
        """As `Method.predict`."""
        reference = clip.reference
        raw = normalise(reference.mosaic, reference.black, reference.white)
        grey = flow_image(clip.srgb(0))
        for index in range(1, wanted[-1] + 1):
            picture = clip.srgb(index)
            start = perf_counter()
            previous, grey = grey, flow_image(picture)
            flow = resize_flow(estimate_flow(grey, previous), reference.size)
            raw = sample_mosaic(raw, flow)
            values = to_dn(raw, reference.black, reference.white)
            yield PredictedFrame(index, values, perf_counter() - start)
