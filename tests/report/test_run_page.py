"""The page of `rvdtool derender`: input, result, confidence and what is known of each frame."""

from pathlib import Path
from typing import Any

import pytest
from command_line import require_one_line, run

from rvdtool.bundle.store import open_bundle
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.report.run import Record, write_run_report

pytest.importorskip("bokeh")


def test_the_page_shows_what_was_made(
    shot: Any, tmp_path: Path, open_page: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.html"
    assert run("derender", shot.bundle, "-o", tmp_path / "raws", "--report", path) == 0
    told = capsys.readouterr().out.splitlines()
    page = open_page(path)
    assert told[0].startswith(f"{tmp_path / 'raws'}: 6 DNGs")
    assert page.locator("main > p").all_inner_texts() == told
    options = page.locator("#right option").all_inner_texts()
    assert options == ["Input", "Result", "Confidence"]
    assert "has a RAW of its own" in page.locator("#label").inner_text()
    page.locator("#right").select_option("Confidence")
    page.locator("#frame").fill("5")
    assert "expected PSNR" in page.locator("#label").inner_text()
    assert page.locator("#right-picture").get_attribute("alt").startswith("Confidence, frame 5")
    assert page.locator("summary", has_text="Every frame").count() == 1


def test_what_was_dropped_and_what_nobody_knows_is_said(
    shot: Any, tmp_path: Path, open_page: Any
) -> None:
    bundle, record, said = open_bundle(shot.bundle), Record(), []
    options = DerenderOptions(frames=range(1, 4))
    report = derender_to_folder(
        bundle, tmp_path / "raws", options, say=said.append, watch=record.watch
    )
    assert sorted(record.frames) == [1, 2, 3]
    assert set(report.notes) <= set(said)
    for index, facts in record.frames.items():
        assert facts.expected == pytest.approx(report.expected[index])
    del record.frames[2]  # as if an earlier run had made it
    path = tmp_path / "page.html"
    write_run_report(bundle, report, record, path, summary=["All is well."])
    page = open_page(path)
    assert page.locator("main > p").all_inner_texts() == ["All is well."]
    page.locator("#number").fill("2")
    page.locator("#number").press("Enter")
    assert "nothing is known" in page.locator("#label").inner_text()


def test_it_may_not_lie_among_the_dngs(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "raws"
    assert run("derender", shot.bundle, "-o", folder, "--report", folder / "page.html") == 2
    require_one_line(capsys.readouterr(), "lies among the DNGs")
    assert not folder.exists()
