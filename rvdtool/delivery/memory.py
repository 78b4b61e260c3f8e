"""How much memory a run needs, and how many frames it may process at once."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import psutil

from rvdtool.delivery.need import amount
from rvdtool.errors import UsageError
from rvdtool.notes import Say
from rvdtool.reconstruct.blend import MOST_IN_FLIGHT
from rvdtool.reconstruct.compiled import threads

if TYPE_CHECKING:
    from rvdtool.network.calibrated import CalibratedFagdn
    from rvdtool.network.checkpoint import Model

_START, _START_OF_NETWORK = 0.35e9, 0.3e9
_ONE_FRAME, _PIPELINE, _IN_FLIGHT = 220, 20, 50
_ONE_FRAME_PER_CHANNEL, _IN_FLIGHT_PER_CHANNEL = 5, 3
"""Bytes: libraries; then, per photosite, for one frame, for a pipeline, and for each frame in
flight; then, per photosite and channel of the network's finest level, for one frame and for each in
flight. No measured peak exceeds this (docs/method/speed.md#memory)."""


def needed_memory(size: tuple[int, int], channels: int, in_flight: int) -> int:
    """Peak memory of a run in bytes.

    Args:
        size: (height, width) of the frames.
        channels: those of the finest level of the network on the CPU; 0 if none runs there.
        in_flight: see `rvdtool.reconstruct.blend.steps`.
    """
    each = _ONE_FRAME + channels * _ONE_FRAME_PER_CHANNEL
    if in_flight:
        each += _PIPELINE + in_flight * (_IN_FLIGHT + channels * _IN_FLIGHT_PER_CHANNEL)
    start = _START + (_START_OF_NETWORK if channels else 0)
    return int(start + each * size[0] * size[1])


def channels_on_cpu(model: "Model | None") -> int:
    """`channels` for `needed_memory`.

    Args:
        model: of kind `fagdn-calibrated`; or None.
    """
    if model is None or next(model.network.parameters()).device.type != "cpu":
        return 0
    network = cast("CalibratedFagdn", model.network)
    return network.config.widths[0]


def free_memory() -> int:
    """Bytes that this process can still get: of the machine, or of its control group on Linux."""
    free = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / f"memory.{it}").read_text()) for it in ("max", "current"))
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(facts["inactive_file"]))  # a cache that makes room
    except (OSError, ValueError, KeyError):  # no such group, or "max"
        pass
    return max(free, 0)


def most_in_flight() -> int:
    """Number of frames in flight from which on more would not be faster."""
    return min(max(1, threads() - 1), MOST_IN_FLIGHT)


def fitting_in_flight(size: tuple[int, int], channels: int, *, limit: int | None, say: Say) -> int:
    """The largest useful number of frames in flight for which memory suffices.

    Args:
        size, channels: see `needed_memory`.
        limit: bytes that the run may take; None for what is free.
        say: told if memory is too small for the fastest way.

    Raises:
        UsageError: `limit` is too small for any.
    """
    allowed = free_memory() if limit is None else limit
    most = most_in_flight()
    needs = {count: needed_memory(size, channels, count) for count in range(most + 1)}
    fitting = max((count for count, need in needs.items() if need <= allowed), default=None)
    frames = f"{size[1]}×{size[0]}"
    if fitting is None and limit is not None:
        advice = ", or --model none" if channels else ""
        raise UsageError(
            f"--memory {amount(limit)}: frames of {frames} take about {amount(needs[0])}; allow "
            f"that{advice}"
        )
    if fitting is None:
        say(
            f"frames of {frames} take about {amount(needs[0])} of memory, but only "
            f"{amount(allowed)} are free; the system may stop this run"
        )
        return 0
    if fitting == 0:
        say(
            f"frames are made one after another, which takes longer: several at a time take about "
            f"{amount(needs[1])} of memory, and {amount(allowed)} are "
            + ("free" if limit is None else "allowed")
        )
    return fitting
