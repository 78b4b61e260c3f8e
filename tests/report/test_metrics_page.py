"""The page of `rvdtool metrics`: right figures, and a viewer that works in a browser."""

import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from command_line import require_one_line, run
from small_clips import BLACK, WHITE, random_mosaic, small_frame, write_clip, write_pair
from small_shots import RATE

from rvdtool.evaluate.compare import FrameFile, FramePair, compare, match_frames
from rvdtool.evaluate.sheet import Loaded
from rvdtool.raw.frame import CfaPhase
from rvdtool.raw.read import read_raw
from rvdtool.raw.render import look_of
from rvdtool.report.errors import BINS, ErrorTable
from rvdtool.report.page import LIMIT, Chart, Page, Viewer, room_for_pictures, write_page
from rvdtool.report.pictures import Room, choose_frames, data_uri, share_room
from rvdtool.video.encode import encode_video

pytest.importorskip("bokeh")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The page of a small clip, and the folders that it shows."""
    folder = tmp_path_factory.mktemp("report")
    predicted, true = write_pair(folder, 5)
    video = folder / "clip.mkv"
    grey = [np.full((32, 48, 3), 40 * index, np.uint8) for index in range(5)]
    encode_video(grey, video, rate=RATE, codec="ffv1")
    page = folder / "page.html"
    assert run("metrics", predicted, true, "--video", video, "--report", page) == 0
    return page, predicted, true


def shown(page: Any) -> dict[str, Any]:
    """The viewer's visible state."""
    return page.evaluate(
        """() => {
            const value = (name) => document.getElementById(name).value;
            const picture = (side) => document.getElementById(side + "-picture");
            return {
              frame: Number(value("number")),
              slider: Number(value("frame")),
              label: document.getElementById("label").textContent,
              right: value("right"),
              alt: picture("right").alt,
              loaded: picture("right").complete && picture("right").naturalWidth,
              clip: getComputedStyle(picture("right")).clipPath,
              width: picture("right").getBoundingClientRect().width,
              rendering: getComputedStyle(picture("right")).imageRendering,
            };
        }"""
    )


def test_the_figures_are_those_of_the_comparison(
    made: tuple[Path, Path, Path], open_page: Any
) -> None:
    path, predicted, true = made
    page = open_page(path)
    comparison = compare(match_frames(predicted, true))
    counted = [frame.scores.psnr for frame in comparison.frames if frame.counted]
    rows = page.locator("table").first.locator("tr").all_inner_texts()
    assert rows[1].split("\t") == [
        "PSNR",
        *(f"{value:.2f} dB" for value in (np.mean(counted), np.median(counted), min(counted))),
        f"{np.mean(counted):.2f} dB",
    ]
    page.locator("summary", has_text="Every frame").click()
    every = page.locator("details[open] tr").all_inner_texts()
    assert every[1].split("\t")[:3] == ["(0)", "clip_000000.dng", "equal"]
    assert every[3].split("\t")[2] == f"{comparison.frames[2].scores.psnr:.2f} dB"
    assert page.locator("[role=img] canvas").count() >= 3
    assert page.locator("img:not([alt]), img[alt='']").count() == 0


