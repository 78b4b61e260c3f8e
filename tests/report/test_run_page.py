"""The page of `rvdtool derender`: input, result, confidence, and the figures of each frame."""

import json
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from command_line import require_one_line, run

from rvdtool.bundle.store import open_bundle
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.reconstruct.references import Result
from rvdtool.report.run import ConfidenceRecord, write_run_report

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


def test_what_an_earlier_run_made_is_known_but_for_its_map(
    shot: Any, tmp_path: Path, open_page: Any
) -> None:
    bundle, record, said = open_bundle(shot.bundle), ConfidenceRecord(), []
    options = DerenderOptions(frames=range(1, 4))

    def stop_at_3(result: Result) -> None:
        if result.index == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        derender_to_folder(bundle, tmp_path / "raws", options, watch=stop_at_3)
    report = derender_to_folder(
        bundle,
        tmp_path / "raws",
        replace(options, existing="resume"),
        say=said.append,
        watch=record.watch,
    )
    assert report.resumed_at == 2
    assert sorted(record.maps) == [2, 3]
    assert sorted(report.expected) == [1, 2, 3]
    assert set(report.notes) <= set(said)
    path = tmp_path / "page.html"
    write_run_report(bundle, report, record, path, summary=["All is well."])
    page = open_page(path)
    assert page.locator("main > p").all_inner_texts() == ["All is well."]
    for index in (1, 2):
        page.locator("#number").fill(str(index))
        page.locator("#number").press("Enter")
        label = page.locator("#label").inner_text()
        assert ("earlier run" in label) == (index == 1)
        assert f"expected PSNR {report.expected[index]:.1f} dB" in label
    series = json.loads(page.locator("#pictures").text_content())["series"]["Confidence"]
    first, second = (
        imagecodecs.webp_decode(b64decode(one.partition(",")[2])) for one in series[:2]
    )
    assert np.abs(first[..., :3].astype(int) - 128).max() <= 2
    assert np.abs(second[..., :3].astype(int) - 128).max() > 20


def test_it_may_not_lie_among_the_dngs(
    shot: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "raws"
    assert run("derender", shot.bundle, "-o", folder, "--report", folder / "page.html") == 2
    require_one_line(capsys.readouterr(), "is in the folder of the DNGs")
    assert not folder.exists()
