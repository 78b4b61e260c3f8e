"""What is compared, frame by frame, on one video: training-free methods and their parts.

All of them get the first RAW frame and the sRGB video, but for *gain known*, which also sees the
true RAW: it says what a perfect gain would give, and is no method.
"""

from collections.abc import Iterator

import numpy as np

from rvdtool.dataset.rvd import RvdFolder, Video
from rvdtool.derender.chain import Chain, Step
from rvdtool.derender.flow import resize_flow, sample_mosaic
from rvdtool.derender.statistics import Array
from rvdtool.evaluate.metrics import psnr
from rvdtool.raw.bayer import denormalise, normalise
from rvdtool.raw.frame import CameraProfile, Mosaic, RawFrame

COPY = "copy along flow, chained"
FIT = "inverse ISP"
FIT_GAIN = "inverse ISP + gain"
FIT_KNOWN = "inverse ISP, gain known (not a method)"
WARPED = "RAW 1 along flow"
PREVIOUS = "inverse ISP + previous residual"
ANCHORED = "inverse ISP + anchored residual"
FUSION = "fusion"

METHODS = (COPY, FIT, FIT_GAIN, FIT_KNOWN, WARPED, PREVIOUS, ANCHORED, FUSION)


def score_video(folder: RvdFolder, video: Video, frames: int | None) -> Iterator[dict[str, float]]:
    """Yield PSNR in dB (DN / (2^bits − 1), peak 1) per method, for frames 2, 3, ….

    Args:
        folder, video: what to de-render.
        frames: how many frames at most; None: all.

    Raises:
        InputError: a frame is missing or damaged.
    """
    camera = folder.camera(video)
    profile = CameraProfile(
        camera.name or "unknown",
        camera.neutral or (1.0, 1.0, 1.0),
        color_matrix=camera.color_matrix,
    )
    reference = RawFrame(
        mosaic=folder.read_raw(video, 0),
        phase=camera.phase,
        black=camera.black,
        white=camera.white,
        bits=camera.bits,
        profile=profile,
    )
    chain = Chain(reference, folder.read_srgb(video, 0))
    copy = normalise(reference.mosaic, reference.black, reference.white)
    for index in range(1, len(video.frames[:frames])):
        step = chain.step(folder.read_srgb(video, index))
        copy = sample_mosaic(copy, resize_flow(step.motion.near, reference.size))
        true = folder.read_raw(video, index)
        values = _values(
            step,
            chain.exposure(step.state.brightness, step.state.index),
            normalise(true, reference.black, reference.white),
        )
        values[COPY] = copy
        mosaics = {
            name: denormalise(value, reference.black, reference.white)
            for name, value in values.items()
        }
        mosaics[FUSION] = step.state.mosaic
        yield {name: _psnr(mosaics[name], true, reference.bits) for name in METHODS}


def _values(step: Step, exposure: np.float32, true: Array) -> dict[str, Array]:
    """Each candidate as the answer, where it has one; elsewhere the fit."""
    prior = step.prior
    fit = prior.fit.value * exposure
    free = prior.clipped == 0
    known = float((true[free] * fit[free]).sum() / max((fit[free] ** 2).sum(), 1e-12))
    return {
        FIT: prior.fit.value * np.float32(prior.brightness.value),
        FIT_GAIN: fit,
        FIT_KNOWN: fit * np.float32(known),
        WARPED: prior.warped.value * exposure,
        PREVIOUS: prior.previous.value * exposure,
        ANCHORED: prior.anchored.value * exposure,
    }


def _psnr(predicted: Mosaic, true: Mosaic, bits: int) -> float:
    return psnr(predicted.astype(np.float64), true.astype(np.float64), peak=2.0**bits - 1)
