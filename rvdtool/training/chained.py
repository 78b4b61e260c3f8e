"""Training our network on its own chained predictions, and validating it as it will be run."""

import csv
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from rvdtool.derender.fusion import fuse
from rvdtool.derender.learned import Learned
from rvdtool.derender.packing import Packing, pack_reference
from rvdtool.network.fagdn import Fagdn, FagdnConfig
from rvdtool.raw.frame import CfaPhase
from rvdtool.training.evidence import EvidenceClip
from rvdtool.training.streams import Sample, Stream, collate, whole


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Attributes:
        steps: updates of the weights.
        streams: clips followed at a time: the batch.
        crop: side of their crops in photosites, a multiple of 64.
        rate: highest learning rate; reached after `warmup` steps, then falling as a half cosine.
        average: share that the running mean of the weights keeps at each step; it is what is
            validated and shipped.
        validate_every, save_every: steps.
        seed: of weights, clips, crops.
    """

    steps: int = 14_000
    streams: int = 6
    crop: int = 256
    rate: float = 1e-3
    warmup: int = 300
    average: float = 0.998
    validate_every: int = 1000
    save_every: int = 250
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, 0, 1, …."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1))))


def train(
    config: FagdnConfig,
    schedule: Schedule,
    clips: Sequence[EvidenceClip],
    validation: Sequence[EvidenceClip],
    out: Path,
    *,
    log: Callable[[str], None],
) -> Fagdn:
    """Train, or go on with what an earlier run left in `out`.

    Args:
        config, schedule: what and how.
        clips, validation: training and validation clips' evidence.
        out: folder for state.ckpt, curve.csv and validation.csv.
        log: is given a line now and then.

    Returns:
        The network with the mean weights, in evaluation mode.
    """
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    fabric.seed_everything(schedule.seed, verbose=False)
    out.mkdir(parents=True, exist_ok=True)
    plain, mean = Fagdn(config), Fagdn(config).eval()
    for one in (plain, mean):
        one.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean.load_state_dict(plain.state_dict())
    optimizer = torch.optim.Adam(plain.parameters(), lr=schedule.rate, betas=(0.9, 0.99))
    network, optimizer = fabric.setup(plain, optimizer)
    network.mark_forward_method("encode_reference")
    state = {"network": network, "optimizer": optimizer, "mean": mean.state_dict(), "step": 0}
    checkpoint = out / "state.ckpt"
    if checkpoint.exists():
        fabric.load(checkpoint, state)
        mean.load_state_dict(state["mean"])
    (out / "schedule.json").write_text(json.dumps({"config": asdict(config), **asdict(schedule)}))
    first = int(state["step"])
    streams = [
        Stream(clips, schedule.crop, seed=schedule.seed + 1000 * first + number)
        for number in range(schedule.streams)
    ]
    began = time.monotonic()
    recent: list[tuple[float, float]] = []
    for step in range(first, schedule.steps):
        batch = collate([stream.sample() for stream in streams])
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate_at(step)
        value, variance = network(batch.planes, network.encode_reference(batch.reference))
        errors = ((value - batch.true) ** 2).mean(dim=(1, 2, 3))
        loss = (errors + 1e-9).log10().mean() * 10
        fabric.backward(loss)
        fabric.clip_gradients(network, optimizer, max_norm=1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for kept, new in zip(mean.parameters(), plain.parameters(), strict=True):
                kept.lerp_(new, 1 - min(schedule.average, (step + 1) / (step + 10)))
        for number, stream in enumerate(streams):
            stream.keep(value[number : number + 1].detach(), variance[number : number + 1].detach())
        recent.append((float(loss.detach()), _fusion_level(batch)))
        if (step + 1) % 50 == 0:
            ours, fusion = (float(x) for x in np.mean(recent, axis=0))
            rate = (step + 1 - first) / (time.monotonic() - began)
            _row(out / "curve.csv", [step + 1, f"{ours:.3f}", f"{fusion:.3f}", f"{rate:.3f}"])
            log(f"{step + 1} loss {ours:.2f} fusion {fusion:.2f} {rate:.2f} steps/s")
            recent = []
        if (step + 1) % schedule.save_every == 0 or step + 1 == schedule.steps:
            state.update(mean=mean.state_dict(), step=step + 1)
            fabric.save(checkpoint.with_suffix(".part"), state)
            checkpoint.with_suffix(".part").replace(checkpoint)
        if (step + 1) % schedule.validate_every == 0 or step + 1 == schedule.steps:
            results = {clip.name: validate(mean, clip) for clip in validation}
            for name, (ours, fusion) in results.items():
                _row(out / "validation.csv", [step + 1, name, f"{ours:.3f}", f"{fusion:.3f}"])
            log(f"{step + 1} VALIDATION " + summary(results))
    return mean


def _fusion_level(batch: Sample) -> float:
    """Mean loss of the training-free fusion on the same inputs, dB."""
    from rvdtool.network.fagdn import SMALLEST
    from rvdtool.network.fagdn import fuse as fuse_planes

    planes = batch.planes
    value, _, _ = fuse_planes(planes.values, planes.variances.clamp_min(SMALLEST), planes.fine)
    errors: Tensor = ((value - batch.true) ** 2).mean(dim=(1, 2, 3))
    return float((errors + 1e-9).log10().mean() * 10)


def summary(results: dict[str, tuple[float, float]]) -> str:
    """One line: per clip ours/fusion, and the mean difference by condition (A, B, C in turn)."""
    rows = list(results.values())
    gains = [np.mean([a - b for a, b in rows[k::3]]) for k in range(3)]
    text = " ".join(f"{a:.2f}/{b:.2f}" for a, b in rows)
    return f"{text} | gain A {gains[0]:+.2f} B {gains[1]:+.2f} C {gains[2]:+.2f}"


@torch.no_grad()
def validate(network: Fagdn, clip: EvidenceClip) -> tuple[float, float]:
    """Chained PSNR in dB, mean over a clip's frames: of the network, and of the fusion.

    On DN / (2^bits − 1) with peak 1, without the outermost rows and columns that RGGB costs.
    """
    move = whole(clip)
    first = clip.first(move)
    packing = Packing.of((first.raw.shape[0], first.raw.shape[1]), CfaPhase.RGGB)
    reference = pack_reference(packing, first.rgb, first.raw, first.estimate, first.variance)
    learned = Learned(network, packing, reference, clip.gain_tracked)
    black, white, bits = clip.levels
    scale = (white - black[0]) / (2**bits - 1)
    psnr = np.zeros((2, len(clip) - 1))
    raws, variances = [first.raw, first.raw], [np.zeros_like(first.raw)] * 2
    for index in range(1, len(clip)):
        evidence, rgb = clip.evidence(index, move), clip.rgb(index, move)
        true, exposure = clip.raw(index, move), clip.exposure(index)
        for way in range(2):
            prior = evidence.with_previous(raws[way], variances[way])
            value, variances[way] = fuse(prior) if way else learned(prior, rgb)
            steps = np.float32(white - black[0])
            raws[way] = np.round(np.clip(value * exposure, 0, 1) * steps) / steps / exposure
            error = float(((raws[way] - true) ** 2).mean()) * (scale * exposure) ** 2
            psnr[way, index - 1] = -10 * math.log10(max(error, 1e-12))
    ours, fusion = psnr.mean(axis=1)
    return float(ours), float(fusion)


def _row(path: Path, values: Sequence[object]) -> None:
    with path.open("a", newline="") as file:
        csv.writer(file).writerow(values)
