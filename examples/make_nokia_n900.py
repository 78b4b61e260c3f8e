"""Make examples/nokia_n900 from the Nokia N900 RAW still that comes with Halide.

    python examples/make_nokia_n900.py path/to/bayer_raw.png

The still is `apps/images/bayer_raw.png` of Halide 14 (also in Debian's source package `halide`);
`LICENSE.txt` is expected beside it. The same still gives the same DNGs, byte for byte.
"""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CfaPhase, RawFrame
from rvdtool.raw.sequence import frame_name
from rvdtool.raw.timecode import TimeCode
from rvdtool.research.dataset.color import XYZ_FROM_SRGB
from rvdtool.research.dataset.isp import Rgb8, develop
from rvdtool.research.dataset.recipe import (
    Codec,
    Layer,
    Light,
    Matrix3,
    RawLevels,
    Recipe,
    Sensor,
    Source,
    Trajectory,
    Triple,
)
from rvdtool.research.dataset.scene import SourceFolders
from rvdtool.research.dataset.simulate import Simulation
from rvdtool.video.encode import encode_video

NAME = "nokia_n900"

# Halide's apps/camera_pipe/process.cpp: this sensor's RGB (not white-balanced) → linear sRGB at
# 7000 K, taken from the FCam project. It maps the camera's white to (1, 1, 1).
SRGB_FROM_CAMERA = np.array(
    [[2.2997, -0.4478, 0.1706], [-0.3826, 1.5906, -0.2080], [-0.0888, -0.7344, 2.2832]]
)


def camera_colors() -> tuple[Matrix3, Triple]:
    """DNG ColorMatrix (XYZ → camera) and AsShotNeutral, derived from the matrix above.

    linear sRGB = M·camera and XYZ = S·linear sRGB, so camera = (S·M)⁻¹·XYZ. As sRGB's white is
    D65 and 7000 K is close to it, the matrix is written as that of D65 (6504 K).
    """
    matrix = np.linalg.inv(XYZ_FROM_SRGB @ SRGB_FROM_CAMERA)
    neutral = np.linalg.solve(SRGB_FROM_CAMERA, np.ones(3))
    scale = neutral.max()
    r, g, b = (neutral / scale).round(6).tolist()
    rows = [(x, y, z) for x, y, z in (matrix / scale).round(4).tolist()]
    return (rows[0], rows[1], rows[2]), (r, g, b)


def make_recipe(still: str) -> Recipe:
    """The clip's recipe: a hand-held camera shows a dog, and an object passes in front of it."""
    matrix, neutral = camera_colors()
    levels = RawLevels(
        black=25, white=959, bits=10, phase=CfaPhase.GRBG, color_matrix=matrix, neutral=neutral
    )
    source = Source(kind="raw", path=still, shrink=3, levels=levels)
    return Recipe(
        name=NAME,
        seed=900,
        width=432,
        height=288,
        frames=48,
        background=source,
        camera=Trajectory(
            start=(122, 50), velocity=(0.7, -0.6), shake=3, shake_period=22, angle=-90, roll=0.6
        ),
        layers=(
            Layer(
                source=source,
                center=(0.52, 0.55),
                radius=44,
                lobes=0.35,
                motion=Trajectory(start=(165, -190), velocity=(1, 9.5), sway=(14, 0), spin=1.5),
                parallax=1.4,
                wobble=2.5,
            ),
        ),
        light=Light(exposure=0.95, shutter=0.4, readout=0.4),
        sensor=Sensor(
            name="Nokia N900 (simulated)",
            bits=10,
            black=25,
            white=959,
            phase=CfaPhase.GRBG,
            color_matrix=matrix,
            neutral=neutral,
            electrons_per_dn=8,
            read_noise=5,
        ),
        codec=Codec(kind="h264", crf=18),
    )


def make_clip(still: Path, folder: Path) -> None:
    """Write video.mp4, first.dng, ground_truth/, recipe.json and the still's licence."""
    shutil.rmtree(folder / "ground_truth", ignore_errors=True)
    (folder / "ground_truth").mkdir(parents=True)
    recipe = make_recipe(still.name)
    simulation = Simulation(recipe, SourceFolders((still.parent,)))

    def save_and_develop(raws: Iterator[RawFrame]) -> Iterator[Rgb8]:
        for index, raw in enumerate(raws):
            path = folder / "ground_truth" / frame_name(NAME, index)
            write_dng(
                raw, path, rate=recipe.rate, time_code=TimeCode(index, recipe.rate), reel=NAME
            )
            yield develop(raw, recipe.isp, index, recipe.light)

    encode_video(
        save_and_develop(simulation.raws()),
        folder / "video.mp4",
        rate=recipe.rate,
        crf=recipe.codec.crf,
        overwrite=True,
    )
    shutil.copyfile(folder / "ground_truth" / frame_name(NAME, 0), folder / "first.dng")
    (folder / "recipe.json").write_text(recipe.model_dump_json(indent=1) + "\n")
    shutil.copyfile(still.with_name("LICENSE.txt"), folder / "LICENSE.txt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("still", type=Path, help="Halide's apps/images/bayer_raw.png")
    make_clip(parser.parse_args().still, Path(__file__).parent / NAME)
