"""`rvdtool plan`: its output, and what it refuses."""

import json
from typing import Any

import pytest
from command_line import require_one_line, run

from rvdtool.bundle.store import open_bundle


def plans_of(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def raw_bytes(shot: Any) -> int:
    members = open_bundle(shot.bundle).slices.items()
    return sum(part.size for name, part in members if name.startswith("reference/"))


def test_plans_in_words(shot: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", shot.bundle, "--count", "2") == 0
    none, one, two = capsys.readouterr().out.splitlines()
    assert none.startswith("no further RAW: ")
    assert one.startswith(f"1 further RAW ({raw_bytes(shot):,} bytes): ")
    assert "; at frames " in two
    assert " dB expected (+" in two


def test_three_are_planned_by_default(shot: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", shot.bundle, "--json") == 0
    plans = plans_of(capsys)
    assert [len(plan["frames"]) for plan in plans] == [0, 1, 2, 3]
    assert [plan["bytes"] for plan in plans] == [n * raw_bytes(shot) for n in range(4)]
    assert plans[0]["gain"] == 0
    for plan in plans:
        assert plan["worst_expected_psnr"] <= plan["expected_psnr"]
        assert plan["worst_frame"] not in plan["frames"]


@pytest.mark.parametrize(("raws", "spare"), [(0, 10), (2, 0), (2, 10)])
def test_the_budget_is_kept(
    shot: Any, raws: int, spare: int, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = raws * raw_bytes(shot) + spare
    assert run("plan", shot.bundle, "--budget", budget, "--json") == 0
    assert len(plans_of(capsys)[-1]["frames"]) == raws


def test_a_target_is_reached_by_as_few_as_possible(
    shot: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run("plan", shot.bundle, "--json")
    wanted = plans_of(capsys)[2]["expected_psnr"] - 1e-4
    assert run("plan", shot.bundle, "--target", f"{wanted:.6f}dB", "--json") == 0
    *before, last = plans_of(capsys)
    assert last["expected_psnr"] >= wanted
    assert all(plan["expected_psnr"] < wanted for plan in before)


def test_a_target_that_no_plan_reaches(shot: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", shot.bundle, "--target", "120dB") == 0
    assert "120 dB isn't expected with any number of RAWs" in capsys.readouterr().err


def test_a_video_alone(shot: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", shot.video, "--count", "1") == 0
    printed = capsys.readouterr()
    assert "a RAW of frame 0 is assumed" in printed.err
    none, one = printed.out.splitlines()
    assert none == "no further RAW: +0.0 dB"
    assert one.startswith("1 further RAW: +")
    assert run("plan", shot.video, "--json") == 0
    assert {plan["expected_psnr"] for plan in plans_of(capsys)} == {None}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--count", "2", "--target", "40"], "give one of them"),
        (["--budget", "a lot"], "200MB"),
        (["--target", "good"], "42dB"),
    ],
)
def test_options_that_are_refused(
    shot: Any, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plan", shot.bundle, *options) == 2
    require_one_line(capsys.readouterr(), told)


def test_bytes_of_a_video_alone_are_unknown(shot: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", shot.video, "--budget", "1GB") == 2
    require_one_line(capsys.readouterr(), "give --count")
