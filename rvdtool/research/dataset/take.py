"""Draw a take: a scene filmed by a random camera, in one of three conditions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from rvdtool.research.dataset.draw import (
    TRAINING_CAMERAS,
    TRAINING_ISP,
    CameraKind,
    Cameras,
    IspRanges,
    draw_camera,
    draw_codec,
    draw_isp,
    draw_layer,
    draw_light,
    draw_sensor,
)
from rvdtool.research.dataset.recipe import Codec, LibRawIsp, Recipe, Sensor, Source, Trajectory

Condition = Literal["A", "B", "C"]
"""A: LibRaw's defaults, lossless. B: A through H.264. C: a camera-like ISP through a codec."""

CONDITIONS: tuple[Condition, ...] = ("A", "B", "C")

_MARGIN = 15
"""Margin in pixels for hand shake beyond the camera's path."""


@dataclass(frozen=True)
class Scene:
    """A background and its size (width, height) after shrinking, which bounds the camera's path."""

    source: Source
    room: tuple[int, int]


@dataclass(frozen=True)
class Take:
    """The given parameters of a recipe; `draw_recipe` draws the others.

    Attributes:
        name, seed, size, frames: as in Recipe; size is (width, height).
        scene: the background.
        layers: textures of foreground objects.
        exposure: normalised sensor value of source white.
        electrons: electrons per photosite at saturation.
        condition: A, B or C.
        camera_kind: kind of camera motion; None to draw it.
        cameras, isp: ranges that sensor and ISP are drawn from.
        sensor: a sensor to use instead of a drawn one.
    """

    name: str
    seed: int
    size: tuple[int, int]
    frames: int
    scene: Scene
    layers: Sequence[Source]
    exposure: float
    electrons: float
    condition: Condition
    camera_kind: CameraKind | None = None
    cameras: Cameras = field(default_factory=lambda: TRAINING_CAMERAS)
    isp: IspRanges = TRAINING_ISP
    sensor: Sensor | None = None


def draw_take(
    rng: np.random.Generator,
    scene: Scene,
    pool: Sequence[Source],
    *,
    name: str,
    seed: int,
    size: tuple[int, int],
    frames: int,
    condition: Condition,
    sensor: Sensor | None = None,
) -> Take:
    """Draw exposure (one in five dark), noise, and up to two layers from `pool`."""
    dark = rng.uniform() < 0.2
    exposure = np.exp(rng.uniform(np.log(0.06), np.log(0.25)))
    if not dark:
        exposure = np.exp(rng.uniform(np.log(0.4), np.log(2.4)))
    electrons = np.exp(rng.uniform(*np.log((300, 4000) if dark else (1500, 20000))))
    count = rng.choice(3, p=[0.3, 0.4, 0.3]) if pool else 0
    return Take(
        name=name,
        seed=seed,
        size=size,
        frames=frames,
        scene=scene,
        layers=[pool[int(rng.integers(len(pool)))] for _ in range(count)],
        exposure=float(exposure),
        electrons=float(electrons),
        condition=condition,
        sensor=sensor,
    )


def draw_recipe(rng: np.random.Generator, take: Take) -> Recipe:
    """Draw a take's other parameters. Those of the RAW don't depend on the condition, so that A, B
    and C share their RAW frames."""
    width, height = take.size
    background, room = take.scene.source, take.scene.room
    slack = ((room[0] - width) / 2 - _MARGIN, (room[1] - height) / 2 - _MARGIN)
    moving = background.kind == "clip"
    sensor = take.sensor or draw_sensor(rng, take.cameras, take.electrons)
    light = draw_light(rng, take.exposure)
    camera = Trajectory() if moving else draw_camera(rng, take.camera_kind, slack, take.frames)
    layers = [draw_layer(rng, source, (height, width), take.frames) for source in take.layers]
    camera_isp, codec = draw_isp(rng, take.isp), draw_codec(rng)
    codecs = {"A": Codec(kind="png"), "B": Codec(kind="h264", crf=18 + take.seed % 6), "C": codec}
    return Recipe(
        name=take.name,
        seed=take.seed,
        width=width,
        height=height,
        frames=take.frames,
        background=background,
        camera=camera,
        layers=tuple(layers),
        light=light.model_copy(update={"shutter": 0.0, "readout": 0.0}) if moving else light,
        sensor=sensor,
        isp=camera_isp if take.condition == "C" else LibRawIsp(kind="libraw"),
        codec=codecs[take.condition],
    )
