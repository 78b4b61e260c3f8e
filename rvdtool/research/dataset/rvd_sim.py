"""RVD-Sim, the project's own data set: its scenes for training, validation and test.

`draw_part` draws the recipes of a part, always the same ones; a test checks their hashes. The split
is by scene: a test scene and its foregrounds don't occur in other parts. GoPro's HERO6 and both
Fusion cameras show the same site, so all of them are in the test part.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from rvdtool.raw.frame import CfaPhase
from rvdtool.research.dataset.color import XYZ_FROM_SRGB
from rvdtool.research.dataset.draw import (
    HELD_OUT_CAMERAS,
    HELD_OUT_ISP,
    TRAINING_CAMERAS,
    TRAINING_ISP,
    CameraKind,
)
from rvdtool.research.dataset.phones import draw_phones, draw_phones_train, draw_phones_validation
from rvdtool.research.dataset.photographs import photographed, read_photographs
from rvdtool.research.dataset.recipe import Matrix3, RawLevels, Recipe, Source
from rvdtool.research.dataset.take import CONDITIONS, Condition, Scene, Take, draw_recipe, draw_take

PARTS = (
    "train",
    "validation",
    "test",
    "long",
    "extra",
    "leaves",
    "walks",
    "development",
    "soft",
    "endurance",
    "photographs",
    "sweeps",
    "phones",
    "phones-train",
    "phones-validation",
)

_MATE = "usr/share/backgrounds/mate/nature/{}.jpg"
_ABSTRACT = "usr/share/backgrounds/mate/abstract/{}.jpg"
_KDE = "usr/share/wallpapers/{}/contents/images/2560x1600.jpg"
_LOMIRI = "usr/share/backgrounds/{}.jpg"

# From Halide's apps/camera_pipe (FCam): this sensor's matrix RGB → linear sRGB at 7000 K.
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


TRAINING: Sequence[Scene] = (
    Scene(_photo(_MATE, "Garden"), (1280, 800)),
    Scene(_photo(_MATE, "TwoWings"), (1280, 800)),
    Scene(_photo(_MATE, "RainDrops"), (960, 600)),
    Scene(_photo(_MATE, "Aqua", highlights=3), (1280, 800)),
    Scene(_photo(_MATE, "Blinds"), (960, 600)),
    Scene(_photo(_MATE, "Dune"), (840, 525)),
    Scene(_photo(_MATE, "FreshFlower"), (800, 602)),
    Scene(_photo(_MATE, "Storm"), (960, 640)),
    Scene(_photo(_MATE, "Wood"), (1280, 960)),
    Scene(_photo(_KDE, "OneStandsOut"), (1280, 800)),
    Scene(_photo(_KDE, "BytheWater", highlights=2), (1280, 800)),
    Scene(_photo(_KDE, "Path"), (1280, 800)),
    Scene(_photo(_KDE, "Grey"), (1280, 800)),
    Scene(_photo(_KDE, "ColorfulCups"), (1280, 800)),
    Scene(_clip("sam2/01_dog.mp4", 0), (640, 360)),
    Scene(_clip("sam2/02_cups.mp4", 0), (640, 360)),
    Scene(_clip("sam2/03_blocks.mp4", 0), (640, 360)),
)
_TRAINING_EXTRAS = tuple(
    _photo("{}", name) for name in ("coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg")
)

VALIDATION: Sequence[Scene] = (
    Scene(_photo(_KDE, "ColdRipple"), (1280, 800)),
    Scene(_photo(_KDE, "Kite", highlights=2), (1280, 800)),
    Scene(_photo(_KDE, "summer_1am"), (1280, 800)),
    Scene(_clip("sam2/04_coffee.mp4", 0), (640, 360)),
)

TEST: Sequence[tuple[Scene, tuple[int, int]]] = (  # with the sequence's size (width, height)
    (Scene(_n900(2.5), (1036, 787)), (640, 448)),
    (Scene(_gopro("Hero6_GOPR0024", 2.5), (1600, 1200)), (960, 544)),
    (Scene(_photo(_KDE, "EveningGlow", highlights=2), (1280, 800)), (640, 448)),
    (Scene(_photo(_KDE, "FallenLeaf"), (1280, 800)), (704, 448)),
    (Scene(_photo(_MATE, "LadyBird", highlights=3), (1280, 800)), (768, 512)),
    (Scene(_clip("mediapipe/object_detection_test_video.mp4", 10), (960, 540)), (960, 536)),
)
_TEST_EXTRAS = (_photo(_MATE, "YellowFlower"), _gopro("Fusion_GPFR7066", 3), _n900(3))
_TEST_CAMERAS: Sequence[CameraKind] = ("hand", "walk", "pan", "walk", "hand", "tripod")

EXTRA: Sequence[Scene] = (
    Scene(_photo(_LOMIRI, "Bridge_by_Sander_Klootwijk", shrink=3, highlights=2), (1450, 816)),
    Scene(_photo(_LOMIRI, "Dragonfly_by_Bolly", shrink=3), (1408, 1056)),
    Scene(_photo(_LOMIRI, "Kleiber_by_Lukas_Baubkus", shrink=5, highlights=2), (1205, 678)),
    Scene(_photo(_LOMIRI, "Picture_0B_by_freespace"), (1286, 870)),
    Scene(_photo(_LOMIRI, "Picture_1A_by_freespace"), (682, 537)),
    Scene(_photo(_LOMIRI, "Wine_by_Jakkub_Mede", shrink=3), (853, 1279)),
    Scene(_photo(_LOMIRI, "aitzgorri_by_Aitzol_Berasategi"), (1544, 1028)),
    Scene(_photo(_LOMIRI, "free_by_Peter_Nerlich", highlights=3), (1440, 1080)),
    Scene(_photo(_LOMIRI, "friends_by_Aitzol_Berasategi"), (1028, 1544)),
    Scene(_photo(_LOMIRI, "greentock_by_Peter_Nerlich"), (1440, 1080)),
    Scene(_photo(_LOMIRI, "life_by_Aitzol_Berasategi"), (1544, 1028)),
    Scene(_photo(_LOMIRI, "picosdeeuropa_by_Aitzol_Berasategi", highlights=2), (1632, 1224)),
    Scene(_photo(_LOMIRI, "seeding_by_Clements_Engelhardt", shrink=4), (1328, 747)),
    Scene(_photo(_LOMIRI, "sunset_by_Aitzol_Berasategi", shrink=3, highlights=4), (1424, 949)),
)
"""Further training scenes, filmed with little noise in bright light."""

DEVELOPMENT: Sequence[tuple[Scene, CameraKind]] = (
    (Scene(_photo(_MATE, "GreenMeadow", shrink=1.5), (853, 682)), "hand"),
    (Scene(_photo(_KDE, "Autumn", highlights=3), (1280, 800)), "hand"),
    (VALIDATION[0], "walk"),
    (Scene(_photo(_ABSTRACT, "Elephants_3840x2160", shrink=3), (1280, 720)), "pan"),
    (VALIDATION[1], "hand"),
)
"""Photographs and paintings that aren't used for training; long sequences with motion in good
light."""

TRAINING_SIZE = (448, 320)
"""Width, height."""

_TAKEN = ("train", "val", "long", "extra", "leaves", "walk", "soft", "photo", "sweep")
"""Prefixes of the videos' names, in the order of their seeds."""


