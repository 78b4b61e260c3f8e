"""The page of `rvdtool metrics --against`."""

from pathlib import Path
from typing import Any

import pytest
from command_line import run
from small_clips import disturbed, random_mosaic, small_frame, write_clip

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
