"""Compute and store the network's inputs for a video, so that training needs no flow estimation.

All inputs of the network except the candidate from the previous RAW depend only on the video and
the reference frame (`rvdtool.reconstruct.affinity.Evidence`). They are computed once per video by
the training-free chain, and stored with the chain's RAW frames, which serve as previous RAWs. They
are memory-mapped arrays, from which a crop of any frame is read in milliseconds.

Values are stored with just enough precision: variances as logarithms in steps of 12 %, candidates
as float16 differences from the fit, flows in 1/128 pixel, smooth quantities at a quarter of the
size. A 448×320 frame takes 4 MB.
"""

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import InputError
from rvdtool.raw.bayer import normalise
from rvdtool.raw.frame import CfaPhase, Mosaic, Rect
from rvdtool.reconstruct.affinity import Candidate, Evidence
from rvdtool.reconstruct.brightness import Ratio, Shading
from rvdtool.reconstruct.chain import Chain
from rvdtool.reconstruct.statistics import Array
from rvdtool.research.dataset.augment import Augmentation
from rvdtool.research.dataset.rvd import RvdFolder, RvdVideo
from rvdtool.research.fingerprint import code_fingerprint
from rvdtool.video.frame import Rgb

_SOURCES = ("research.training.evidence", "reconstruct", "matching", "raw.bayer", "raw.render")
"""The code that evidence depends on. Evidence made by another version of it isn't used."""
_HEADER = "clip.json"
_SMALL = 4
"""Smooth quantities are stored at the size divided by this."""
_FLOW_STEP = np.float32(1 / 128)
_FIT_STEP, _FIT_LOWEST = np.float32(2**-15), np.float32(-0.5)
_LOG_STEP, _LOG_LOWEST = np.float32(0.115), np.float32(-22)
_LOG_CODES = np.exp(_LOG_LOWEST + _LOG_STEP * np.arange(256, dtype=np.float32))

FEW = 0.05
"""Fraction of unclipped photosites below which brightness isn't compared."""
GAINS = (0.3, 3.0)
"""Limits of the brightness ratio."""

_RELATIVE = ("anchored", "warped", "first_fit", "previous_fit", "lower_bound")
_VARIANCES = ("fit_v", "anchored_v", "warped_v", "fine", "flow_variance", "residual_variance")


def write_evidence(folder: RvdFolder, video: RvdVideo, out: Path) -> None:
    """Run the training-free chain over a video, and store its evidence and RAW in the folder `out`.

    An existing folder is complete and isn't changed.

    Raises:
        InputError: a frame is missing or damaged.
    """
    if (out / _HEADER).exists():
        return
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    reference = folder.read_first(video)
    rgb = folder.read_srgb(video, 0)
    chain = Chain(reference, rgb)
    first = chain.calibration.inverse_isp(rgb)
    variance = chain.calibration.inverse_isp.error(first)
    frames: dict[str, list[NDArray[Any]]] = {
        "rgb": [rgb],
        "raw": [reference.mosaic],
        "fit": [_fixed(first.value)],
        "clipped": [first.clipped],
        "first_v": [_log_code(variance)],
        "state": [reference.mosaic],
        "state_v": [_log_code(chain.state.variance)],
    }
    scalars, errors = [], []
    for index in range(1, len(video.frames)):
        rgb = folder.read_srgb(video, index)
        seen = chain.observe(rgb)
        evidence, state = seen.evidence, chain.advance(seen).state
        for name, array in _encode(evidence).items():
            frames.setdefault(name, []).append(array)
        frames["rgb"].append(rgb)
        frames["raw"].append(folder.read_raw(video, index))
        frames["state"].append(state.mosaic)
        frames["state_v"].append(_log_code(state.variance))
        exposure = evidence.exposure
        scalars.append((evidence.brightness.value, exposure, evidence.cut))
        made, true = (
            normalise(frames[name][-1], reference.black, reference.white) / np.float32(exposure)
            for name in ("state", "raw")
        )
        errors.append(squared_error(made, true, evidence.clipped == 0))
    for name, arrays in frames.items():
        np.save(part / f"{name}.npy", np.stack(arrays))
    header = {
        "code": code_fingerprint(_SOURCES),
        "size": reference.size,
        "phase": reference.phase.value,
        "black": reference.black,
        "white": reference.white,
        "bits": reference.bits,
        "gain_tracked": chain.tracks_gain,
        "scalars": scalars,
        "errors": errors,
    }
    (part / _HEADER).write_text(json.dumps(header))
    part.rename(out)


