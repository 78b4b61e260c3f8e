"""Two processes (gloo) learn what one does from the double batch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import write_folder

from rvdtool.training.state import STATE_FILE


def gradients(folder: Path) -> dict[int, torch.Tensor]:
    """Of the first step: Adam's mean of them is then a tenth of them."""
    content = torch.load(folder / STATE_FILE, weights_only=True)
    assert content["step"] == 1
    states = content["optimizer"]["state"]
    return {number: 10 * one["exp_avg"] for number, one in states.items()}


def learn(root: Path, out: Path, *, processes: int, batch: int) -> dict[int, torch.Tensor]:
    options = f"--preset fagdn --steps 1 --crop 64 --accelerator cpu --batch {batch}".split()
    options += ["--devices", str(processes), "--evidence", str(root.parent / "evidence")]
    # Gloo asks for the machine's name otherwise, which not every container knows.
    interface = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    done = subprocess.run(
        [sys.executable, "-m", "rvdtool", "train", str(root), *options, "-o", str(out)],
        env={**os.environ, **interface, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, done.stdout  # one process speaks
    return gradients(out)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed")
def test_two_processes_have_the_gradients_of_the_double_batch(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "videos", videos=1, frames=3).root
    one = learn(root, tmp_path / "one", processes=1, batch=2)
    two = learn(root, tmp_path / "two", processes=2, batch=1)
    half = learn(root, tmp_path / "half", processes=1, batch=1)
    assert one.keys() == two.keys()

    def differs(other: dict[int, torch.Tensor]) -> float:
        pairs = [(one[k].numpy(), other[k].numpy()) for k in one]
        return max(float(np.abs(a - b).max()) for a, b in pairs)

    # float32 sums in another order; with half of the batch they are far off.
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    assert differs(two) < 1e-5 * largest
    assert differs(half) > 1e-2 * largest
