"""Edits, and the measurements after them: by definition, and against independent figures."""

import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from command_line import run
from numpy.typing import NDArray
from small_clips import BLACK, WHITE, disturbed, random_mosaic, small_frame, write_clip
from small_shots import pan, raw_frame

from rvdtool.evaluate.compare import compare, match_frames
from rvdtool.evaluate.edits import (
    AREAS,
    EDITS,
    adaptation,
    delta_e,
    frame_delta_e,
    score_edits,
)
from rvdtool.evaluate.jod import Visibility, is_installed
from rvdtool.raw.bayer import denormalise
from rvdtool.raw.color import white_xy
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.render import look_of

needs_jod = pytest.mark.skipif(
    not is_installed(), reason="cvvdp isn't installed: pip install 'rvdtool[jod]'"
)

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "research" / "edits.schema.json"


def patch(*light: float) -> NDArray[np.float32]:
    return np.array(light, np.float32).reshape(1, 1, 3)


def test_ciede2000_is_that_of_its_authors() -> None:
    """Sharma, Wu and Dalal (2005): two of their pairs, as displayed colours."""
    from skimage.color import lab2rgb

    for one, two, expected in (
        ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ):
        pictures = [lab2rgb(np.array([[lab]])).astype(np.float32) for lab in (one, two)]
        assert delta_e(*pictures)[0, 0] == pytest.approx(expected, abs=2e-3)


def test_edits_do_what_their_names_say() -> None:
    grey = patch(0.18, 0.18, 0.18)
    code = {name: edit(grey)[0, 0] for name, edit in EDITS.items()}
    np.testing.assert_allclose(code["none"], 0.46136, atol=1e-4)
    np.testing.assert_allclose(code["exposure +2"], EDITS["none"](grey * 4)[0, 0], atol=1e-6)
    np.testing.assert_allclose(code["exposure -2"], EDITS["none"](grey / 4)[0, 0], atol=1e-6)
    assert code["warmer"][0] > code["warmer"][1] > code["warmer"][2]
    assert code["cooler"][0] < code["cooler"][2]
    np.testing.assert_allclose(code["saturation"], code["none"], atol=1e-4)
    colored = patch(0.3, 0.2, 0.1)
    assert np.ptp(EDITS["saturation"](colored)) > 1.2 * np.ptp(EDITS["none"](colored))
    for name, edit in EDITS.items():
        ramp = edit(np.linspace(0, 4, 200, dtype=np.float32)[None, :, None].repeat(3, 2))
        assert ramp.min() >= 0, name
        assert ramp.max() <= 1, name
        assert (np.diff(ramp, axis=1) >= -1e-6).all(), name
        np.testing.assert_allclose(edit(patch(0, 0, 0)), 0, atol=1e-6)


