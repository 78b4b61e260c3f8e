"""The base class of training tasks: network, data and loss for the loop in `loop.py`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from rvdtool.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """Length, batch size and rate of a training.

    Attributes:
        steps: number of updates of the weights.
        batch: crops per step and process.
        crop: side of the crops in photosites, twice that of the packed planes.
        rate: highest learning rate.
        seed: seed of weights, order, crops and dropout.
        validate_every, save_every, log_every: intervals in steps.

    Raises:
        UsageError: a value isn't above 0, or the seed is below 0.
    """

    steps: int
    batch: int
    crop: int
    rate: float
    seed: int = 0
    validate_every: int = 1000
    save_every: int = 250
    log_every: int = 50

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 0 or (value == 0 and name != "seed"):
                raise UsageError(f"{name.replace('_', '-')} must be above 0; got {value}")


class Outcome(NamedTuple):
    """The result of a loss function.

    Attributes:
        loss: scalar to be minimised; a mean over the batch, so that processes can be averaged.
        figures: further figures for the log, [len(task.figures)].
    """

    loss: Tensor
    figures: Tensor


class TrainingTask(ABC):
    """A network with its training data and its loss.

    Attributes:
        kind: the network's kind, as in models.
        config: dataclass of the network's configuration.
        settings: length, batch size and rate of the training.
        switches: parts of the task that are on or off, besides those in the configuration.
        figures: names of the columns beside the loss in curve.csv.
        scores: names of the columns in validation.csv, in dB; the first is the network's.
        clip: largest norm of the gradients; None for no clipping.
        average: decay per step of the running mean of the weights, which is validated and saved.
            0 uses the weights themselves.
    """

    kind: ClassVar[str]
    figures: ClassVar[tuple[str, ...]] = ()
    scores: ClassVar[tuple[str, ...]] = ("psnr",)
    clip: ClassVar[float | None] = None
    average: ClassVar[float] = 0.0
    config: Any
    settings: Settings
    switches: Mapping[str, bool]

    @abstractmethod
    def make_network(self) -> nn.Module:
        """Create the network, with random weights from PyTorch's global generator."""

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(network.parameters(), lr=self.settings.rate)

    @abstractmethod
    def rate_at(self, step: int) -> float:
        """Learning rate of a step; steps count from 0."""

    def count_preparations(self, processes: int) -> int:
        """Largest number of times that `prepare` calls `advance` in a process."""
        return 0

    def prepare(  # noqa: B027
        self, rank: int, processes: int, advance: Callable[[int], None]
    ) -> None:
        """Compute this process's share of the data that must be computed before training.

        Raises:
            InputError: a frame is missing or damaged.
            OutputError: the results can't be written.
        """

    @abstractmethod
    def begin(self, step: int, rank: int, processes: int) -> None:
        """Open the data at a step; called once, before the first batch.

        The data of a step depend only on the seed and its number, so resuming needs no stored
        state.

        Args:
            step: number of the next step.
            rank, processes: number of this process, and number of processes.

        Raises:
            UsageError: the data don't allow such crops.
        """

    @abstractmethod
    def next_batch(self) -> NamedTuple:
        """The next batch: (nested tuples of) tensors [B, …] on the CPU.

        Raises:
            InputError: a frame is missing or damaged.
        """

    @abstractmethod
    def loss(self, network: Any, batch: Any) -> Outcome:
        """Loss of a batch on the network's device; called under autocast for mixed precision."""

    @property
    @abstractmethod
    def validation(self) -> Sequence[str]:
        """Names of the validation videos."""

    @abstractmethod
    def validate(self, network: Any, index: int) -> tuple[float, ...]:
        """De-render a validation video as in use, and score it.

        Args:
            network: of this task's kind, in evaluation mode.
            index: index of the video.

        Returns:
            For each of `scores`, the mean PSNR in dB over all frames except the first, on
            DN / (2^bits − 1) with peak 1.
        """

    @abstractmethod
    def data(self) -> dict[str, JsonValue]:
        """The training data: name of each folder → description of its content."""

    def facts(self) -> dict[str, JsonValue]:
        """All that determines the trained weights, except the number of steps."""
        settings = asdict(self.settings)
        for name in ("steps", "validate_every", "save_every", "log_every"):
            del settings[name]
        return {
            "kind": self.kind,
            "config": asdict(self.config),
            **self.switches,
            **settings,
            "data": self.data(),
        }


def switched_off(names: Sequence[str], known: Sequence[str]) -> dict[str, bool]:
    """The `known` switches, with those in `names` off and all others on.

    Raises:
        UsageError: a name isn't known.
    """
    _require_known(names, known, "left out")
    return {name: name not in names for name in known}


def switched_on(names: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """Return `names` after checking that they are `known` switches that are off by default.

    Raises:
        UsageError: a name isn't known.
    """
    _require_known(names, known, "added")
    return names


def _require_known(names: Sequence[str], known: Sequence[str], what: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        can = f"known: {', '.join(known)}" if known else "nothing can"
        raise UsageError(f"no part named {', '.join(unknown)} can be {what} here; {can}")


def require_multiple(crop: int, multiple: int) -> None:
    """Refuse crop sizes that the network doesn't support.

    Raises:
        UsageError: `crop` isn't a multiple of `multiple` photosites.
    """
    if crop % multiple:
        raise UsageError(f"this network's crops are multiples of {multiple} photosites; got {crop}")
