"""The files of a run's folder: enough to resume exactly where it stopped, and its models.

    run.json        what is trained on what, and each session: an altered run isn't resumed
    state.ckpt      weights, their running mean, optimizer, step
    curve.csv       validation.csv, curve.png: see curve.py
    config.json     weights.safetensors: the model, at the end of each session (network.checkpoint)

Random numbers need no place in it: each step's generator is seeded by (seed, step, process).
"""

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from rvdtool.errors import InputError, UsageError
from rvdtool.files import write_beside
from rvdtool.network.checkpoint import CONFIG_FILE

STATE_FILE = "state.ckpt"
RUN_FILE = "run.json"

_DAMAGE = (OSError, RuntimeError, EOFError, pickle.UnpicklingError)
"""What PyTorch raises on files that aren't its own, whole ones."""


@dataclass
class State:
    """A run between two steps.

    Attributes:
        network: being trained.
        mean: the running mean of its weights, in evaluation mode; the network itself if none is
            kept.
        optimizer: of the network.
        step: steps done.
        seconds: spent on them, in all sessions, without validation.
        recent: sum of loss and figures since the last row of curve.csv, and their number last.
    """

    network: nn.Module
    mean: nn.Module
    optimizer: torch.optim.Optimizer
    recent: Tensor
    step: int = 0
    seconds: float = 0.0

    def average(self, share: float) -> None:
        """Let the mean follow the weights; it keeps at most `share`, in the first steps less."""
        share = min(share, self.step / (self.step + 9))
        with torch.no_grad():
            for kept, new in zip(self.mean.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1 - share)


def save_state(folder: Path, state: State) -> None:
    """Write state.ckpt beside and rename it: a run killed meanwhile keeps the one before.

    Raises:
        OutputError: it can't be written.
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


def load_state(folder: Path, state: State) -> None:
    """Bring `state` to where the folder's state.ckpt left off; nothing happens if there is none.

    Raises:
        InputError: it is damaged, or of another network.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return
    try:
        # Only tensors and plain values: no code of a checkpoint is run.
        content = torch.load(path, map_location="cpu", weights_only=True)
        state.network.load_state_dict(content["network"])
        if state.mean is not state.network:
            state.mean.load_state_dict(content["mean"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.step = int(content["step"])
    except (*_DAMAGE, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: can't be resumed: {_first_line(error)}") from error
    state.seconds = float(content.get("seconds", 0.0))
    state.recent = content.get("recent", state.recent)


def earlier_sessions(folder: Path, facts: Mapping[str, JsonValue]) -> list[JsonValue]:
    """The earlier sessions of this run, from run.json; none if there is no such file.

    Args:
        folder: of the run.
        facts: all that decides what is learnt; must be what it was.

    Raises:
        UsageError: the folder holds another run, or a model that isn't a run's.
        InputError: its run.json is damaged.
    """
    path = folder / RUN_FILE
    if not path.exists():
        if (folder / CONFIG_FILE).exists():
            raise UsageError(
                f"{folder}: holds a model, but no run to resume; choose another folder"
            )
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
            f"{folder}: holds a run with another {', '.join(changed)} "
            f"({before.get(changed[0])}, not {now.get(changed[0])}); repeat its options "
            "to resume it, or choose another folder"
        )
    return sessions


def write_sessions(
    folder: Path, facts: Mapping[str, JsonValue], sessions: Sequence[JsonValue]
) -> None:
    """Write run.json, beside and renamed.

    Raises:
        OutputError: it can't be written.
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