def squared_error(made: Array, true: Array, free: NDArray[np.bool_]) -> float:
    """Mean squared error of a RAW frame, with the true RAW scaled to its brightness.

    Args:
        made, true: normalised RAW, [H, W].
        free: unclipped photosites, by which brightness is compared, [H, W]; if there are few, the
            true RAW isn't scaled.
    """
    gain = 1.0
    if free.mean() >= FEW:
        own = float((true[free] ** 2).sum())
        gain = float(np.clip((made[free] * true[free]).sum() / max(own, 1e-6), *GAINS))
    return float(((made - np.float32(gain) * true) ** 2).mean())


def require_same(clip: "EvidenceClip", folder: RvdFolder, video: RvdVideo) -> None:
    """Check that evidence belongs to this video.

    Raises:
        InputError: it is that of another video, or of a part of the video.
    """
    same = len(clip) == len(video.frames)
    if not same or not np.array_equal(clip.reference_mosaic, folder.read_raw(video, 0)):
        raise InputError(
            f"{clip.folder}: has evidence of another video than {video.video_name} in "
            f"{folder.root}; choose another --evidence folder, or delete this one"
        )


def _encode(evidence: Evidence) -> dict[str, NDArray[Any]]:
    fit = evidence.fit.value
    values = {
        "anchored": evidence.anchored.value,
        "warped": evidence.warped.value,
        "first_fit": evidence.first_fit,
        "previous_fit": evidence.previous_fit,
    }
    variances = {
        "fit_v": evidence.fit.variance,
        "anchored_v": evidence.anchored.variance,
        "warped_v": evidence.warped.variance,
        "fine": evidence.fine,
        "flow_variance": evidence.flow_variance,
        "residual_variance": evidence.residual_variance,
    }
    small = (fit.shape[1] // _SMALL, fit.shape[0] // _SMALL)
    far = cv2.resize(evidence.far, small, interpolation=cv2.INTER_AREA)
    shade = cv2.resize(evidence.shade, small, interpolation=cv2.INTER_AREA)
    return {
        **{name: (value - fit).astype(np.float16) for name, value in values.items()},
        **{name: _log_code(value) for name, value in variances.items()},
        "fit": _fixed(fit),
        "lower_bound": evidence.lower_bound.astype(np.float16),
        "clipped": evidence.clipped,
        "near": _flow_code(evidence.near),
        "far": _flow_code(far),
        "shade": shade.astype(np.float32),
    }


def _fixed(fit: Array) -> NDArray[np.uint16]:
    codes = np.round((fit - _FIT_LOWEST) / _FIT_STEP)
    return np.clip(codes, 0, 65535).astype(np.uint16)


def _log_code(variance: Array) -> NDArray[np.uint8]:
    codes = np.round((np.log(np.maximum(variance, 1e-12)) - _LOG_LOWEST) / _LOG_STEP)
    return np.clip(codes, 0, 255).astype(np.uint8)


def _flow_code(flow: Array) -> NDArray[np.int16]:
    return np.clip(np.round(flow / _FLOW_STEP), -32768, 32767).astype(np.int16)


class First(NamedTuple):
    """A crop of the reference frame: arguments of `pack_reference`."""

    rgb: Rgb
    raw: Array
    fit: Array
    clipped: NDArray[np.uint8]
    variance: Array


class EvidenceClip:
    """A video's evidence, read frame by frame and crop by crop."""

    def __init__(self, folder: Path) -> None:
        """Open the folder that `write_evidence` wrote.

        Raises:
            InputError: there is no evidence, or another version of the code made it.
        """
        try:
            header = json.loads((folder / _HEADER).read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: no evidence in this folder: {error}") from error
        if header.get("code") != code_fingerprint(_SOURCES):
            raise InputError(
                f"{folder}: evidence made by another version of rvdtool; delete it and repeat the "
                "command, which makes it again"
            )
        self.name = folder.name
        self.size: tuple[int, int] = tuple(header["size"])
        self.phase = CfaPhase(header["phase"])
        self.gain_tracked: bool = header["gain_tracked"]
        self.levels: tuple[tuple[float, float, float, float], int, int] = (
            tuple(header["black"]),
            header["white"],
            header["bits"],
        )
        self._scalars: list[tuple[float, float, bool]] = header["scalars"]
        self._errors: list[float] = header["errors"]
        self.folder = folder

    def __len__(self) -> int:
        """Number of frames, including the reference frame."""
        return len(self._scalars) + 1

    @cached_property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {path.stem: np.load(path, mmap_mode="r") for path in self.folder.glob("*.npy")}

    @property
    def reference_mosaic(self) -> Mosaic:
        """The RAW of the reference frame, DN, uint16 [H, W]."""
        return self._arrays["raw"][0]

    def rgb(self, index: int, augmentation: Augmentation) -> Rgb:
        """A crop of an sRGB frame, [h, w, 3]."""
        rgb: Rgb = augmentation.apply(self._arrays["rgb"][index])
        return rgb

    def raw(self, index: int, augmentation: Augmentation) -> Array:
        """A crop of the true normalised RAW at the reference frame's brightness, [h, w]."""
        return self._mosaic("raw", index, augmentation)

    def state(self, index: int, augmentation: Augmentation) -> tuple[Array, Array]:
        """The training-free chain's result for a frame: a crop of its normalised RAW at the
        reference frame's brightness, and the variance of its predictable error, both [h, w]."""
        return (
            self._mosaic("state", index, augmentation),
            _LOG_CODES[augmentation.apply(self._arrays["state_v"][index])],
        )

    def error(self, index: int) -> float:
        """The training-free chain's `squared_error` of a frame (1, 2, …)."""
        return self._errors[index - 1]

    def _mosaic(self, name: str, index: int, augmentation: Augmentation) -> Array:
        black, white, _ = self.levels
        cell = np.array(black).reshape(2, 2)
        # The crop's cell may be flipped or rotated, and with it levels that differ by position.
        top, left = augmentation.window.top % 2, augmentation.window.left % 2
        cell = Augmentation(
            Rect(0, 0, 2, 2),
            augmentation.transpose,
            augmentation.flip_rows,
            augmentation.flip_columns,
        ).apply(np.roll(cell, (-top, -left), (0, 1)))
        levels = tuple(cell.ravel().tolist())
        raw = normalise(augmentation.apply(self._arrays[name][index]), levels, white)
        return raw / np.float32(self.exposure(index))

    def exposure(self, index: int) -> float:
        """Brightness of a frame's RAW relative to the reference frame, as found by the chain."""
        return self._scalars[index - 1][1] if index else 1.0

    def first(self, augmentation: Augmentation) -> First:
        """A crop of the reference frame."""
        arrays = self._arrays
        return First(
            rgb=self.rgb(0, augmentation),
            raw=self.raw(0, augmentation),
            fit=_unfixed(augmentation.apply(arrays["fit"][0])),
            clipped=augmentation.apply(arrays["clipped"][0]),
            variance=_LOG_CODES[augmentation.apply(arrays["first_v"][0])],
        )

    def evidence(self, index: int, augmentation: Augmentation) -> Evidence:
        """A crop of the evidence of frame `index` (1, 2, …)."""
        fit = _unfixed(augmentation.apply(self._arrays["fit"][index]))
        part = {
            name: augmentation.apply(self._arrays[name][index - 1])
            for name in (*_RELATIVE, *_VARIANCES, "near")
        }
        near = augmentation.apply_flow(
            self._arrays["near"][index - 1].astype(np.float32) * _FLOW_STEP
        )
        value = {name: part[name].astype(np.float32) for name in _RELATIVE}
        variance = {name: _LOG_CODES[part[name]] for name in _VARIANCES}
        window = augmentation.window
        small = Augmentation(
            Rect(
                *(side // _SMALL for side in (window.top, window.left, window.height, window.width))
            ),
            augmentation.transpose,
            augmentation.flip_rows,
            augmentation.flip_columns,
        )
        far = small.apply_flow(self._arrays["far"][index - 1].astype(np.float32) * _FLOW_STEP)
        shade = small.apply(self._arrays["shade"][index - 1])
        size = (fit.shape[1], fit.shape[0])
        return Evidence(
            fit=Candidate(fit, variance["fit_v"]),
            anchored=Candidate(fit + value["anchored"], variance["anchored_v"]),
            warped=Candidate(fit + value["warped"], variance["warped_v"]),
            fine=variance["fine"],
            clipped=augmentation.apply(self._arrays["clipped"][index]),
            brightness=Ratio(self._scalars[index - 1][0], Shading()),
            exposure=self.exposure(index),
            trusted=1.0,
            first_fit=fit + value["first_fit"],
            previous_fit=fit + value["previous_fit"],
            far=cv2.resize(far, size),
            cut=self._scalars[index - 1][2],
            near=near,
            shade=cv2.resize(shade, size),
            flow_variance=variance["flow_variance"],
            residual_variance=variance["residual_variance"],
            lower_bound=value["lower_bound"],
        )


def _unfixed(codes: NDArray[np.uint16]) -> Array:
    return codes.astype(np.float32) * _FIT_STEP + _FIT_LOWEST
