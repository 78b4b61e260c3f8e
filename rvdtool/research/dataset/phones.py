"""RVD-Sim's parts with phone-like ISPs: `phones` (test), `phones-train`, `phones-validation`.

They have scenes with sky, sun, lamps or deep shadow, a hand-held camera, and foreground objects.
`phones` and `phones-validation` have scenes of their own; `phones-train` shares scenes with the
other training parts.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from rvdtool.research.dataset.draw import (
    HELD_OUT_CAMERAS,
    TRAINING_CAMERAS,
    CameraKind,
    Cameras,
    draw_phone_isp,
)
from rvdtool.research.dataset.photographs import photographed, read_photographs
from rvdtool.research.dataset.recipe import Recipe, Source
from rvdtool.research.dataset.take import Scene, Take, draw_recipe

_SMALL = (448, 320)
_KDE = "usr/share/wallpapers/{}/contents/images/{}"
_TEST_PHOTOGRAPHS = 8
"""Number of listed photographs for the test; the others are for validation."""

_KINDS: Sequence[CameraKind] = ("hand", "pan", "walk")


def draw_phones() -> Iterator[Recipe]:
    """Draw nine test clips of 48 frames: eight photographs and a clip; no training cameras."""
    chosen = read_photographs("phones")[:_TEST_PHOTOGRAPHS]
    white = (3, 2, 3, 4, 2, 1.5, 1.5, 2)
    scenes = [photographed(*pair) for pair in zip(chosen, white, strict=True)]
    clip = Source(kind="clip", path="sam2/05_default_juggle.mp4")
    scenes.append(Scene(clip, (640, 360)))
    for index, scene in enumerate(scenes):
        size = (960, 544) if index == 3 else (640, 448)
        if scene.source.kind == "clip":
            size = (640, 352)
        yield _draw("phones", 0, index, scenes, size, 48, HELD_OUT_CAMERAS)


def draw_phones_validation() -> Iterator[Recipe]:
    """Draw six clips of 36 frames: three photographs, and one more and two paintings by KDE."""
    chosen = read_photographs("phones")[_TEST_PHOTOGRAPHS:]
    scenes = [photographed(*pair) for pair in zip(chosen, (2, 3, 1.5), strict=True)]
    for name, file, shrink in (
        ("DarkestHour", "2560x1440.jpg", 2),
        ("SafeLanding", "5120x2880.jpg", 4),
        ("Altai", "5120x2880.png", 4),
    ):
        path = _KDE.format(name, file)
        source = Source(kind="photo", path=path, shrink=shrink, highlights=2)
        scenes.append(Scene(source, (1280, 800 if shrink == 2 else 720)))
    for index in range(len(scenes)):
        yield _draw("phones-val", 2, index, scenes, _SMALL, 36, TRAINING_CAMERAS)


def draw_phones_train(shown: Sequence[Scene]) -> Iterator[Recipe]:
    """Draw clips of 16 frames: two of each of the `shown` scenes, and one of each photograph."""
    rng = np.random.default_rng([*b"phones-train"])
    more = [
        photographed(photograph, float(rng.choice((1.5, 2, 3, 4))))
        for photograph in read_photographs()
    ]
    scenes = [*shown, *shown, *more]
    for index in range(len(scenes)):
        yield _draw("phones-train", 1, index, scenes, _SMALL, 16, TRAINING_CAMERAS)


def _draw(
    name: str,
    part: int,
    index: int,
    scenes: Sequence[Scene],
    size: tuple[int, int],
    frames: int,
    cameras: Cameras,
) -> Recipe:
    """Draw one clip: camera kinds in turn, everything else at random; the light is steady."""
    rng = np.random.default_rng([*b"phones", part, index])
    scene = scenes[index]
    moving = scene.source.kind == "clip"
    others = [other.source for other in scenes if other.source.path != scene.source.path]
    others = [source for source in others if source.kind == "photo"]
    passing = rng.integers(len(others), size=1 + index % 2).tolist()
    take = Take(
        name=f"{name}{index:03d}",
        seed=40000 + 1000 * part + index,
        size=size,
        frames=frames,
        scene=scene,
        layers=() if moving else [others[number] for number in passing],
        exposure=float(np.exp(rng.uniform(*np.log((0.5, 1.6))))),
        # The full well of photosites of about a micrometre.
        electrons=float(np.exp(rng.uniform(*np.log((2500, 8000))))),
        condition="C",
        camera_kind=_KINDS[index % len(_KINDS)],
        cameras=cameras,
    )
    recipe = draw_recipe(rng, take)
    light = recipe.light.model_copy(update={"steps": (), "flicker": 0.0})
    isp = draw_phone_isp(rng, frames)
    return recipe.model_copy(update={"light": light, "isp": isp})
