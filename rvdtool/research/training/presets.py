"""Named presets of training tasks, as chosen on the command line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rvdtool.errors import UsageError
from rvdtool.network.calibrated import SMALL, CalibratedConfig
from rvdtool.research.dataset.rvd import RvdFolder
from rvdtool.research.training import calibrated, cam, fagdn
from rvdtool.research.training.calibrated import CalibratedTask
from rvdtool.research.training.cam import CamTask
from rvdtool.research.training.fagdn import FagdnTask
from rvdtool.research.training.pairs import count_pairs
from rvdtool.research.training.task import Settings, TrainingTask, switched_on

PRESETS = {
    "paper": fagdn.PAPER,
    "fagdn-code": fagdn.CODE,
    "cam": cam.SETTINGS,
    "fagdn-calibrated": calibrated.SETTINGS,
    "fagdn-calibrated-small": calibrated.SETTINGS,
}
"""Name → settings. Where steps is 1, their number follows from the epochs."""
OURS = {"fagdn-calibrated": CalibratedConfig(), "fagdn-calibrated-small": SMALL}
"""Presets of rvdtool's own network → its configuration."""


@dataclass(frozen=True)
class Overrides:
    """Changes to a preset; None keeps the preset's value.

    Attributes:
        steps, epochs: length of the training; an epoch has one crop per pair of frames.
        batch, crop, rate, seed, validate_every: see `Settings`.
        without: parts to leave out.
        also: parts to add that are off by default.
        validation_frames: largest number of frames of each validation video.
        workers: number of reading threads.
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


def make_task(
    preset: str,
    folders: Sequence[RvdFolder],
    validation: RvdFolder | None,
    evidence: Path,
    overrides: Overrides,
    processes: int = 1,
) -> TrainingTask:
    """Make the training task of a preset.

    Args:
        preset: one of `PRESETS`.
        folders, validation: data sets for training and for validation.
        evidence: folder for the evidence that rvdtool's own network needs of the videos.
        overrides: changes to the preset.
        processes: number of processes that share an epoch.

    Raises:
        UsageError: an unknown preset, or overrides that it doesn't support.
    """
    if preset not in PRESETS:
        raise UsageError(f"preset must be one of {', '.join(PRESETS)}; got {preset}")
    settings = _settings(preset, folders, overrides, processes)
    without, frames, workers = overrides.without, overrides.validation_frames, overrides.workers
    if preset in OURS:
        return CalibratedTask(
            folders,
            validation,
            settings,
            evidence,
            without=without,
            also=overrides.also,
            validation_frames=frames,
            workers=workers,
            config=OURS[preset],
        )
    switched_on(overrides.also, ())
    if preset == "cam":
        return CamTask(
            folders,
            validation,
            settings,
            without=without,
            validation_frames=frames,
            workers=workers,
        )
    return FagdnTask(
        folders,
        validation,
        settings,
        as_code=preset == "fagdn-code",
        without=without,
        validation_frames=frames,
        workers=workers,
    )


def _settings(
    preset: str, folders: Sequence[RvdFolder], overrides: Overrides, processes: int
) -> Settings:
    if overrides.steps is not None and overrides.epochs is not None:
        raise UsageError("give either --steps or --epochs, not both")
    named = ("steps", "batch", "crop", "rate", "seed", "validate_every")
    changes = {
        name: getattr(overrides, name) for name in named if getattr(overrides, name) is not None
    }
    settings = replace(PRESETS[preset], **changes)
    epochs = overrides.epochs
    if epochs is None and overrides.steps is None and preset not in OURS:
        epochs = fagdn.EPOCHS if preset != "cam" else cam.EPOCHS
    if epochs is not None:
        steps = round(epochs * count_pairs(folders) / (settings.batch * processes))
        settings = replace(settings, steps=max(1, steps))
    return settings
