"""RVD-Sim, the project's own set: which scenes are for training, validation and test.

The recipes are drawn once, by `draw_set`, and checked in as `recipes/*.jsonl` (one recipe a line):
what is made follows the files. Scenes are split, never crops or frames: a test scene and its
foregrounds occur nowhere else. HERO6 and both Fusions of GoPro show one site: all are test.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from rvdtool.dataset.color import XYZ_FROM_SRGB
from rvdtool.dataset.draw import (
    HELD_OUT_CAMERAS,
    HELD_OUT_ISP,
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
from rvdtool.dataset.recipe import Codec, LibRawIsp, Matrix3, Motion, RawLevels, Recipe, Source
from rvdtool.raw.frame import CfaPhase

PARTS = ("train", "validation", "test")

_MATE = "usr/share/backgrounds/mate/nature/{}.jpg"
_KDE = "usr/share/wallpapers/{}/contents/images/2560x1600.jpg"

# Halide's apps/camera_pipe states this sensor's RGB → linear sRGB at 7000 K (from FCam).
_N900_SRGB = np.array(
    [[2.2997, -0.4478, 0.1706], [-0.3826, 1.5906, -0.2080], [-0.0888, -0.7344, 2.2832]]
)


def _photo(pattern: str, name: str, **changes: float) -> Source:
    return Source.model_validate({"kind": "photo", "path": pattern.format(name)} | changes)


def _clip(path: str, start: int) -> Source:
    return Source(kind="clip", path=path, start=start)


def _n900(shrink: float) -> Source:
    matrix = np.linalg.inv(XYZ_FROM_SRGB @ _N900_SRGB)
    neutral = np.linalg.solve(_N900_SRGB, np.ones(3))
    r, g, b = (neutral / neutral.max()).round(5).tolist()
    rows = (matrix / neutral.max()).round(4).tolist()
    color_matrix: Matrix3 = (tuple(rows[0]), tuple(rows[1]), tuple(rows[2]))
    levels = RawLevels(
        black=25,
        white=959,
        bits=10,
        phase=CfaPhase.GRBG,
        color_matrix=color_matrix,
        neutral=(r, g, b),
    )
    return Source(kind="raw", path="nokia_n900/bayer_raw.png", shrink=shrink, levels=levels)


def _gopro(name: str, shrink: float) -> Source:
    return Source(kind="raw", path=f"gopro/{name}.DNG", shrink=shrink)


# Source, and its size (width, height) after shrinking, which bounds the camera's path.
_Scene = tuple[Source, tuple[int, int]]

TRAINING: Sequence[_Scene] = (
    (_photo(_MATE, "Garden"), (1280, 800)),
    (_photo(_MATE, "TwoWings"), (1280, 800)),
    (_photo(_MATE, "RainDrops"), (960, 600)),
    (_photo(_MATE, "Aqua", highlights=3), (1280, 800)),
    (_photo(_MATE, "Blinds"), (960, 600)),
    (_photo(_MATE, "Dune"), (840, 525)),
    (_photo(_MATE, "FreshFlower"), (800, 602)),
    (_photo(_MATE, "Storm"), (960, 640)),
    (_photo(_MATE, "Wood"), (1280, 960)),
    (_photo(_KDE, "OneStandsOut"), (1280, 800)),
    (_photo(_KDE, "BytheWater", highlights=2), (1280, 800)),
    (_photo(_KDE, "Path"), (1280, 800)),
    (_photo(_KDE, "Grey"), (1280, 800)),
    (_photo(_KDE, "ColorfulCups"), (1280, 800)),
    (_clip("sam2/01_dog.mp4", 0), (640, 360)),
    (_clip("sam2/02_cups.mp4", 0), (640, 360)),
    (_clip("sam2/03_blocks.mp4", 0), (640, 360)),
)
_TRAINING_EXTRAS = tuple(
    _photo("{}", name) for name in ("coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg")
)

VALIDATION: Sequence[_Scene] = (
    (_photo(_KDE, "ColdRipple"), (1280, 800)),
    (_photo(_KDE, "Kite", highlights=2), (1280, 800)),
    (_photo(_KDE, "summer_1am"), (1280, 800)),
    (_clip("sam2/04_coffee.mp4", 0), (640, 360)),
)

TEST: Sequence[tuple[_Scene, tuple[int, int]]] = (  # with the sequence's size (width, height)
    ((_n900(2.5), (1036, 787)), (640, 448)),
    ((_gopro("Hero6_GOPR0024", 2.5), (1600, 1200)), (960, 544)),
    ((_photo(_KDE, "EveningGlow", highlights=2), (1280, 800)), (640, 448)),
    ((_photo(_KDE, "FallenLeaf"), (1280, 800)), (704, 448)),
    ((_photo(_MATE, "LadyBird", highlights=3), (1280, 800)), (768, 512)),
    ((_clip("mediapipe/object_detection_test_video.mp4", 10), (960, 540)), (960, 536)),
)
_TEST_EXTRAS = (_photo(_MATE, "YellowFlower"), _gopro("Fusion_GPFR7066", 3), _n900(3))
_TEST_CAMERAS: Sequence[CameraKind] = ("hand", "walk", "pan", "walk", "hand", "tripod")

TRAINING_SIZE = (448, 320)
"""Width, height."""


def draw_set() -> Mapping[str, tuple[Recipe, ...]]:
    """All recipes, by part; the same every time."""
    return {
        "train": tuple(
            _draw("train", index, TRAINING, _TRAINING_EXTRAS, 16) for index in range(136)
        ),
        "validation": tuple(_draw("val", index, VALIDATION, (), 24) for index in range(12)),
        "test": tuple(
            recipe for index in range(len(TEST)) for recipe in _draw_test(index, frames=60)
        ),
    }


def read_set() -> Mapping[str, tuple[Recipe, ...]]:
    """All recipes as checked in, by part."""
    folder = files("rvdtool.dataset") / "recipes"
    return {
        part: tuple(
            Recipe.model_validate_json(line)
            for line in (folder / f"{part}.jsonl").read_text().splitlines()
        )
        for part in PARTS
    }


def write_set(folder: Path) -> None:
    """Write the drawn recipes as `read_set` reads them."""
    for part, recipes in draw_set().items():
        lines = [recipe.model_dump_json(exclude_defaults=True) + "\n" for recipe in recipes]
        (folder / f"{part}.jsonl").write_text("".join(lines))


def _draw(
    part: str, index: int, scenes: Sequence[_Scene], extras: Sequence[Source], frames: int
) -> Recipe:
    """One recipe: scenes in turn, conditions A, B and C in turn, everything else at random."""
    rng = np.random.default_rng([PARTS.index("train" if part == "train" else "validation"), index])
    background, room = scenes[index % len(scenes)]
    width, height = (min(side, limit) for side, limit in zip(TRAINING_SIZE, room, strict=True))
    if background.kind == "clip":
        width, height = 448, 320
        background = background.model_copy(update={"start": int(rng.integers(0, 200))})
    others = [scene for scene, _ in scenes if scene.kind == "photo" and scene != background]
    slack = ((room[0] - width) / 2 - 15, (room[1] - height) / 2 - 15)
    dark = rng.uniform() < 0.2
    exposure = np.exp(rng.uniform(np.log(0.06), np.log(0.25)))
    if not dark:
        exposure = np.exp(rng.uniform(np.log(0.4), np.log(2.4)))
    electrons = np.exp(rng.uniform(*np.log((300, 4000) if dark else (1500, 20000))))
    layers = rng.choice(3, p=[0.3, 0.4, 0.3])
    pool = [*others, *extras]
    return _recipe(
        name=f"{part}{index:03d}",
        seed=1000 * (1 + ("train", "val").index(part)) + index,
        size=(width, height),
        frames=frames,
        background=background,
        slack=slack,
        layer_sources=[pool[rng.integers(len(pool))] for _ in range(layers)],
        exposure=float(exposure),
        electrons=float(electrons),
        camera_kind=None,
        condition="ABC"[index % 3],
        cameras=TRAINING_CAMERAS,
        isp=TRAINING_ISP,
        rng=rng,
    )


def _draw_test(index: int, frames: int) -> list[Recipe]:
    """One test scene in its three conditions, from the very same RAW frames.

    Every third scene has a camera and an ISP that training never draws.
    """
    (background, room), size = TEST[index]
    unseen = index % 3 == 1
    slack = ((room[0] - size[0]) / 2 - 15, (room[1] - size[1]) / 2 - 15)
    recipes = []
    for condition in "ABC":
        rng = np.random.default_rng([PARTS.index("test"), index])
        recipes.append(
            _recipe(
                name=f"test{index}-{condition}",
                seed=9000 + index,
                size=size,
                frames=frames,
                background=background,
                slack=slack,
                layer_sources=_TEST_EXTRAS[: 1 + index % 2] if background.kind != "clip" else (),
                exposure=(0.95, 1.0, 0.8, 0.12, 2.2, 1.2)[index],
                electrons=(6000, 12000, 16000, 1500, 9000, 8000)[index],
                camera_kind=_TEST_CAMERAS[index],
                condition=condition,
                cameras=HELD_OUT_CAMERAS if unseen else TRAINING_CAMERAS,
                isp=HELD_OUT_ISP if unseen else TRAINING_ISP,
                rng=rng,
            )
        )
    return recipes


def _recipe(
    *,
    name: str,
    seed: int,
    size: tuple[int, int],
    frames: int,
    background: Source,
    slack: tuple[float, float],
    layer_sources: Sequence[Source],
    exposure: float,
    electrons: float,
    camera_kind: CameraKind | None,
    condition: str,
    cameras: Cameras,
    isp: IspRanges,
    rng: np.random.Generator,
) -> Recipe:
    """Draw what is left; the order of draws keeps A, B and C of one scene alike."""
    width, height = size
    moving = background.kind == "clip"
    sensor = draw_sensor(rng, cameras, electrons)
    light = draw_light(rng, exposure)
    camera = Motion() if moving else draw_camera(rng, camera_kind, slack, frames)
    layers = tuple(draw_layer(rng, source, (height, width), frames) for source in layer_sources)
    camera_isp, codec = draw_isp(rng, isp), draw_codec(rng)
    return Recipe(
        name=name,
        seed=seed,
        width=width,
        height=height,
        frames=frames,
        background=background,
        camera=camera,
        layers=layers,
        light=light.model_copy(update={"shutter": 0.0, "readout": 0.0}) if moving else light,
        sensor=sensor,
        isp=camera_isp if condition == "C" else LibRawIsp(kind="libraw"),
        codec={
            "A": Codec(kind="png"),
            "B": Codec(kind="h264", crf=int(18 + seed % 6)),
            "C": codec,
        }[condition],
    )