def draw_part(part: str) -> tuple[Recipe, ...]:
    """Draw the recipes of one part, always the same ones.

    Args:
        part: one of `PARTS`.
    """
    return tuple(_DRAWN[part]())


def _draw(
    part: str, index: int, scenes: Sequence[Scene], extras: Sequence[Source], frames: int
) -> Recipe:
    """Draw one recipe: scenes and conditions A, B and C in turn, everything else at random."""
    rng = np.random.default_rng([PARTS.index({"val": "validation"}.get(part, part)), index])
    scene = scenes[index % len(scenes)]
    others = [s.source for s in scenes if s.source.kind == "photo" and s is not scene]
    if scene.source.kind == "clip":
        start = int(rng.integers(0, 200))
        scene = Scene(scene.source.model_copy(update={"start": start}), scene.room)
    return draw_recipe(rng, _draw_take(rng, scene, [*others, *extras], part, index, frames))


def _draw_take(
    rng: np.random.Generator,
    scene: Scene,
    pool: Sequence[Source],
    part: str,
    index: int,
    frames: int,
) -> Take:
    """Draw a take of the part whose videos' names begin with a prefix."""
    return draw_take(
        rng,
        scene,
        pool,
        name=f"{part}{index:03d}",
        seed=1000 * (1 + _TAKEN.index(part)) + index,
        size=TRAINING_SIZE,
        frames=frames,
        condition=CONDITIONS[index % 3],
    )


