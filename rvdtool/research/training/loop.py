"""The loop for all training tasks, on Lightning Fabric: one process, or many on many machines."""

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from pydantic import JsonValue
from torch import Tensor, nn

import rvdtool
from rvdtool.errors import UsageError
from rvdtool.network.checkpoint import Model, save_model
from rvdtool.research.dataset.rvd import make_folder
from rvdtool.research.training.curve import CURVE, VALIDATION, Log, draw_curve, require_matplotlib
from rvdtool.research.training.state import (
    RunState,
    earlier_sessions,
    load_state,
    save_state,
    seed_step,
    write_sessions,
)
from rvdtool.research.training.task import Outcome, TrainingTask

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a training session.

    Attributes:
        step: number of steps done in all sessions.
        finished: whether the training is complete.
        hours: time spent on the steps of all sessions, without validation.
        validation: mean of each of the task's scores over the validation videos.
    """

    step: int
    finished: bool
    hours: float
    validation: Mapping[str, float]


def make_fabric(
    *,
    precision: str = "32-true",
    accelerator: str = "auto",
    devices: str | int = "auto",
    nodes: int = 1,
) -> "Fabric":
    """Create and launch Lightning Fabric; the code after this call runs in all processes.

    Args:
        precision: one of `PRECISIONS`.
        accelerator, devices, nodes: see Fabric; they must agree with SLURM's or torchrun's.

    Raises:
        UsageError: Fabric isn't installed, or the devices don't exist.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision}")
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise UsageError("training needs Lightning: pip install 'rvdtool[research]'") from error
    # Lightning turns on its logging when imported; only commands print.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            precision=cast(Any, precision),
        )
    except (ValueError, RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"can't train on {accelerator}, devices {devices}: {reason}") from error
    fabric.launch()
    return fabric


