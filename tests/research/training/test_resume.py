"""A killed and resumed run ends with the same bytes as an uninterrupted one."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import TINY, make, one_process, write_folder

from rvdtool.errors import InputError, UsageError
from rvdtool.network.checkpoint import load_model
from rvdtool.research.training.loop import train
from rvdtool.research.training.state import STATE_FILE


class KilledError(Exception):
    """Stands for the end of the process."""


def die_after(limit: int) -> Callable[[int], None]:
    done = 0

    def advance(steps: int) -> None:
        nonlocal done
        done += steps
        if done >= limit:
            raise KilledError

    return advance


def state(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / STATE_FILE, weights_only=True)
    del content["seconds"]
    return content


def curve(folder: Path) -> list[list[str]]:
    with (folder / "curve.csv").open(newline="") as file:
        return [row[:-1] for row in csv.reader(file)]  # the last column is speed


def require_equal(one: Any, two: Any) -> None:
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            require_equal(one[key], two[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            require_equal(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    else:
        assert one == two


@pytest.mark.parametrize("kind", ["fagdn", "cam", "fagdn-calibrated"])
def test_a_killed_run_goes_on_bit_for_bit(kind: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "videos")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(one_process(), make(kind, folder, tmp_path), whole, command="")
    with pytest.raises(KilledError):  # saved after step 3; steps 4 and 5 and their row are lost
        train(one_process(), make(kind, folder, tmp_path), parts, command="", advance=die_after(5))
    assert state(parts)["step"] == 3
    assert [row[0] for row in curve(parts)] == ["step", "2", "4"]
    result = train(one_process(), make(kind, folder, tmp_path), parts, command="")
    assert result.finished
    require_equal(state(parts), state(whole))
    assert curve(parts) == curve(whole)
    assert [row[0] for row in curve(whole)] == ["step", "2", "4", "6"]
    assert load_model(parts).sha256 == load_model(whole).sha256


def test_time_is_up_and_the_same_command_goes_on(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "videos", videos=1, frames=3)
    out, whole = tmp_path / "run", tmp_path / "whole"
    stopped = train(one_process(), make("cam", folder, tmp_path), out, command="", minutes=0)
    assert (stopped.step, stopped.finished) == (1, False)
    model = load_model(out)
    assert model.kind == "cam"
    assert model.training["steps"] == 1
    train(one_process(), make("cam", folder, tmp_path), whole, command="")
    finished = train(one_process(), make("cam", folder, tmp_path), out, command="")
    assert (finished.step, finished.finished) == (6, True)
    require_equal(state(out), state(whole))
    assert curve(out) == curve(whole)
    sessions: Any = load_model(out).training["sessions"]
    assert [one["first_step"] for one in sessions] == [0, 1]


def test_another_run_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "videos", videos=1, frames=3)
    out = tmp_path / "run"
    train(one_process(), make("cam", folder, tmp_path, replace(TINY, steps=1)), out, command="")
    before = state(out)
    with pytest.raises(UsageError, match="rate"):
        train(
            one_process(),
            make("cam", folder, tmp_path, replace(TINY, rate=0.1)),
            out,
            command="",
        )
    with pytest.raises(UsageError, match="kind"):
        train(one_process(), make("fagdn", folder, tmp_path), out, command="")
    (out / "run.json").unlink()
    with pytest.raises(UsageError, match="has a model"):
        train(one_process(), make("cam", folder, tmp_path), out, command="")
    require_equal(state(out), before)


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "videos", videos=1, frames=3)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STATE_FILE).write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=STATE_FILE):
        train(one_process(), make("cam", folder, tmp_path), tmp_path / "run", command="")


def test_a_run_may_start_from_a_models_weights(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "videos", videos=1, frames=3)
    train(one_process(), make("fagdn-calibrated", folder, tmp_path), tmp_path / "old", command="")
    old = load_model(tmp_path / "old")
    settings = replace(TINY, steps=1, rate=1e-9)  # so small that the weights stay
    task = make("fagdn-calibrated", folder, tmp_path, settings)
    train(one_process(), task, tmp_path / "new", command="", start=old)
    new = load_model(tmp_path / "new")
    assert new.training["start"] == old.sha256
    for one, two in zip(old.network.parameters(), new.network.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=0)
    assert any(bool(one.abs().max() > 1e-6) for one in new.network.head.parameters())  # type: ignore[union-attr, operator]
    with pytest.raises(UsageError, match="start"):  # what is there started from something
        train(one_process(), task, tmp_path / "new", command="")
    with pytest.raises(UsageError, match="another network"):
        train(one_process(), make("cam", folder, tmp_path), tmp_path / "cam", command="", start=old)
