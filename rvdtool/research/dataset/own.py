"""Draw simulation recipes for users' own photographs, RAW stills and videos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from rvdtool.errors import InputError, RawError, UsageError
from rvdtool.files import require_file
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.read import read_raw
from rvdtool.research.dataset.recipe import Matrix3, Recipe, Sensor, Source
from rvdtool.research.dataset.take import CONDITIONS, Scene, draw_recipe, draw_take
from rvdtool.video.decode import probe
from rvdtool.video.source import open_source

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
CLIP_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".m4v", ".webm"})

SHRINK = 2


@dataclass(frozen=True)
class OwnOptions:
    """Which recipes to draw.

    Attributes:
        count: number of recipes.
        frames: frames of each.
        size: (width, height) of each, even.
        seed: seed of the drawing.
        sensor: sensor of all recipes; None to draw one for each.
    """

    count: int = 10
    frames: int = 24
    size: tuple[int, int] = (448, 320)
    seed: int = 0
    sensor: Sensor | None = None

    def __post_init__(self) -> None:
        if self.count < 1 or self.frames < 1:
            raise UsageError("count and frames are at least 1")
        if min(self.size) < 32 or self.size[0] % 2 or self.size[1] % 2:
            raise UsageError(f"a size has even sides of at least 32; got {self.size}")


def own_recipes(files: Sequence[Path], options: OwnOptions) -> list[Recipe]:
    """Draw recipes, with files and conditions in turn and everything else at random.

    Recipes name their sources without folders, so each file's folder must be given as a source
    folder for the simulation.

    Raises:
        InputError: a file can't be read, is too small or too short; the message names it.
        UsageError: no file is given, or two have the same name.
    """
    names = [file.name for file in files]
    if not files or len(set(names)) < len(names):
        raise UsageError("give at least one still or clip, each of another name")
    scenes = [_scene(file, options) for file in files]
    photos = [scene.source for scene in scenes if scene.source.kind != "clip"]
    recipes = []
    for index in range(options.count):
        rng = np.random.default_rng([options.seed, index])
        scene = scenes[index % len(scenes)]
        others = [source for source in photos if source != scene.source]
        take = draw_take(
            rng,
            scene,
            others,
            name=f"own{options.seed}-{index:04d}",
            seed=10_000 * options.seed + index,
            size=options.size,
            frames=options.frames,
            condition=CONDITIONS[index // len(scenes) % 3],
            sensor=options.sensor,
        )
        recipes.append(draw_recipe(rng, take))
    return recipes


def sensor_of(frame: RawFrame, electrons: float = 8000, read_noise: float = 4) -> Sensor:
    """A camera's colours and levels as a simulated sensor.

    Args:
        frame: any RAW frame of the camera.
        electrons: electrons per photosite at saturation: 8000 is about ISO 400 of a phone, or ISO
            1600 of a large sensor.
        read_noise: RMS read noise in electrons.

    Raises:
        RawError: the frame lacks a colour matrix, or has fewer than 10 bits.
    """
    matrix = frame.profile.color_matrix
    if matrix is None or not 10 <= frame.bits <= 16:
        raise RawError(
            f"{frame.profile.unique_model}: a sensor needs a colour matrix and 10 to 16 bits; "
            f"this frame has {frame.bits} bits{'' if matrix else ' and no matrix'}"
        )
    black = float(np.mean(frame.black))
    rows = [(x, y, z) for x, y, z in matrix]
    color_matrix: Matrix3 = (rows[0], rows[1], rows[2])
    r, g, b = (
        np.array(frame.profile.as_shot_neutral) / max(frame.profile.as_shot_neutral)
    ).tolist()
    return Sensor(
        name=frame.profile.unique_model,
        bits=frame.bits,
        black=black,
        white=frame.white,
        phase=frame.phase,
        color_matrix=color_matrix,
        neutral=(r, g, b),
        electrons_per_dn=electrons / (frame.white - black),
        read_noise=read_noise,
    )


def _scene(file: Path, options: OwnOptions) -> Scene:
    require_file(file, "a still or clip")
    suffix = file.suffix.lower()
    if suffix in PHOTO_SUFFIXES:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise InputError(f"{file}: not an image that can be read")
        height, width = picture.shape[:2]
        source = Source(kind="photo", path=file.name, shrink=SHRINK)
    elif suffix in CLIP_SUFFIXES:
        info = probe(open_source(file))
        height, width = info.height, info.width
        if info.frame_count < options.frames:
            raise InputError(f"{file}: {info.frame_count} frames; {options.frames} are needed")
        source = Source(kind="clip", path=file.name, shrink=SHRINK)
    else:
        height, width = read_raw(file).size
        source = Source(kind="raw", path=file.name, shrink=SHRINK)
    room = (width // SHRINK, height // SHRINK)
    if room[0] < options.size[0] or room[1] < options.size[1]:
        raise InputError(
            f"{file}: {width}×{height} shrinks to {room[0]}×{room[1]}, smaller than the "
            f"{options.size[0]}×{options.size[1]} asked for; choose a smaller --size"
        )
    return Scene(source, room)