def test_the_white_balance_is_bradfords() -> None:
    """The source's white becomes the target's, and the inverse restores it."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y = white_xy(6500)
    white = np.linalg.inv(to_xyz) @ [x / y, 1, (1 - x - y) / y]
    moved = to_xyz @ (adaptation(6500, 4500) @ white)
    np.testing.assert_allclose(moved[:2] / moved.sum(), white_xy(4500), atol=2e-4)
    back = adaptation(4500, 6500) @ adaptation(6500, 4500)
    np.testing.assert_allclose(back, np.eye(3), atol=1e-5)


def test_the_truth_has_no_error_and_error_grows_with_noise(tmp_path: Path) -> None:
    true = [raw_frame(scene, noise=0, seed=index) for index, scene in enumerate(pan(6))]
    noisy = [
        [raw_frame(scene, noise=noise, seed=9 + index) for index, scene in enumerate(pan(6))]
        for noise in (0.005, 0.02)
    ]
    folder = write_clip(tmp_path / "true", true)
    same = score_edits(compare(match_frames(folder, folder)))
    for name, one in same.items():
        assert (one.delta_e, one.psnr, one.flicker) == (0, math.inf, 1), name
    little, much = (
        score_edits(compare(match_frames(write_clip(tmp_path / f"n{index}", frames), folder)))
        for index, frames in enumerate(noisy)
    )
    for name in EDITS:
        assert 0 < little[name].delta_e < much[name].delta_e, name
        assert little[name].delta_e < little[name].delta_e_95, name
        assert little[name].psnr > much[name].psnr, name


def test_flicker_is_measured_against_the_truths(tmp_path: Path) -> None:
    steady = pan(1)[0]
    gains = np.array([1.0, 1.02, 0.99, 1.01, 0.98, 1.02, 1.0, 0.99])
    true = [raw_frame(steady * gain, noise=0) for gain in gains]
    twice = [raw_frame(steady * (1 + 2 * (gain - 1)), noise=0) for gain in gains]
    folders = write_clip(tmp_path / "twice", twice), write_clip(tmp_path / "true", true)
    scores = score_edits(compare(match_frames(*folders), include_first=True))
    # Twice the swing is four times the variance; the display's curve bends it a little.
    assert scores["none"].flicker == pytest.approx(4, rel=0.1)
    few = [write_clip(tmp_path / name, frames[:4]) for name, frames in (("a", twice), ("b", true))]
    assert score_edits(compare(match_frames(*few), include_first=True))["none"].flicker is None


@needs_jod
def test_visibility_is_10_for_the_truth_and_falls_with_error(tmp_path: Path) -> None:
    visibility = Visibility()
    true = [raw_frame(scene, noise=0) for scene in pan(4)]
    folder = write_clip(tmp_path / "true", true)
    found = []
    for noise in (0, 0.01, 0.04):
        frames = [raw_frame(scene, noise=noise, seed=9 + k) for k, scene in enumerate(pan(4))]
        predicted = write_clip(tmp_path / f"noise {noise}", frames)
        advanced: list[int] = []
        comparison = compare(match_frames(predicted, folder))
        scores = score_edits(comparison, visibility=visibility, advance=advanced.append)
        assert sum(advanced) == 3 * (1 + len(EDITS))  # no frame is read twice for an edit
        found.append([one.jod for one in scores.values()])
    same, little, much = np.array(found, float)
    np.testing.assert_allclose(same, 10, atol=1e-5)
    assert (little < 10).all()
    assert (much < little - 0.1).all()


@needs_jod
def test_flicker_over_time_is_more_visible_than_a_steady_error(tmp_path: Path) -> None:
    steady = np.full((64, 96, 3), 0.4, np.float32)

    def jod(gains: list[float]) -> float:
        return Visibility()(lambda index: (steady * np.float32(gains[index]), steady), len(gains))

    assert jod([1.03, 0.97] * 6) < jod([1.03] * 12) - 0.1


def test_areas_are_where_they_should_be(tmp_path: Path) -> None:
    height, width = 64, 96
    still = np.full((height, width), 0.2, np.float32)
    still[:, :24] = 1.0  # clipped
    moved = still.copy()
    moved[:, 60:] = 0.4  # appears in the second frame
    wrong = moved.copy()
    wrong[:, 60:] *= 0.8

    def frame(values: NDArray[np.float32]) -> RawFrame:
        return small_frame(denormalise(values, BLACK, WHITE))

    true = write_clip(tmp_path / "true", [frame(still), frame(moved)])
    predicted = write_clip(tmp_path / "predicted", [frame(still), frame(wrong)])
    areas = score_edits(compare(match_frames(predicted, true)))["none"].areas
    assert set(areas) == set(AREAS)
    assert areas["clipped"] == pytest.approx(0, abs=0.01)
    assert areas["moving"] is not None
    assert areas["still"] is not None
    assert areas["moving"] > 3
    assert areas["still"] < 0.5


def test_the_json_is_as_its_schema_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = [random_mosaic(seed) for seed in range(3)]
    folder = write_clip(tmp_path / "true", [small_frame(one) for one in true])
    frames = [small_frame(disturbed(one, seed)) for seed, one in enumerate(true)]
    predicted = write_clip(tmp_path / "predicted", frames)
    assert run("metrics", predicted, folder, "--edits", "--json") == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(told["edits"], schema)
    scores = score_edits(compare(match_frames(predicted, folder)))
    assert told["edits"]["scores"]["film"]["delta_e"] == scores["film"].delta_e
    assert (told["edits"]["scores"]["film"]["jod"] is None) is not is_installed()
    given = ("--against", f"a={predicted}", "--against", f"t={folder}", "--edits")
    assert run("metrics", folder, *given, "--json") == 0
    both = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["reconstructions"]
    assert both["a"]["edits"] == told["edits"]
    jsonschema.validate(both["t"]["edits"], schema)
    monkeypatch.setattr("rvdtool.evaluate.jod.is_installed", lambda: False)
    assert run("metrics", predicted, folder, "--edits") == 0
    printed, notes = capsys.readouterr()
    assert "pip install 'rvdtool[jod]'" in notes
    line = next(line for line in printed.splitlines() if line.lstrip().startswith("film"))
    row = (scores["film"].delta_e, scores["film"].delta_e_95)
    assert line.split()[1:3] == [f"{value:.2f}" for value in row]
    assert line.split()[5] == "–"


def test_a_single_frame_is_measured_like_a_clip(tmp_path: Path) -> None:
    true = [raw_frame(scene, noise=0) for scene in pan(2)]
    predicted = [raw_frame(scene, noise=0.02) for scene in pan(2)]
    folders = write_clip(tmp_path / "predicted", predicted), write_clip(tmp_path / "true", true)
    clip = score_edits(compare(match_frames(*folders)))
    frame = frame_delta_e(predicted[1], true[1], look_of(true[0]))
    # DNGs store the camera's white as fractions, so the developed colours differ a little.
    assert frame == pytest.approx({name: one.delta_e for name, one in clip.items()}, rel=1e-3)
