"""Recipes by name, as the command line asks for them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rvdtool.dataset.rvd import RvdFolder
from rvdtool.errors import UsageError
from rvdtool.network.fagdn import SMALL, FagdnConfig
from rvdtool.training import cam, fagdn, published
from rvdtool.training.cam import CamRecipe
from rvdtool.training.fagdn import FagdnRecipe
from rvdtool.training.pairs import count_pairs
from rvdtool.training.published import PublishedRecipe
from rvdtool.training.recipe import Recipe, Settings, switched_on

PRESETS = {
    "paper": published.PAPER,
    "published-code": published.CODE,
    "cam": cam.SETTINGS,
    "fagdn": fagdn.SETTINGS,
    "fagdn-small": fagdn.SETTINGS,
}
"""Name → settings; where steps is 1, they follow from the epochs."""
OURS = {"fagdn": FagdnConfig(), "fagdn-small": SMALL}
"""Presets of our network, and its size."""


@dataclass(frozen=True)
class Wishes:
    """What differs from a preset; None: nothing.

    Attributes:
        steps, epochs: how long; an epoch has as many crops as there are pairs of frames.
        batch, crop, rate, seed, validate_every: see `Settings`.
        without: parts to leave out.
        also: parts to add that are off by default.
        validation_frames: of each validation video at most.
        workers: threads that read.
    """

    steps: int | None = None
    epochs: float | None = None
    batch: int | None = None
    crop: int | None = None
    rate: float | None = None
    seed: int | None = None
    validate_every: int | None = None
    without: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    validation_frames: int | None = None
    workers: int = 2


def make_recipe(
    preset: str,
    folders: Sequence[RvdFolder],
    validation: RvdFolder | None,
    evidence: Path,
    wishes: Wishes,
    processes: int = 1,
) -> Recipe:
    """The recipe of a preset.

    Args:
        preset: one of `PRESETS`.
        folders, validation: to train on; to score on.
        evidence: where our network's presets keep what they compute of the videos first.
        wishes: what differs.
        processes: that share an epoch.

    Raises:
        UsageError: an unknown preset, or wishes that it can't fulfil.
    """
    if preset not in PRESETS:
        raise UsageError(f"preset is one of {', '.join(PRESETS)}; got {preset}")
    settings = _settings(preset, folders, wishes, processes)
    without, frames, workers = wishes.without, wishes.validation_frames, wishes.workers
    if preset in OURS:
        return FagdnRecipe(
            folders,
            validation,
            settings,
            evidence,
            without=without,
            also=wishes.also,
            validation_frames=frames,
            workers=workers,
            config=OURS[preset],
        )
    switched_on(wishes.also, ())
    if preset == "cam":
        return CamRecipe(
            folders,
            validation,
            settings,
            without=without,
            validation_frames=frames,
            workers=workers,
        )
    return PublishedRecipe(
        folders,
        validation,
        settings,
        as_code=preset == "published-code",
        without=without,
        validation_frames=frames,
        workers=workers,
    )


def _settings(
    preset: str, folders: Sequence[RvdFolder], wishes: Wishes, processes: int
) -> Settings:
    if wishes.steps is not None and wishes.epochs is not None:
        raise UsageError("steps and epochs both say how long; give one of them")
    named = ("steps", "batch", "crop", "rate", "seed", "validate_every")
    changes = {name: getattr(wishes, name) for name in named if getattr(wishes, name) is not None}
    settings = replace(PRESETS[preset], **changes)
    epochs = wishes.epochs
    if epochs is None and wishes.steps is None and preset not in OURS:
        epochs = published.EPOCHS if preset != "cam" else cam.EPOCHS
    if epochs is not None:
        steps = round(epochs * count_pairs(folders) / (settings.batch * processes))
        settings = replace(settings, steps=max(1, steps))
    return settings