def _draw_extra(index: int) -> Recipe:
    """Draw a recipe as `_draw` does, but bright enough to clip, and with little noise."""
    rng = np.random.default_rng([PARTS.index("extra"), index])
    scene = EXTRA[index % len(EXTRA)]
    others = [s.source for s in EXTRA if s is not scene]
    take = _draw_take(rng, scene, others, "extra", index, 32)
    return draw_recipe(rng, _lit(rng, take, 0.6, 5000))


def _draw_photograph(index: int) -> Recipe:
    """Draw a recipe of a photograph with another one as foreground; two in three well lit."""
    rng = np.random.default_rng([PARTS.index("photographs"), index])
    all_of_them = read_photographs()
    scene, *others = (
        photographed(all_of_them[number % len(all_of_them)], float(rng.choice((1, 1.5, 2, 4))))
        for number in (index, *rng.integers(len(all_of_them), size=2).tolist())
    )
    take = _draw_take(rng, scene, [other.source for other in others], "photo", index, 16)
    if index // len(all_of_them) < 2:
        take = _lit(rng, take, 0.5, 3000)
    kinds: Sequence[CameraKind] = ("hand", "walk", "pan")
    return draw_recipe(rng, replace(take, camera_kind=kinds[index // 3 % 3]))


def _draw_sweep(index: int) -> Recipe:
    """Draw a recipe that pans over a whole photograph, so that later frames have colours that the
    reference frame doesn't show."""
    rng = np.random.default_rng([PARTS.index("sweeps"), index])
    scene = photographed(read_photographs()[index], float(rng.choice((1, 1.5, 2, 4))))
    take = replace(_draw_take(rng, scene, (), "sweep", index, 20), camera_kind="hand")
    recipe = draw_recipe(rng, _lit(rng, take, 0.4, 2000))
    slack = [(room - side) / 2 - 30 for room, side in zip(scene.room, take.size, strict=True)]
    # Two in three pan from sky to ground or back, the others horizontally.
    upright = rng.uniform() < 2 / 3
    reach = np.array([rng.uniform(-0.3, 0.3), rng.choice([-0.95, 0.95])])
    start = (reach if upright else reach[::-1]) * np.maximum(slack, 0)
    camera = recipe.camera.model_copy(
        update={
            "start": tuple(start.round(2).tolist()),
            "velocity": tuple((-2 * start / take.frames).round(2).tolist()),
        }
    )
    return recipe.model_copy(update={"camera": camera})


def _draw_leaves(index: int) -> Recipe:
    """Draw a recipe of drawn pictures only, different ones in each video."""
    rng = np.random.default_rng([PARTS.index("leaves"), index])
    return draw_recipe(rng, _draw_take(rng, *_drawn(index), "leaves", index, 12))


def _draw_walk(index: int) -> Recipe:
    """Draw a long recipe of drawn pictures with motion in good light, so that much is clipped and
    much comes into view."""
    rng = np.random.default_rng([PARTS.index("walks"), index])
    take = _lit(rng, _draw_take(rng, *_drawn(3000 + index), "walk", index, 36), 0.5, 1500)
    kinds: Sequence[CameraKind] = ("hand", "walk", "pan")
    return draw_recipe(rng, replace(take, camera_kind=kinds[index // 3 % 3]))


def _draw_soft(index: int) -> Recipe:
    """Draw a recipe of drawn pictures out of focus, behind one or two others, with any noise level.

    The background has no texture, so anything that a network adds to it is noise.
    """
    rng = np.random.default_rng([PARTS.index("soft"), index])
    defocus = round(float(np.exp(rng.uniform(*np.log((1.5, 10))))), 2)
    scene, pool = _drawn(6000 + index, defocus)
    take = _lit(rng, _draw_take(rng, scene, pool, "soft", index, 16), 0.4, 2000, 60000)
    return draw_recipe(rng, replace(take, layers=pool[: 1 + index % 2]))


def _drawn(seed: int, defocus: float = 0) -> tuple[Scene, list[Source]]:
    """A drawn background, and drawn textures for foreground objects."""
    pool = [Source(kind="leaves", seed=seed + more) for more in (1000, 2000)]
    background = Source(kind="leaves", seed=seed, shrink=1, defocus=defocus)
    return Scene(background, (1280, 800)), pool


def _lit(
    rng: np.random.Generator, take: Take, exposure: float, electrons: float, most: float = 20000
) -> Take:
    """The take in good light: with an exposure of at least `exposure`, and from `electrons` to
    `most` electrons at saturation."""
    lowest, highest = np.log((exposure, electrons)), np.log((2.4, most))
    drawn = np.exp(rng.uniform(lowest, highest))
    return replace(take, exposure=float(drawn[0]), electrons=float(drawn[1]))


def _draw_development(index: int, condition: Condition) -> Recipe:
    """Draw a development scene in one of three conditions, which share their RAW frames."""
    scene, moving = DEVELOPMENT[index]
    others = [s.source for s, _ in DEVELOPMENT if s is not scene]
    take = Take(
        name=f"dev{index}-{condition}",
        seed=8000 + index,
        size=TRAINING_SIZE,
        frames=60,
        scene=scene,
        layers=(others[index % 3],),
        exposure=(0.95, 1.6, 0.8, 1.3, 2.2)[index],
        electrons=(6000, 9000, 12000, 4000, 6000)[index],
        condition=condition,
        camera_kind=moving,
    )
    return _steadily(np.random.default_rng([PARTS.index("development"), index]), take)


def _draw_endurance(condition: Condition) -> Recipe:
    """Draw a validation scene of more than ten seconds, to test the stability of long chains."""
    take = Take(
        name=f"endurance-{condition}",
        seed=8100,
        size=TRAINING_SIZE,
        frames=300,
        scene=VALIDATION[2],
        layers=(VALIDATION[1].source,),
        exposure=1.0,
        electrons=8000,
        condition=condition,
        camera_kind="hand",
    )
    return _steadily(np.random.default_rng(PARTS.index("endurance")), take)


def _steadily(rng: np.random.Generator, take: Take) -> Recipe:
    """Draw a recipe whose light has no steps and no flicker."""
    recipe = draw_recipe(rng, take)
    # A step hidden by LibRaw's auto-brightness would dominate the error, but can't be seen.
    steady = recipe.light.model_copy(update={"steps": (), "flicker": 0.0})
    return recipe.model_copy(update={"light": steady})


def _draw_test(index: int, frames: int) -> list[Recipe]:
    """Draw a test scene in its three conditions, which share the same RAW frames.

    Every third scene has a camera and an ISP that aren't used for training.
    """
    scene, size = TEST[index]
    unseen = index % 3 == 1
    take = Take(
        name="",
        seed=9000 + index,
        size=size,
        frames=frames,
        scene=scene,
        layers=_TEST_EXTRAS[: 1 + index % 2] if scene.source.kind != "clip" else (),
        exposure=(0.95, 1.0, 0.8, 0.12, 2.2, 1.2)[index],
        electrons=(6000, 12000, 16000, 1500, 9000, 8000)[index],
        condition="A",
        camera_kind=_TEST_CAMERAS[index],
        cameras=HELD_OUT_CAMERAS if unseen else TRAINING_CAMERAS,
        isp=HELD_OUT_ISP if unseen else TRAINING_ISP,
    )
    return [
        draw_recipe(
            np.random.default_rng([PARTS.index("test"), index]),
            replace(take, name=f"test{index}-{condition}", condition=condition),
        )
        for condition in CONDITIONS
    ]


_DRAWN: Mapping[str, Callable[[], Iterable[Recipe]]] = {
    "train": lambda: (
        _draw("train", index, TRAINING, _TRAINING_EXTRAS, 16) for index in range(136)
    ),
    "validation": lambda: (_draw("val", index, VALIDATION, (), 24) for index in range(12)),
    "test": lambda: chain.from_iterable(_draw_test(index, 60) for index in range(len(TEST))),
    # Training scenes again, as longer sequences: they show how a chain behaves after many frames.
    "long": lambda: (_draw("long", index, TRAINING, _TRAINING_EXTRAS, 48) for index in range(30)),
    "extra": lambda: map(_draw_extra, range(42)),
    "leaves": lambda: map(_draw_leaves, range(60)),
    "walks": lambda: map(_draw_walk, range(80)),
    "soft": lambda: map(_draw_soft, range(48)),
    "development": lambda: (
        _draw_development(index, condition)
        for index in range(len(DEVELOPMENT))
        for condition in CONDITIONS
    ),
    "endurance": lambda: map(_draw_endurance, CONDITIONS),
    "photographs": lambda: map(_draw_photograph, range(3 * len(read_photographs()))),
    "sweeps": lambda: map(_draw_sweep, range(len(read_photographs()))),
    "phones": draw_phones,
    "phones-train": lambda: draw_phones_train((*TRAINING, *EXTRA)),
    "phones-validation": draw_phones_validation,
}
"""Part → function that draws its recipes. Seeds depend on names and order of `PARTS`."""
