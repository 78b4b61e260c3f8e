"""What a recipe is: which network learns from what, towards what. The rest is `loop.py`'s."""

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
    """How long and how fast to learn.

    Attributes:
        steps: updates of the weights.
        batch: crops per step and process.
        crop: their side in photosites: twice that of the packed planes.
        rate: learning rate at its highest.
        seed: of weights, order, crops and dropout.
        validate_every, save_every, log_every: steps.

    Raises:
        UsageError: a number that isn't above 0 (seed: below 0).
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
    """What a step of training gave.

    Attributes:
        loss: scalar, to be minimised; a mean over the batch, so that processes can be averaged.
        figures: shown beside it, [len(recipe.figures)].
    """

    loss: Tensor
    figures: Tensor


class Recipe(ABC):
    """A network, its data, its loss.

    Attributes:
        kind: of the network, as models name it.
        config: dataclass of the network's configuration.
        settings: how long and how fast.
        switches: parts of the recipe, beside those in the config, that are on or off.
        figures: names of the columns beside the loss in curve.csv.
        scores: names of the columns in validation.csv, dB; the first is the network's.
        clip: largest norm of the gradients; None leaves them alone.
        average: share that the running mean of the weights keeps at each step; that mean is what
            is validated and shipped. 0: the weights themselves are.
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
        """With fresh weights from PyTorch's global generator."""

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(network.parameters(), lr=self.settings.rate)

    @abstractmethod
    def rate_at(self, step: int) -> float:
        """Learning rate of a step, 0, 1, …."""

    def count_preparations(self, processes: int) -> int:
        """How many calls of its `advance` `prepare` makes in each process, at most."""
        return 0

    def prepare(  # noqa: B027
        self, rank: int, processes: int, advance: Callable[[int], None]
    ) -> None:
        """Compute what is needed of the data and isn't there yet: this process's share.

        Raises:
            InputError: a frame is missing or damaged.
            OutputError: it can't be kept.
        """

    @abstractmethod
    def begin(self, step: int, rank: int, processes: int) -> None:
        """Open the data where an earlier session stopped; called once, before any batch.

        A step's data follow from the seed and its number, so resuming needs no stored state.

        Args:
            step: the first one to come.
            rank, processes: which share of each batch is this process's.

        Raises:
            UsageError: the data can't give such crops.
        """

    @abstractmethod
    def next_batch(self) -> NamedTuple:
        """Tensors (nested tuples of them) on the CPU, [B, …].

        Raises:
            InputError: a frame is missing or damaged.
        """

    @abstractmethod
    def loss(self, network: Any, batch: Any) -> Outcome:
        """Of a batch on the network's device; runs under autocast if precision is mixed."""

    @property
    @abstractmethod
    def validation(self) -> Sequence[str]:
        """Names of the validation videos."""

    @abstractmethod
    def validate(self, network: Any, index: int) -> tuple[float, ...]:
        """De-render a validation video as users will, and score it.

        Args:
            network: of this recipe's kind, in evaluation mode.
            index: of the video.

        Returns:
            Mean PSNR over frames 2, 3, … in dB on DN / (2^bits − 1) with peak 1, for each of
            `scores`.
        """

    @abstractmethod
    def data(self) -> dict[str, JsonValue]:
        """What is trained on: name of each folder → what it holds."""

    def facts(self) -> dict[str, JsonValue]:
        """All that decides what is learnt, but the number of steps."""
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
    """All `known` switches, those in `names` off.

    Raises:
        UsageError: a name that isn't known.
    """
    _require_known(names, known, "left out")
    return {name: name not in names for name in known}


def switched_on(names: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """`names`, if they are `known` switches that are off by default.

    Raises:
        UsageError: a name that isn't known.
    """
    _require_known(names, known, "added")
    return names


def _require_known(names: Sequence[str], known: Sequence[str], what: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        can = f"known: {', '.join(known)}" if known else "nothing can"
        raise UsageError(f"no part named {', '.join(unknown)} can be {what} here; {can}")


def require_multiple(crop: int, multiple: int) -> None:
    """Refuse crops that the network can't take.

    Raises:
        UsageError: `crop` isn't a multiple of `multiple` photosites.
    """
    if crop % multiple:
        raise UsageError(f"this network's crops are multiples of {multiple} photosites; got {crop}")
