"""`rvdtool metrics --against`: several reconstructions of one clip."""

import csv
import json
from pathlib import Path

import pytest
from command_line import require_one_line, run
from small_clips import disturbed, random_mosaic, small_frame, write_clip

from rvdtool.evaluate.against import rank
from rvdtool.evaluate.compare import compare, match_frames


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The truth, a reconstruction, and one with three times the error."""
    true = [random_mosaic(seed) for seed in range(5)]
    clips = {"true": 0, "good": 5, "bad": 15}
    return tuple(
        write_clip(
            tmp_path / name,
            [small_frame(disturbed(one, seed, by)) for seed, one in enumerate(true)],
        )
        for name, by in clips.items()
    )


def test_the_winner_and_its_lead_are_printed(
    folders: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    true, good, bad = folders
    given = ("--against", f"b={bad}", "--against", f"g={good}")
    assert run("metrics", true, *given, "--per-frame") == 0
    printed = capsys.readouterr().out
    names = {"b": bad, "g": good}
    rows = rank({name: compare(match_frames(one, true)) for name, one in names.items()})
    line = next(line for line in printed.splitlines() if line.lstrip().startswith("psnr "))
    cells = line.split()
    assert cells[5] == "g"
    assert cells[6] == f"{rows[0].lead.mean:.2f}"
    assert cells[7:] == [f"{rows[0].lead.low:.2f}", "to", f"{rows[0].lead.high:.2f}"]
    assert "4 of 5 frames" in printed
    frame = next(line for line in printed.splitlines() if "clip_000003.dng" in line)
    assert frame.split()[-1] == "g"


def test_json_and_csv_have_every_reconstruction(
    folders: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    true, good, bad = folders
    table = tmp_path / "scores.csv"
    given = ("--against", f"b={bad}", "--against", f"g={good}", "--against", f"t={true}")
    assert run("metrics", true, *given, "--json", "--csv", table) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert list(told["reconstructions"]) == ["b", "g", "t"]
    assert told["reconstructions"]["t"]["mean"]["psnr"] is None
    psnr, ssim = told["ranking"][:2]
    # The truth itself has infinite PSNR: nothing can be said about how far it leads.
    assert (psnr["winner"], psnr["second"], psnr["lead"]) == ("t", "g", None)
    assert (ssim["winner"], ssim["clear"], ssim["wins"]) == ("t", True, {"b": 0, "g": 0, "t": 4})
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["b"] * 5 + ["g"] * 5 + ["t"] * 5
    frames = compare(match_frames(good, true)).frames
    assert [float(row["psnr"]) for row in rows[5:10]] == [one.scores.psnr for one in frames]


def test_a_tie_is_called_one(
    folders: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    true, good, _ = folders
    assert run("metrics", true, "--against", f"a={good}", "--against", f"b={good}") == 0
    out = capsys.readouterr().out
    assert "psnr: the interval includes 0, so a isn't certain to be better than b" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{true}"], "--against NAME=FOLDER for each"),
        (["{true}", "--against", "a={good}"], "two reconstructions or more"),
        (["{true}", "--against", "a={good}", "b={bad}"], "write --against before each"),
        (["{true}", "--against", "{good}", "--against", "b={bad}"], "has to be NAME=FOLDER"),
        (["{true}", "--against", "a={good}", "--against", "a={bad}"], "choose another name"),
        (
            ["{true}", "--against", "a={good}", "--against", "b={bad}", "--sheet", "s.png"],
            "leave out --against",
        ),
    ],
)
def test_wrong_usage_is_one_line(
    folders: tuple[Path, Path, Path],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    names = dict(zip(("true", "good", "bad"), folders, strict=True))
    assert run("metrics", *(argument.format(**names) for argument in arguments)) == 2
    require_one_line(capsys.readouterr(), told)
