"""RVD-Sim's recipes: always the same, split by scene, with test cameras that training never
uses."""

import hashlib
from functools import cache
from itertools import chain

import numpy as np

from rvdtool.research.dataset.draw import HELD_OUT_CAMERAS, TRAINING_CAMERAS
from rvdtool.research.dataset.recipe import CameraIsp, PhoneIsp, Recipe
from rvdtool.research.dataset.rvd_sim import PARTS, draw_part

TRAINED = (
    "train",
    "long",
    "extra",
    "leaves",
    "walks",
    "soft",
    "photographs",
    "sweeps",
    "phones-train",
)


DIGESTS = {
    "train": "c894e4036879e162",
    "validation": "e6025dd54ec48782",
    "test": "ff86c478625c89fc",
    "long": "7c5e70c35276a100",
    "extra": "4d88ea280f308b3d",
    "leaves": "b7001cd461e453e3",
    "walks": "838e1f061bfa47c3",
    "soft": "bc7d72b4e11305bd",
    "development": "7e96653bf337bc03",
    "endurance": "c1217f1ca8d4e676",
    "photographs": "647c6a3271534f0f",
    "sweeps": "7b78afc0ebb1a91a",
    "phones": "4c88167065428bb0",
    "phones-train": "f17147b345f54124",
    "phones-validation": "10106863e77bffd8",
}
"""Of the recipes that every figure in the documents was measured on."""


@cache
def read_set() -> dict[str, tuple[Recipe, ...]]:
    return {part: draw_part(part) for part in PARTS}


def test_recipes_are_those_that_figures_were_measured_on() -> None:
    found = {}
    for part, recipes in read_set().items():
        lines = "".join(recipe.model_dump_json(exclude_defaults=True) + "\n" for recipe in recipes)
        found[part] = hashlib.sha256(lines.encode()).hexdigest()[:16]
    assert found == DIGESTS


def test_no_scene_is_in_two_parts() -> None:
    site = {"Hero6_GOPR0024.DNG": "gopro", "Fusion_GPFR7066.DNG": "gopro"}
    scenes = {
        part: {
            site.get(source.path.rpartition("/")[2], source.path or str(source.seed))
            for recipe in recipes
            for source in recipe.sources
        }
        for part, recipes in read_set().items()
    }
    trained = set().union(*(scenes[part] for part in TRAINED))
    watched = scenes["validation"] | scenes["development"] | scenes["endurance"]
    apart = (trained, watched, scenes["test"], scenes["phones"], scenes["phones-validation"])
    assert sum(map(len, apart)) == len(set().union(*apart))


def test_the_set_is_as_large_as_promised_and_test_clips_share_their_raw() -> None:
    recipes = read_set()
    assert len(recipes["train"]) >= 120
    assert all(recipe.frames >= 16 for recipe in recipes["train"])
    assert len(recipes["test"]) >= 18
    for scene in range(len(recipes["test"]) // 3):
        a, b, c = recipes["test"][3 * scene : 3 * scene + 3]
        assert (a.codec.kind, b.codec.kind) == ("png", "h264")
        assert isinstance(c.isp, CameraIsp)
        assert c.codec.kind != "png"
        what_makes_raw = {"background", "camera", "layers", "light", "sensor", "seed"}
        assert a.model_dump(include=what_makes_raw) == c.model_dump(include=what_makes_raw)
        assert a.model_dump(include=what_makes_raw) == b.model_dump(include=what_makes_raw)
        assert all(recipe.frames == 60 for recipe in (a, b, c))


def test_a_third_of_the_test_clips_has_parameters_that_training_lacks() -> None:
    recipes = read_set()
    seen = max(r.isp.local_tone for r in recipes["train"] if isinstance(r.isp, CameraIsp))
    beyond = [
        recipe
        for recipe in recipes["test"]
        if isinstance(recipe.isp, CameraIsp) and recipe.isp.local_tone > seen
    ]
    assert 3 * len(beyond) >= len([r for r in recipes["test"] if isinstance(r.isp, CameraIsp)])
    assert not set(HELD_OUT_CAMERAS) & set(TRAINING_CAMERAS)
    trained = {recipe.sensor.color_matrix for part in TRAINED for recipe in recipes[part]}
    assert not trained & {recipe.sensor.color_matrix for recipe in recipes["test"]}


def test_phones_have_phone_like_isps_and_its_test_cameras_that_training_lacks() -> None:
    recipes = read_set()
    parts = [recipes[part] for part in ("phones", "phones-validation", "phones-train")]
    assert {recipe.isp.kind for recipe in chain.from_iterable(parts)} == {"phone"}
    trained = {recipe.sensor.color_matrix for part in TRAINED for recipe in recipes[part]}
    assert not trained & {recipe.sensor.color_matrix for recipe in recipes["phones"]}
    mapped = [recipe.isp for recipe in recipes["phones"] if isinstance(recipe.isp, PhoneIsp)]
    assert any(isp.exposures > 1 for isp in mapped)
    assert any(isp.compression > 0.5 for isp in mapped)


def test_a_sweep_shows_the_whole_picture_and_ends_where_it_did_not_begin() -> None:
    for recipe in read_set()["sweeps"]:
        start = np.array(recipe.camera.start)
        path = np.array(recipe.camera.velocity) * recipe.frames
        assert np.allclose(start + path, -start, atol=0.2)
        assert np.abs(path).max() > 200
