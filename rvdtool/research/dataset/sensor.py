"""Simulate a sensor: optics, colour filter array, shot and read noise, quantisation."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.frame import CameraProfile, Exposure, Mosaic, RawFrame
from rvdtool.research.dataset.color import camera_from_srgb
from rvdtool.research.dataset.pixels import Image, mix
from rvdtool.research.dataset.recipe import Light, Sensor


def light_factor(light: Light, frame: int) -> float:
    """Factor from source light to the light of frame `frame`: exposure, steps, slow change."""
    factor = light.exposure
    for start, step in light.steps:
        if frame >= start:
            factor *= step
    return factor * (1 + light.flicker * math.sin(math.tau * frame / light.flicker_period))


def falloff(vignetting: float, size: tuple[int, int]) -> NDArray[np.float32]:
    """Relative illumination [H, W]: 1 in the centre, 1 − vignetting in the corners, quadratic."""
    y = np.arange(size[0], dtype=np.float32)[:, None] - np.float32((size[0] - 1) / 2)
    x = np.arange(size[1], dtype=np.float32)[None, :] - np.float32((size[1] - 1) / 2)
    squared = (x * x + y * y) / (x[0, -1] ** 2 + y[-1, 0] ** 2)
    return np.asarray(1 - np.float32(vignetting) * squared, np.float32)


@dataclass(frozen=True)
class SensorNoise:
    """The noise model of a sensor."""

    electrons_per_dn: float
    read_noise: float
    row_noise: float

    def variance(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        """Noise variance in DN² for a noise-free signal in DN above black.

        It includes shot, read and row noise and quantisation (1/12). Not valid near saturation.
        """
        shot = np.maximum(signal, 0) / self.electrons_per_dn
        read = (self.read_noise / self.electrons_per_dn) ** 2
        return np.asarray(shot + read + self.row_noise**2 + 1 / 12)


class Camera:
    """A sensor with its random fixed pattern; converts pictures to RAW frames.

    Noise depends only on seed and frame index, so frames can be made in any order.
    """

    def __init__(self, sensor: Sensor, light: Light, size: tuple[int, int], seed: int) -> None:
        self._sensor = sensor
        self._light = light
        self._seed = seed
        self._matrix = camera_from_srgb(sensor.color_matrix, sensor.neutral)
        self._falloff = falloff(light.vignetting, size) if light.vignetting else None
        rng = np.random.default_rng([seed, 0xF1])
        count = round(sensor.hot_pixels * size[0] * size[1])
        self._hot = rng.choice(size[0] * size[1], count, replace=False)
        self._hot_offset = rng.exponential(0.05, count) * (sensor.white - sensor.black)
        self.noise = SensorNoise(sensor.electrons_per_dn, sensor.read_noise, sensor.row_noise)

    @property
    def profile(self) -> CameraProfile:
        """The camera profile for the DNG."""
        return CameraProfile(
            unique_model=self._sensor.name,
            as_shot_neutral=self._sensor.neutral,
            make="rvdtool",
            model=self._sensor.name,
            color_matrix=self._sensor.color_matrix,
        )

    def signal(self, picture: Image, frame: int) -> NDArray[np.float32]:
        """The noise-free mosaic in DN above black, [H, W], not clipped."""
        camera = mix(picture, self._matrix)
        values = np.empty(picture.shape[:2], np.float32)
        for (row, column), color in np.ndenumerate(self._sensor.phase.pattern):
            values[row::2, column::2] = camera[row::2, column::2, color]
        if self._falloff is not None:
            values *= self._falloff
        values *= light_factor(self._light, frame) * (self._sensor.white - self._sensor.black)
        return np.maximum(values, 0)

    def expose(self, picture: Image, frame: int) -> RawFrame:
        """A RAW frame of the picture, with the noise of that frame index."""
        sensor = self._sensor
        rng = np.random.default_rng([self._seed, 0xA0, frame])
        electrons = rng.poisson(self.signal(picture, frame) * sensor.electrons_per_dn)
        size = picture.shape[:2]
        noise = rng.standard_normal(size, np.float32) * sensor.read_noise
        values = (electrons + noise) / sensor.electrons_per_dn + sensor.black
        if sensor.row_noise:
            values += rng.standard_normal((size[0], 1)) * sensor.row_noise
        np.ravel(values)[self._hot] += self._hot_offset
        mosaic: Mosaic = np.clip(np.rint(values), 0, sensor.white).astype(np.uint16)
        return RawFrame(
            mosaic,
            sensor.phase,
            (sensor.black,) * 4,
            sensor.white,
            sensor.bits,
            self.profile,
            exposure=Exposure(),
        )