def test_frames_are_picked_by_slider_number_and_keys(
    made: tuple[Path, Path, Path], open_page: Any
) -> None:
    page = open_page(made[0])
    comparison = compare(match_frames(made[1], made[2]))
    worst = min(range(1, 5), key=lambda index: comparison.frames[index].scores.psnr)
    assert shown(page)["frame"] == worst
    page.locator("#frame").fill("2")
    assert shown(page)["frame"] == 2
    page.locator("#number").fill("4")
    page.locator("#number").press("Enter")
    assert shown(page)["slider"] == 4
    page.locator("h1").click()  # away from the controls
    for key, frame in (("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1),
                       ("End", 4), ("ArrowRight", 4)):  # fmt: skip
        page.keyboard.press(key)
        assert shown(page)["frame"] == frame
    page.keyboard.press("Home")
    now = shown(page)
    assert now["label"].startswith("clip_000000.dng: PSNR equal")
    assert now["alt"] == "Truth, frame 0, at the right of the split"
    assert now["loaded"] == 48
    page.keyboard.press("1")
    assert shown(page)["right"] == "Input"
    page.keyboard.press(" ")
    assert page.locator("#play").get_attribute("aria-pressed") == "true"
    page.wait_for_function("document.getElementById('number').value == '3'")
    page.locator("#play").click()
    assert page.locator("#play").inner_text() == "Play"


def test_a_click_on_a_curve_shows_its_frame(made: tuple[Path, Path, Path], open_page: Any) -> None:
    page = open_page(made[0])
    page.keyboard.press("Home")
    chart = page.locator("#chart-0")
    box = chart.bounding_box()
    chart.click(position={"x": box["width"] * 0.9, "y": box["height"] / 2})
    assert shown(page)["frame"] >= 3


def test_the_split_moves_and_zoom_shows_square_pixels(
    made: tuple[Path, Path, Path], open_page: Any
) -> None:
    page = open_page(made[0])
    assert shown(page)["clip"] == "inset(0px 0px 0px 50%)"
    page.locator("#split").fill("20")
    assert shown(page)["clip"] == "inset(0px 0px 0px 20%)"
    page.locator("h1").click()
    page.keyboard.press("]")
    assert shown(page)["clip"] == "inset(0px 0px 0px 25%)"
    page.keyboard.press("+")
    assert shown(page)["width"] == 48
    page.locator("#zoom").select_option("8")
    now = shown(page)
    assert now["width"] == 8 * 48
    assert now["rendering"] == "pixelated"
    page.locator("h1").click()
    page.keyboard.press("-")
    assert shown(page)["width"] == 4 * 48


def test_dark_and_narrow_screens(made: tuple[Path, Path, Path], open_page: Any) -> None:
    style = "getComputedStyle(document.body).backgroundColor"
    axis = "Bokeh.documents[0].roots()[0].below[0].axis_label_text_color"
    light, dark = open_page(made[0]), open_page(made[0], width=390, scheme="dark")
    assert light.evaluate(style) == "rgb(255, 255, 255)"
    assert dark.evaluate(style) == "rgb(20, 20, 20)"
    assert (light.evaluate(axis), dark.evaluate(axis)) == ("#1b1b1b", "#ececec")
    assert dark.evaluate("document.documentElement.scrollWidth") == 390
    light.emulate_media(color_scheme="dark")
    light.wait_for_function(f"{axis} === '#ececec'")


def test_all_are_developed_alike(made: tuple[Path, Path, Path], open_page: Any) -> None:
    page = open_page(made[0])
    frame = read_raw(made[2] / "clip_000003.dng")
    look = look_of(read_raw(made[2] / "clip_000000.dng"), np.zeros((32, 48, 3), np.uint8))
    data = page.evaluate(
        "JSON.parse(document.getElementById('pictures').textContent).series.Truth[3]"
    )
    picture = imagecodecs.webp_decode(b64decode(data.partition(",")[2]))[..., :3]
    # WebP halves the colours' resolution; what is left of noise is its light.
    expected = look.develop(frame).astype(float)
    assert abs(picture.mean() - expected.mean()) < 4
    grey = np.corrcoef(picture.mean(axis=2).ravel(), expected.mean(axis=2).ravel())[0, 1]
    assert grey > 0.95


def test_names_are_text(tmp_path: Path, open_page: Any) -> None:
    evil = "a</script><img src=x onerror=alert(1)>&quot;"
    frames = [small_frame(random_mosaic(seed)) for seed in range(2)]
    folder = tmp_path / "<b>one"
    true = write_clip(folder, frames, stem=evil.replace("/", "∕"))
    page = tmp_path / "page.html"
    assert run("metrics", true, true, "--report", page, "--include-first") == 0
    opened = open_page(page)
    assert opened.locator("h1").inner_text() == "<b>one against <b>one"
    assert "onerror=alert(1)>" in opened.locator("#label").inner_text()


@pytest.mark.parametrize("phase", list(CfaPhase))
def test_errors_by_intensity_and_site(tmp_path: Path, phase: CfaPhase) -> None:
    size = (32, 48)
    values = random_mosaic(1, size)
    wrong = values.copy()
    y, x = divmod(phase.value.index("B"), 2)
    wrong[y::2, x::2] = np.minimum(wrong[y::2, x::2] + 100, WHITE)
    true = write_clip(tmp_path / "true", [small_frame(values, phase=phase)])
    predicted = write_clip(tmp_path / "predicted", [small_frame(wrong, phase=phase)])
    files = [FrameFile(folder / "clip_000000.dng") for folder in (predicted, true)]
    table = ErrorTable.of(Loaded.read(FramePair(*files), None))
    rms = table.rms()
    assert table.counts.sum() == size[0] * size[1]
    assert np.nanmax(rms[:3]) == 0
    black = BLACK[phase.value.index("B")]
    middle = rms[3, 2 : BINS - 2]  # away from white, which clips what was added
    np.testing.assert_allclose(middle, 100 * 100 / (WHITE - black), rtol=1e-3)


def test_pictures_stay_within_their_room() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    room = share_room([noise], 120, 1_000_000)
    uris = [room.place(noise) for _ in range(2)]
    assert all(len(b64decode(uri.partition(",")[2])) <= 1_000_000 // 120 for uri in uris)
    calm = np.full((240, 320, 3), 90, np.uint8)
    assert share_room([calm], 120, 1_000_000).size == (320, 240)
    assert Room((320, 240), 100_000).place(calm).startswith("data:image/webp;base64,")


def test_long_clips_are_shown_evenly() -> None:
    assert choose_frames(5) == [0, 1, 2, 3, 4]
    chosen = choose_frames(1000)
    assert len(chosen) == 120
    assert (chosen[0], chosen[-1]) == (0, 999)
    assert set(np.diff(chosen)) == {8, 9}


def test_a_page_takes_what_room_it_has_and_no_more(tmp_path: Path) -> None:
    curve = {"PSNR": [30 + index % 7 for index in range(120)]}
    page = Page("full", [], [Chart("PSNR", ("frame", "dB"), range(120), curve)], [])
    series = {name: [data_uri(bytes(room_for_pictures(page) // 360))] * 120 for name in "abc"}
    frames, labels = range(120), ["label"] * 120
    viewer = Viewer((480, 320), list(frames), labels, series, ("a", "b"), 0, 24, "about", {})
    write_page(page, viewer, tmp_path / "page.html")
    assert 0.98 * LIMIT < (tmp_path / "page.html").stat().st_size <= LIMIT


def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted, true = write_pair(tmp_path)
    page = tmp_path / "page.html"
    page.write_text("mine")
    assert run("metrics", predicted, true, "--report", page) == 5
    require_one_line(capsys.readouterr(), "--overwrite")
    assert page.read_text() == "mine"
    monkeypatch.setitem(sys.modules, "bokeh", None)
    assert run("metrics", predicted, true, "--report", tmp_path / "new.html") == 2
    require_one_line(capsys.readouterr(), "pip install 'rvdtool[report]'")
