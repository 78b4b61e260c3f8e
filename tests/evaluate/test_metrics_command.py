"""`rvdtool metrics`: what it prints and writes, and its errors."""

import csv
import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from small_clips import random_mosaic, write_pair

from rvdtool.cli import main
from rvdtool.evaluate.compare import compare, match_frames
from rvdtool.evaluate.sheet import contact_sheet


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    return [str(folder) for folder in write_pair(tmp_path)]


def test_the_mean_is_printed_with_what_it_was_measured_on(
    clips: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["metrics", *clips]) == 0
    printed = capsys.readouterr().out
    mean = compare(match_frames(Path(clips[0]), Path(clips[1]))).mean
    for text in (f"{mean.psnr:.2f} dB", f"{mean.ssim_paper:.4f}", "peak 1", "range 2"):
        assert text in printed
    assert "3 of 4 frames, matched by name; the first was given, not counted" in printed
    assert "clip_000002" not in printed


def test_a_bundle_is_no_folder_of_frames(
    clips: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "clip.rvd"
    bundle.touch()
    assert main(["metrics", str(bundle), clips[1]]) == 2
    assert "is a bundle; reconstruct its frames first" in capsys.readouterr().err
    assert main(["metrics", clips[0], str(bundle)]) == 2
    assert "the true RAW of its reference frames only" in capsys.readouterr().err


def test_every_frame_is_printed_on_demand(
    clips: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["metrics", *clips, "--per-frame", "--include-first"]) == 0
    printed = capsys.readouterr().out
    assert "clip_000002.dng" in printed
    assert "4 of 4 frames, matched by name; 1 equal to the truth" in printed


def test_json_says_all_and_is_strict(clips: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", *clips, "--json"]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    expected = compare(match_frames(Path(clips[0]), Path(clips[1])))
    assert told["mean"]["psnr"] == expected.mean.psnr
    assert told["mean"]["ssim_paper"] == expected.mean.ssim_paper
    assert told["matched_by"] == "name"
    assert told["counted"] == 3
    assert [frame["counted"] for frame in told["frames"]] == [False, True, True, True]
    assert told["frames"][0]["psnr"] is None
    assert told["frames"][2]["ssim"] == expected.frames[2].scores.ssim
    assert set(told["protocols"]) == set(told["mean"])


def test_csv_has_a_row_per_frame(clips: list[str], tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    assert main(["metrics", *clips, "--csv", str(path)]) == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = compare(match_frames(Path(clips[0]), Path(clips[1])))
    assert [row["true"] for row in rows] == [frame.pair.true.name for frame in expected.frames]
    assert [float(row["psnr"]) for row in rows] == [f.scores.psnr for f in expected.frames]
    assert [row["counted"] for row in rows] == ["0", "1", "1", "1"]


def test_the_sheet_is_a_png(clips: list[str], tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    assert main(["metrics", *clips, "--sheet", str(path)]) == 0
    matching = match_frames(Path(clips[0]), Path(clips[1]))
    expected = contact_sheet(compare(matching).frames)
    np.testing.assert_array_equal(imagecodecs.png_decode(path.read_bytes()), expected)


def test_tiffs_are_scored_with_levels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "tiffs"
    folder.mkdir()
    for index in range(2):
        tifffile.imwrite(folder / f"{index}.tif", random_mosaic(index))
    levels = ["--black", "60", "--white", "4000", "--bits", "12", "--phase", "GRBG"]
    assert main(["metrics", str(folder), str(folder), *levels]) == 0
    assert "inf dB" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--csv", "--sheet"])
def test_existing_files_are_kept_unless_told(
    clips: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    path = tmp_path / "mine"
    path.write_text("precious")
    assert main(["metrics", *clips, option, str(path)]) == 5
    assert "--overwrite" in capsys.readouterr().err
    assert path.read_text() == "precious"
    assert main(["metrics", *clips, option, str(path), "--overwrite"]) == 0
    assert path.read_bytes() != b"precious"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nowhere", "{true}"], 3, "nowhere"),
        (["{true}", "{empty}"], 3, "empty"),
        (["{predicted}", "{short}"], 4, "clip_000003.dng"),
        (["{predicted}", "{true}", "--black", "60"], 2, "--phase and --bits"),
        (["{predicted}", "{true}", "--video", "clip.mp4"], 2, "--sheet"),
        (["{predicted}", "{true}", "--sheet", "{empty}/no/sheet.png"], 5, "create it first"),
        (["{predicted}", "{true}", "--sheet", "{empty}/s.png", "--video", "no.mp4"], 3, "no.mp4"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    predicted, true = write_pair(tmp_path)
    short, empty = tmp_path / "short", tmp_path / "empty"
    empty.mkdir()
    short.mkdir()
    for path in sorted(true.iterdir())[:3]:
        (short / path.name).write_bytes(path.read_bytes())
    names = {"predicted": predicted, "true": true, "short": short, "empty": empty}
    assert main(["metrics", *(argument.format(**names) for argument in arguments)]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert told in error
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--black", "dark"), "one number or four"),
        (("--black", "1,2"), "one number or four"),
        (("--phase", "rgb"), "RGGB, BGGR, GRBG, GBRG"),
    ],
)
def test_unreadable_levels_are_refused(
    clips: list[str], capsys: pytest.CaptureFixture[str], change: tuple[str, str], told: str
) -> None:
    levels = {"--black": "60", "--white": "4000", "--bits": "12", "--phase": "RGGB"}
    levels.update([change])
    assert main(["metrics", *clips, *(word for item in levels.items() for word in item)]) == 2
    assert told in capsys.readouterr().err
