"""Estimate how far a clipped colour exceeds its limit, for clip states that don't occur in the
reference frame.

A single frame doesn't show this, but the surroundings are correlated with it: the width of the
clipped area, the slope of the brightness towards it, which other channels are clipped, and the
range up to the sensor's white. A small perceptron was trained to estimate this and its error on
RVD-Sim's training parts (`examples/learn_highlights.py`). It is evaluated only where needed.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.isp_features import (
    EVERYWHERE,
    FAR,
    NEAR,
    WIDEST,
    Features,
    blurred_at,
    blurred_far,
)
from rvdtool.reconstruct.places import sample_small
from rvdtool.reconstruct.statistics import Array

INPUTS = 3 + 6 + 6 * (len(NEAR) + len(FAR) + 1) + 6
TRUSTED, USUAL = np.float32(0.8), np.float32(0.2)
"""Weight of the perceptron's estimate, and the mean estimate, which gets the remaining weight."""
LEAST = np.float32(0.03)
"""Added to the perceptron's estimate of its error, also in training."""
SURE = 0.15
"""Lower limit of the error, as a fraction of the range between limit and white."""
CAUTION = 1.5
"""Factor by which the estimated error is increased, since real highlights differ from simulated
ones."""


@dataclass(frozen=True)
class Highlights:
    """The perceptron, with two hidden layers.

    Attributes:
        mean, spread: mean and standard deviation of the inputs, [INPUTS].
        layers: (weights [out, in], constants [out]) of each layer.
    """

    mean: Array
    spread: Array
    layers: tuple[tuple[Array, Array], ...]

    @classmethod
    @cache
    def load(cls) -> Self:
        """Load the perceptron that comes with rvdtool."""
        with (
            (files("rvdtool.reconstruct") / "highlights.npz").open("rb") as file,
            np.load(file) as arrays,
        ):
            layers = tuple((arrays[f"weight{k}"], arrays[f"bias{k}"]) for k in range(3))
            if arrays["mean"].shape != (INPUTS,):
                raise ValueError(
                    "highlights.npz was trained for other inputs; run examples/learn_highlights.py"
                )
            return cls(arrays["mean"], arrays["spread"], layers)

    def __call__(self, inputs: Array) -> tuple[Array, Array]:
        """Estimated position between limit (0) and white (1), and its RMS error, [samples] each.

        Args:
            inputs: the result of `highlight_inputs`, [samples, INPUTS].
        """
        x = np.clip((inputs - self.mean) / self.spread, -5, 5)
        for number, (weights, constants) in enumerate(self.layers):
            x = (np.maximum(x, 0) if number else x) @ weights.T + constants
        error = CAUTION * (np.logaddexp(0, x[:, 1]) + LEAST)
        share = TRUSTED * np.clip(x[:, 0], 0, 1) + (1 - TRUSTED) * USUAL
        return share.astype(np.float32), np.maximum(error, SURE).astype(np.float32)


def highlight_inputs(
    features: Features,
    phase: CfaPhase,
    lower_bound: Array,
    white: float,
    tracked: bool,
    where: NDArray[np.intp],
) -> Array:
    """The perceptron's inputs for some photosites of a frame, [samples, INPUTS].

    Args:
        features: the frame's features.
        phase: CFA phase of its mosaic.
        lower_bound: normalised RAW at the clipping limit, at the reference frame's brightness,
            [H, W].
        white: largest value of a photosite, at the reference frame's brightness.
        tracked: whether changes of brightness are attributed to the ISP.
        where: (row, column) of the photosites, [samples, 2].
    """
    rows, columns = where.T
    codes = features.rgb[rows, columns]
    coded = codes.astype(np.float32) / np.float32(features.table.size - 1)
    widest = sample_small(features.far[-1], features.size, rows, columns)
    linear = [*features.around(rows, columns), widest]
    states = _states_around(features, rows, columns)
    maps = [part for scale in zip(linear, states, strict=True) for part in scale]
    depths = [
        cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)[..., None] / features.size[0]
        for mask in (features.clipped > 0, features.clipped == 7)
    ]
    deep = [depth[rows, columns] for depth in depths]
    varying = np.concatenate([features.table[codes], coded, *maps, *deep], axis=1)
    own = np.eye(3, dtype=np.float32)[phase.pattern[rows % 2, columns % 2]]
    constants = ((features.clipped > 0).mean(), white, float(tracked))
    constant_columns = np.tile(np.array(constants, np.float32), (len(where), 1))
    constant_columns = np.concatenate(
        [constant_columns, lower_bound[rows, columns][:, None]], axis=1
    )
    return np.concatenate([own, varying, constant_columns], axis=1).astype(np.float32)


def _states_around(
    features: Features, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> list[Array]:
    """Means of the clip states around some pixels, [samples, 3] per scale."""
    far = blurred_far(features.states_of(EVERYWHERE), (*FAR, WIDEST))
    near = blurred_at(features.states_of, features.size, NEAR, rows, columns)
    return near + [sample_small(one, features.size, rows, columns) for one in far]
