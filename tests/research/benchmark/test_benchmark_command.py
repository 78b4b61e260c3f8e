"""`rvdtool research benchmark`, from folder to tables and figures."""

import csv
import json
import sys
from pathlib import Path

import pytest
from small_videos import write_video

from rvdtool.cli import main
from rvdtool.errors import UsageError
from rvdtool.research.benchmark.run import BenchmarkPlan


def run(*arguments: object) -> int:
    return main(["research", "benchmark", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def rvd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rvd")
    write_video(root, "one", frames=4, tags={"dark": True})
    return write_video(root, "two", frames=3, seed=2, tags={"dark": False})


def test_figures_need_matplotlib_and_say_so_before_the_work(
    rvd: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(rvd, "-o", tmp_path / "out") == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert "rvdtool[research]" in printed.err
    assert not (tmp_path / "out").exists()


def test_tables_figures_and_every_frame(
    rvd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    options = ("--methods", "copy-warp,inverse-isp", "--low-resolution", "-j", 1, "-o", out)
    assert run(rvd, *options) == 0
    shown = capsys.readouterr().out
    assert "| copy-warp |" in shown
    assert "Low resolution" in shown
    assert "Seconds were measured on:" in shown
    assert (out / "tables.md").read_text() in shown
    with (out / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * (3 + 2)
    document = json.loads((out / "benchmark.json").read_text())
    assert set(document["means"]) == {"dark", "all"}
    assert set(document["low_resolution"]["videos"]) == {"one", "two"}
    with (out / "table1.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["copy-warp", "inverse-isp"]
    for figure in ("figure7.png", "figure8.png"):
        assert (out / figure).read_bytes().startswith(b"\x89PNG")

    # Again, with one method less and one figure changed by hand: it is kept, not measured anew.
    kept = out / "scores" / "full" / "copy-warp" / "one.json"
    record = json.loads(kept.read_text())
    record["frames"][0]["psnr_paper"] = 77.0
    kept.write_text(json.dumps(record))
    assert run(rvd, "--methods", "copy-warp", "-j", 1, "-o", out, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    frames = document["videos"]["one"]["methods"]["copy-warp"]["frames"]
    assert frames[0]["psnr_paper"] == 77
    assert "low_resolution" not in document


def test_other_peoples_folders_are_left_alone(
    rvd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "thesis.tex").write_text("mine")
    assert run(rvd, "-o", tmp_path) == 5
    assert "not a benchmark's results" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--methods", "fuson"), "fuson: neither a method"),
        (("--methods", "fusion,fusion"), "each once"),
        (("--device", "warp9"), "no device 'warp9'"),
    ],
)
def test_mistakes_are_told_in_one_line(
    rvd: Path, options: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(rvd, *options) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert told in printed.err


def test_a_video_of_one_frame_cannot_be_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(write_video(tmp_path, frames=1)) == 2
    assert "has one frame" in capsys.readouterr().err


@pytest.mark.parametrize("bad", [{"methods": ()}, {"every": 0}, {"jobs": 0}, {"frames": 1}])
def test_a_plan_that_makes_no_sense_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        BenchmarkPlan(Path("rvd"), Path("results"), **bad)  # type: ignore[arg-type]
