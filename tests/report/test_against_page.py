"""The page of `rvdtool metrics --against`."""

from pathlib import Path
from typing import Any

import pytest
from command_line import run
from small_clips import disturbed, random_mosaic, small_frame, write_clip

from rvdtool.evaluate.compare import compare, match_frames

pytest.importorskip("bokeh")


def test_reconstructions_lie_over_one_another(tmp_path: Path, open_page: Any) -> None:
    true = [random_mosaic(seed) for seed in range(4)]
    folder = write_clip(tmp_path / "true", [small_frame(one) for one in true])
    given: list[object] = []
    for name, by in (("<far>", 12), ("near", 3)):
        frames = [small_frame(disturbed(one, seed, by)) for seed, one in enumerate(true)]
        given += ["--against", f"{name}={write_clip(tmp_path / name, frames)}"]
    path = tmp_path / "page.html"
    assert run("metrics", folder, *given, "--report", path) == 0
    page = open_page(path)
    options = page.locator("#right option").all_inner_texts()
    assert options == ["<far>", "near", "Truth", "Error of <far>", "Error of near"]
    rows = [row.split("\t") for row in page.locator("table").first.locator("tr").all_inner_texts()]
    assert [row[3] for row in rows[1:]] == ["near"] * 4
    assert rows[1][5] == "<far> 0, near 3"
    legend = "Bokeh.documents[0].roots()[0].above[0].items.map((item) => item.label.value)"
    assert page.evaluate(legend) == ["<far>", "near"]


def test_pointing_at_a_curve_shows_the_values_of_all(tmp_path: Path, open_page: Any) -> None:
    true = [random_mosaic(seed) for seed in range(4)]
    folder = write_clip(tmp_path / "true", [small_frame(one) for one in true])
    given: list[object] = []
    psnr: dict[str, list[float]] = {}
    for name, by in (("<far>", 12), ("near", 3)):
        frames = [small_frame(disturbed(one, seed, by)) for seed, one in enumerate(true)]
        method = write_clip(tmp_path / name, frames)
        given += ["--against", f"{name}={method}"]
        psnr[name] = [one.scores.psnr for one in compare(match_frames(method, folder)).frames]
    path = tmp_path / "page.html"
    assert run("metrics", folder, *given, "--report", path) == 0
    page = open_page(path)
    chart = page.locator("#chart-0")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    for part, frame in ((0.2, 1), (0.5, 2), (0.8, 3)):
        page.mouse.move(box["x"] + part * box["width"], box["y"] + box["height"] / 2)
        tip = page.locator(".bk-tooltip-content", has_text=f"{psnr['near'][frame]:.3f}")
        tip.wait_for()
        values = [f"{values[frame]:.3f}" for values in psnr.values()]
        assert tip.locator(".bk-tooltip-row-value").all_inner_texts() == [str(frame), *values]
        labels = tip.locator(".bk-tooltip-row-label").all_inner_texts()
        assert labels == ["frame:", "<far>:", "near:"]
