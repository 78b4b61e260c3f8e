"""Means over frames and then over videos, and tables in the paper's form."""

import csv
import io
from pathlib import Path

import pytest

from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.measure import VideoResult
from rvdtool.research.benchmark.record import FrameRecord, Record
from rvdtool.research.benchmark.report import as_json, markdown
from rvdtool.research.benchmark.summary import by_tag, curve, drift, mean_drift, mean_of_videos
from rvdtool.research.benchmark.tables import ablation, all_tables, challenging, comparison
from rvdtool.research.dataset.rvd import RvdFolder, RvdVideo

PSNRS = list[float | None]


def result(
    method: str,
    psnrs: PSNRS,
    *,
    video: str = "a",
    tags: tuple[str, ...] = (),
    half: bool = False,
    every: int = 1,
    start: int = 1,
) -> VideoResult:
    """Strict PSNR is 1 dB lower, SSIMs are 0.01 and 0.02 below 1."""
    frames = tuple(
        FrameRecord(
            index=start + number * every,
            seconds=0.5,
            psnr=None if value is None else value - 1,
            ssim=0.98,
            psnr_paper=value,
            ssim_paper=0.99,
        )
        for number, value in enumerate(psnrs)
    )
    film = RvdVideo(video_name=video, frames=tuple(str(i) for i in range(100)))
    folder = RvdFolder(
        Path("rvd"), (film,), {}, {video: {**dict.fromkeys(tags, True), "no": False}}
    )
    record = Record(key={}, machine="a machine", metadata_bytes=1234.5, frames=frames)
    return VideoResult(method, BenchmarkClip(folder, film, half), every, record)


def test_means_are_over_frames_then_over_videos() -> None:
    short, long = result("m", [50.0]), result("m", [30.0, 32, 34, 36], video="b")
    means = mean_of_videos([short, long])
    assert means.psnr_paper == pytest.approx((50 + 33) / 2)
    assert means.psnr == pytest.approx((49 + 32) / 2)
    assert (means.ssim_paper, means.ssim) == (0.99, 0.98)
    assert (means.seconds, means.metadata_bytes) == (0.5, 1234.5)


def test_infinite_figures_count_only_alone() -> None:
    assert mean_of_videos([result("m", [None, 40.0])]).psnr_paper == 40
    assert mean_of_videos([result("m", [None, None])]).psnr_paper is None
    assert "∞" in comparison([result("m", [None])]).markdown()


def test_drift_is_the_last_ten_against_the_first_ten() -> None:
    falling: PSNRS = [60.0] * 10 + [0.0] * 5 + [58.5] * 10
    assert drift(result("m", falling)) == pytest.approx(-1.5)
    assert drift(result("m", falling[:19])) is None
    assert mean_drift([result("m", falling), result("m", [1.0])]) == pytest.approx(-1.5)
    spared = result("m", [60.0, 50.0, 40.0], every=10, start=5)  # frames 5, 15, 25
    assert drift(spared) == pytest.approx(-20)


def test_curves_are_means_over_the_videos_that_have_the_frame() -> None:
    means = curve([result("m", [40.0, 50.0]), result("m", [30.0], video="b")])
    assert {index: one.psnr_paper for index, one in means.items()} == {1: 35, 2: 50}


def test_tags_group_videos_and_all_come_last() -> None:
    groups = by_tag([result("m", [40.0], tags=("x", "w")), result("m", [30.0], video="b")])
    assert list(groups) == ["w", "x", "all"]
    assert [len(group) for group in groups.values()] == [1, 1, 2]


def test_table_1_has_both_protocols_and_what_a_method_costs() -> None:
    table = comparison([result("m", [40.0]), result("n", [45.25], every=20)])
    assert table.rows[0] == ("m", "40.00", "0.9900", "39.00", "0.9800", "–", "0.5", "1,234", "1")
    assert table.rows[1][0] == "n (every 20th frame)"
    assert "range 2" in table.note
    assert "range 1" in table.note
    rows = list(csv.reader(io.StringIO(table.csv())))
    assert tuple(rows[0]) == table.header
    assert tuple(rows[2]) == table.rows[1]


def test_table_2_is_by_size_and_tags() -> None:
    table = challenging(
        [
            result("m", [40.0], tags=("Fast-Motion",)),
            result("m", [30.0], video="b", tags=("low light",)),
            result("m", [35.0], video="b", half=True),
        ]
    )
    assert [row[:3] for row in table.rows] == [
        ("Low resolution", "m", "35.00"),
        ("Fast motion", "m", "40.00"),
        ("Dark lighting", "m", "30.00"),
    ]
    assert challenging([result("m", [40.0])]).rows == ()


def test_table_3_shows_the_switches_that_differ() -> None:
    results = [result("whole", [40.0]), result("less", [38.0]), result("fusion", [36.0])]
    switches = {
        "whole": {"gla": True, "warping": True, "same": True},
        "less": {"gla": False, "warping": True, "same": True},
        "fusion": {},
    }
    table = ablation(results, switches)
    assert table.header[:2] == ("model", "gla")
    assert [row[:3] for row in table.rows] == [("whole", "✓", "40.00"), ("less", "", "38.00")]
    assert ablation(results, {name: {} for name in switches}).rows == ()


def test_markdown_tables_have_equally_many_cells_in_every_row() -> None:
    results = [result("a|b", [40.0] * 25, tags=("t",)), result("n", [41.0] * 25, tags=("t",))]
    for table in all_tables(results, {}):
        lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
        assert len(lines) == 2 + len(table.rows)
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "- a machine" in markdown(results, {})


def test_json_tells_every_frame() -> None:
    full, half = result("m", [40.0, None], tags=("t",)), result("m", [30.0], half=True)
    document = as_json([full, half])
    assert document["means"]["t"]["m"]["psnr_paper"] == 40  # type: ignore[index]
    video = document["videos"]["a"]  # type: ignore[index]
    assert video["tags"] == ["t"]
    assert [one["psnr_paper"] for one in video["methods"]["m"]["frames"]] == [40, None]
    low = document["low_resolution"]
    assert low["means"]["all"]["m"]["psnr"] == 29  # type: ignore[index]
