"""The files in a run's folder, from which it is resumed exactly where it stopped.

    run.json        network, data, settings and sessions; a run with other settings isn't resumed
    state.ckpt      weights, their running mean, optimizer, step
    curve.csv       with validation.csv and curve.png, see curve.py
    config.json     with weights.safetensors, the model after each session (network.checkpoint)

The state of random generators isn't stored: each step's generators are seeded from seed, step and
process.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from rvdtool.errors import InputError, ModelError, UsageError
from rvdtool.files import write_beside
from rvdtool.network.checkpoint import CONFIG_FILE
from rvdtool.network.pth import read_pth

STATE_FILE = "state.ckpt"
RUN_FILE = "run.json"


@dataclass
class RunState:
    """The state of a run between two steps.

    Attributes:
        network: the network that is trained.
        mean: a copy with the running mean of the weights, in evaluation mode; `network` itself if
            no mean is kept.
        optimizer: the network's optimizer.
        step: number of steps done.
        seconds: time spent on steps in all sessions, without validation.
        recent: sums of loss and figures since the last row of curve.csv, then the number of steps.
    """

    network: nn.Module
    mean: nn.Module
    optimizer: torch.optim.Optimizer
    recent: Tensor
    step: int = 0
    seconds: float = 0.0

    def average(self, share: float) -> None:
        """Update the running mean, with a decay of `share` (less in the first steps)."""
        share = min(share, self.step / (self.step + 9))
        with torch.no_grad():
            for kept, new in zip(self.mean.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1 - share)


def save_state(folder: Path, state: RunState) -> None:
    """Replace state.ckpt in one step; if the process is killed meanwhile, the old one is kept.

    Raises:
        OutputError: the file can't be written.
    """
    content = {
        "network": state.network.state_dict(),
        "mean": state.mean.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "recent": state.recent,
    }
    with write_beside(folder / STATE_FILE, overwrite=True) as file:
        torch.save(content, file)


def load_state(folder: Path, state: RunState) -> None:
    """Load the folder's state.ckpt into `state`; without such a file, `state` isn't changed.

    Raises:
        InputError: the file is damaged, or of another network.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return
    try:
        content = read_pth(path)
        state.network.load_state_dict(content["network"])
        if state.mean is not state.network:
            state.mean.load_state_dict(content["mean"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.step = int(content["step"])
        state.seconds = float(content.get("seconds", 0.0))
        state.recent = torch.as_tensor(content.get("recent", state.recent))
    except ModelError as error:
        raise InputError(f"{error}; it can't be resumed") from error
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path}: can't be resumed: {_first_line(error)}") from error


def earlier_sessions(folder: Path, facts: Mapping[str, JsonValue]) -> list[JsonValue]:
    """The earlier sessions of this run, from run.json; empty if there is no such file.

    Args:
        folder: the run's folder.
        facts: all that determines the trained weights; must be the same as before.

    Raises:
        UsageError: the folder has another run, or a model that doesn't belong to a run.
        InputError: run.json is damaged.
    """
    path = folder / RUN_FILE
    if not path.exists():
        if (folder / CONFIG_FILE).exists():
            raise UsageError(f"{folder}: has a model, but no run to resume; choose another folder")
        return []
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        before, sessions = dict(content["facts"]), list(content["sessions"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged: {_first_line(error)}") from error
    now = json.loads(json.dumps(dict(facts)))
    changed = sorted(
        name for name in now.keys() | before.keys() if now.get(name) != before.get(name)
    )
    if changed:
        raise UsageError(
            f"{folder}: has a run with another {', '.join(changed)} "
            f"({before.get(changed[0])}, not {now.get(changed[0])}); repeat its options "
            "to resume it, or choose another folder"
        )
    return sessions


def write_sessions(
    folder: Path, facts: Mapping[str, JsonValue], sessions: Sequence[JsonValue]
) -> None:
    """Replace run.json in one step.

    Raises:
        OutputError: the file can't be written.
    """
    content = {"facts": dict(facts), "sessions": list(sessions)}
    with write_beside(folder / RUN_FILE, overwrite=True) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed PyTorch's generators (dropout, random masks) for a step of a process."""
    number = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(number >> np.uint64(1)))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
