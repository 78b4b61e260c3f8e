"""Two processes (gloo) learn the same as one with the double batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_runs import one_process, write_folder

from rvdtool.research.dataset.rvd import RvdFolder
from rvdtool.research.training.loop import train
from rvdtool.research.training.presets import Overrides, make_task
from rvdtool.research.training.state import STATE_FILE


def gradients(out: Path) -> dict[int, torch.Tensor]:
    """Those of the first step: Adam's mean is a tenth of them."""
    content = torch.load(out / STATE_FILE, weights_only=True)
    assert content["step"] == 1
    states = content["optimizer"]["state"]
    return {number: 10 * one["exp_avg"] for number, one in states.items()}


def learn_alone(folder: RvdFolder, scratch: Path, batch: int) -> dict[int, torch.Tensor]:
    overrides = Overrides(steps=1, batch=batch, crop=64)
    task = make_task("fagdn-calibrated", [folder], None, scratch / "evidence", overrides)
    task.prepare(0, 1, lambda _: None)
    train(one_process(), task, scratch / f"alone{batch}", command="")
    return gradients(scratch / f"alone{batch}")


def learn_in_two(folder: RvdFolder, scratch: Path) -> dict[int, torch.Tensor]:
    """By the command line, with half of the batch in each process."""
    command = [
        sys.executable,
        "-m",
        "rvdtool",
        "research",
        "train",
        folder.root,
        "-o",
        scratch / "two",
    ]
    options = (
        "--preset fagdn-calibrated --steps 1 --batch 1 --crop 64 --accelerator cpu --devices 2"
    )
    # Gloo asks for the machine's name otherwise, which not every container knows.
    interface = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    done = subprocess.run(
        [*map(str, command), *options.split(), "--evidence", str(scratch / "evidence")],
        env={**os.environ, **interface, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, done.stdout  # one process speaks
    return gradients(scratch / "two")


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed")
def test_two_processes_have_the_gradients_of_the_double_batch(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "videos", videos=1, frames=3)
    one = learn_alone(folder, tmp_path, batch=2)
    half = learn_alone(folder, tmp_path, batch=1)
    two = learn_in_two(folder, tmp_path)
    assert one.keys() == two.keys()

    def differs(other: dict[int, torch.Tensor]) -> float:
        return max(float((one[key] - other[key]).abs().max()) for key in one)

    # float32 sums in another order; with half of the batch they are far off.
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    assert differs(two) < 1e-4 * largest
    assert differs(half) > 1e-2 * largest
