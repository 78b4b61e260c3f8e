"""Simulate semi-synthetic RAW video from a recipe.

Motion is applied to noise-free light: linear low-noise pictures → camera path and occluding layers,
integrated over the exposure → mosaic → new noise for each frame → DN → ISP.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import InputError
from rvdtool.raw.frame import RawFrame
from rvdtool.research.dataset.isp import Rgb8, develop
from rvdtool.research.dataset.motion import Path, Plane, Stage, cut_out
from rvdtool.research.dataset.phone import Phone
from rvdtool.research.dataset.pixels import Image
from rvdtool.research.dataset.recipe import Layer, PhoneIsp, Recipe
from rvdtool.research.dataset.scene import (
    SourceFolders,
    iterate_clip,
    load_still,
    require_sources,
)
from rvdtool.research.dataset.sensor import Camera


@dataclass(frozen=True, eq=False)
class Shot:
    """One simulated frame.

    Attributes:
        index: frame number, from 0.
        raw: the RAW frame.
        rgb: its rendering, uint8 [H, W, 3].
        flow: flow to the next frame at mid-exposure, float32 [H, W, 2], pixels; None if not
            requested, and for clips, whose own motion isn't known.
    """

    index: int
    raw: RawFrame
    rgb: Rgb8
    flow: NDArray[np.float32] | None


class Simulation:
    """The simulation of a recipe, with its sources opened.

    Raises:
        InputError: a source is missing, unreadable, or a clip is too short.
    """

    def __init__(self, recipe: Recipe, folders: SourceFolders) -> None:
        require_sources(recipe.sources, folders)
        self.recipe = recipe
        self._folders = folders
        size = recipe.height, recipe.width
        rng = np.random.default_rng([recipe.seed, 0x5C])
        camera_path = Path(recipe.camera, rng)
        planes = [self._plane(layer, rng) for layer in recipe.layers]
        self._moving = recipe.background.kind == "clip"
        still = np.zeros((1, 1, 3), np.float32)
        if not self._moving:
            still = load_still(recipe.background, folders)
        self.stage = Stage([Plane(still), *planes], camera_path, recipe.light, size)
        self.camera = Camera(recipe.sensor, recipe.light, size, recipe.seed)

    def pictures(self) -> Iterator[Image]:
        """The noise-free light of each frame before the sensor, linear sRGB [H, W, 3]."""
        clip = iterate_clip(self.recipe.background, self._folders) if self._moving else None
        for index in range(self.recipe.frames):
            if clip is not None:
                texture = next(clip, None)
                if texture is None:
                    raise InputError(
                        f"{self.recipe.background.path}: ends after {index} of the "
                        f"{self.recipe.frames} frames that recipe {self.recipe.name} needs"
                    )
                self.stage.set_background(texture)
            yield self.stage.picture(index)

    def raws(self) -> Iterator[RawFrame]:
        """The RAW frames, in order."""
        for index, picture in enumerate(self.pictures()):
            yield self.camera.expose(picture, index)

    def shots(self, *, flow: bool = False, flow_at: Sequence[int] = ()) -> Iterator[Shot]:
        """All frames in order, with flow for all of them (`flow`) or for those in `flow_at`."""
        render = _renderer(self.recipe)
        for index, raw in enumerate(self.raws()):
            rgb = render(raw, index)
            known = not self._moving and (flow or index in flow_at)
            motion = self.stage.flow(index, index + 1)[0] if known else None
            yield Shot(index, raw, rgb, motion)

    def _plane(self, layer: Layer, rng: np.random.Generator) -> Plane:
        if layer.source.kind == "clip":
            image = next(iterate_clip(layer.source, self._folders))
        else:
            image = load_still(layer.source, self._folders)
        texture = cut_out(layer, image, rng)
        return Plane(texture, Path(layer.motion, rng), layer.parallax, layer.wobble)


def _renderer(recipe: Recipe) -> Callable[[RawFrame, int], Rgb8]:
    """What renders the recipe's frames, called once for each in order."""
    isp, light = recipe.isp, recipe.light
    if isinstance(isp, PhoneIsp):
        return Phone(isp, light, recipe.rate).render
    return lambda raw, index: develop(raw, isp, index, light)