def train(
    fabric: "Fabric",
    task: TrainingTask,
    out: Path,
    *,
    command: str,
    start: Model | None = None,
    minutes: float | None = None,
    advance: Callable[[int], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> TrainingResult:
    """Train, or resume the run in `out`, and save the model there.

    Args:
        fabric: the launched Fabric.
        task: the network, data and loss.
        out: the run's folder; see state.py.
        command: the command line, for the model's description.
        start: a model whose weights a new run starts from; None for random weights.
        minutes: stop after this time, not counting validation; the next call continues.
        advance: called with the number of steps just done; at first, those of earlier sessions.
        tell: called with a line of text after each validation.

    Raises:
        UsageError: `out` has another run, `start` is another network, or the loss became infinite
            or NaN.
        InputError: data or state are damaged.
        OutputError: a file can't be written.
    """
    require_matplotlib()
    make_folder(out)
    return _Session(fabric, task, out, command, start).run(minutes, advance, tell)


class _Objective(nn.Module):
    """Network and loss as one module, so that DDP sees one forward pass per step."""

    def __init__(self, network: nn.Module, task: TrainingTask) -> None:
        super().__init__()
        self.network = network
        self._task = task

    def forward(self, batch: Any) -> Outcome:
        return self._task.loss(self.network, batch)


class _Session:
    """One uninterrupted stretch of a run."""

    def __init__(
        self, fabric: "Fabric", task: TrainingTask, out: Path, command: str, start: Model | None
    ) -> None:
        self._fabric, self._task, self._out = fabric, task, out
        settings = task.settings
        self._facts = task.facts()
        if start is not None:
            _require_same_network(start, self._facts)
            self._facts["start"] = start.sha256
        sessions = earlier_sessions(out, self._facts)
        torch.manual_seed(settings.seed)
        network = task.make_network()
        if start is not None:
            network.load_state_dict(start.network.state_dict())
        # Channels last makes convolutions on CPUs faster by half.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._state = RunState(
            network, network, task.make_optimizer(network), _zeros(1 + len(task.figures))
        )
        if task.average:
            self._state.mean = task.make_network().eval()
            self._state.mean.load_state_dict(network.state_dict())
            self._state.mean.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._objective, self._optimizer = fabric.setup(
            _Objective(network, task), self._state.optimizer
        )
        load_state(out, self._state)
        self._first = self._state.step
        if self._first > settings.steps:
            raise UsageError(f"{out}: {self._first} steps are done, more than {settings.steps}")
        task.begin(self._first, fabric.global_rank, fabric.world_size)
        self._sessions = [*sessions, self._description(command)]
        if fabric.is_global_zero:
            write_sessions(out, self._facts, self._sessions)
            names = ("step", "loss", *task.figures, "steps_per_s")
            self._curve = Log(out / CURVE, names, self._first)
            # A finished run is scored again.
            scored = self._first - int(self._first == settings.steps)
            self._scores = Log(out / VALIDATION, ("step", "video", *task.scores), scored)

    def run(
        self, minutes: float | None, advance: Callable[[int], None], tell: Callable[[str], None]
    ) -> TrainingResult:
        """Train until the last step, or until the time is up."""
        state, settings = self._state, self._task.settings
        advance(state.step)
        began = state.seconds
        validation: dict[str, float] = {}
        while state.step < settings.steps:
            start = time.monotonic()
            self._step()
            state.seconds += time.monotonic() - start
            over = minutes is not None and self._agree(state.seconds - began >= 60 * minutes)
            last = state.step == settings.steps
            if state.step % settings.log_every == 0 or last:
                self._log(state.seconds - began)
            if over:
                self._save()  # first of all, in case there is a hard time limit
            if state.step % settings.validate_every == 0 or last or over:
                validation = self._validate()
                tell(f"step {state.step}: " + _described(validation))
            if state.step % settings.save_every == 0 or last:
                self._save()  # after validation, so that its result isn't lost if killed
            advance(1)
            if over:
                break
        else:
            validation = validation or self._validate()  # if there was no step left to do
        result = TrainingResult(
            state.step, state.step == settings.steps, state.seconds / 3600, validation
        )
        if self._fabric.is_global_zero:
            self._export(result)
        self._fabric.barrier()
        return result

    def _step(self) -> None:
        fabric, task, state = self._fabric, self._task, self._state
        seed_step(task.settings.seed, state.step, fabric.global_rank)
        for group in self._optimizer.param_groups:
            group["lr"] = task.rate_at(state.step)
        self._objective.train()
        outcome: Outcome = self._objective(fabric.to_device(task.next_batch()))
        fabric.backward(outcome.loss)
        if task.clip is not None:
            fabric.clip_gradients(self._objective, self._optimizer, max_norm=task.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        state.step += 1
        if task.average:
            state.average(task.average)
        shown = torch.cat([outcome.loss.detach().reshape(1), outcome.figures]).float().cpu()
        state.recent = state.recent + torch.cat([shown, torch.ones(1)])

    def _log(self, seconds: float) -> None:
        """Write a row of curve.csv, with means since the last row."""
        recent = self._reduced()
        means = (recent[:-1] / recent[-1]).tolist()
        if self._fabric.is_global_zero:
            rate = (self._state.step - self._first) / seconds
            self._curve.add(self._state.step, *means, rate)
        self._state.recent = torch.zeros_like(recent)

    def _reduced(self) -> Tensor:
        """Sums since the last row, averaged over processes.

        Raises:
            UsageError: the loss is infinite or NaN.
        """
        recent = self._all(self._state.recent, "mean")
        if not torch.isfinite(recent).all():
            raise UsageError(
                f"the loss became infinite or NaN before step {self._state.step}; the last "
                "good state is kept; try a lower --rate"
            )
        return recent

    def _save(self) -> None:
        state, fabric = self._state, self._fabric
        # From here on, all processes have the same, averaged sums.
        state.recent = self._reduced()
        if fabric.is_global_zero:
            save_state(self._out, state)
        fabric.barrier()

    def _validate(self) -> dict[str, float]:
        """Score the validation videos, which are divided among the processes."""
        task, fabric = self._task, self._fabric
        names = task.validation
        table = torch.zeros(len(names), len(task.scores))
        network = self._state.mean.eval()
        for index in range(fabric.global_rank, len(names), fabric.world_size):
            table[index] = torch.tensor(task.validate(network, index))
        table = self._all(table, "sum")
        if fabric.is_global_zero:
            for name, row in zip(names, table.tolist(), strict=True):
                self._scores.add(self._state.step, name, *row)
            draw_curve(self._out, task.figures, task.scores)
        means = table.mean(dim=0).tolist() if names else []
        return dict(zip(task.scores, means, strict=False))

    def _all(self, tensor: Tensor, how: Literal["mean", "sum"]) -> Tensor:
        """Mean or sum of all processes' tensors, on the CPU."""
        reduced: Any = self._fabric.all_reduce(tensor, reduce_op=how)
        return cast(Tensor, reduced.cpu())

    def _agree(self, over: bool) -> bool:
        """The value of `over` in process 0, since the processes' clocks differ."""
        if self._fabric.world_size == 1:
            return over
        return bool(self._fabric.broadcast(over))

    def _description(self, command: str) -> dict[str, JsonValue]:
        return {
            "command": command,
            "first_step": self._first,
            "steps": self._task.settings.steps,
            "hardware": _hardware(self._fabric),
            "precision": str(self._fabric.strategy.precision.precision),
            "rvdtool": rvdtool.__version__,
            "torch": torch.__version__,
        }

    def _export(self, result: TrainingResult) -> None:
        facts = dict(self._facts)
        config: Any = facts.pop("config")
        del facts["kind"]
        figures: dict[str, JsonValue] = dict(result.validation)
        save_model(
            self._out,
            self._task.kind,
            config,
            self._state.mean.state_dict(),
            training={
                **facts,
                "steps": result.step,
                "steps_planned": self._task.settings.steps,
                "hours": round(result.hours, 3),
                "validation_psnr": figures,
                "sessions": self._sessions,
            },
            overwrite=True,
        )


def _require_same_network(start: Model, facts: Mapping[str, JsonValue]) -> None:
    if (start.kind, dict(start.config)) != (facts["kind"], json.loads(json.dumps(facts["config"]))):
        raise UsageError(
            f"{start.name}: another network than the one to be trained ({start.kind}, "
            f"{dict(start.config)}, not {facts['kind']}, {facts['config']})"
        )


def _zeros(columns: int) -> Tensor:
    """Zero sums of that many columns, and a zero count."""
    return torch.zeros(columns + 1)


def _described(validation: Mapping[str, float]) -> str:
    figures = ", ".join(f"{name} {value:.2f} dB" for name, value in validation.items())
    return f"validation {figures}" if figures else "no validation folder was given"


def _hardware(fabric: "Fabric") -> str:
    """The hardware in one line, to go with measured times."""
    processes = f"{fabric.world_size} process{'es' if fabric.world_size > 1 else ''}"
    if fabric.device.type == "cuda":
        return f"{processes}, each {torch.cuda.get_device_name(fabric.device)}"
    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f"{processes} on {fabric.device.type}, {platform.machine()} with {os.cpu_count()} cores "
        f"({capability}), {torch.get_num_threads()} threads each"
    )
