"""Learn how far clipped colours exceed the limit: makes `rvdtool/reconstruct/highlights.npz`.

    python examples/learn_highlights.py EVIDENCE/train EVIDENCE/walks … -o highlights.npz

Reads the evidence that `rvdtool research train --preset fagdn-calibrated --evidence EVIDENCE` has
stored, takes clipped photosites of every fifth frame, preferably with clip states that the
reference frame doesn't have, and trains a perceptron. Its target is the true RAW's position between
the clipping limit (0) and white (1). The loss is a likelihood, so that the perceptron also learns
its own variance. Takes a few minutes on two cores.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn.functional import softplus

from rvdtool.files import write_beside
from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.highlights import INPUTS, LEAST, highlight_inputs
from rvdtool.reconstruct.isp_features import Features
from rvdtool.research.training.crops import whole
from rvdtool.research.training.evidence import EvidenceClip

UNSEEN, SEEN = 400, 150
"""Photosites taken per frame: of clip states that the reference frame lacks, and of others."""
UNKNOWN = 1e-3
"""Variance of the fine error above which a clip state counts as lacking in the reference frame."""
NARROW = 0.02
"""Photosites with less than this between limit and white aren't used."""
EPOCHS, BATCH, RATE, NOISE = 12, 2048, 3e-3, 0.05


def read(folder: Path, step: int) -> np.ndarray:
    """Read samples [count, INPUTS + 2]: inputs, position between limit and white, weight."""
    cv2.setNumThreads(1)
    clip = EvidenceClip(folder)
    augmentation, found = whole(clip), [np.zeros((0, INPUTS + 2), np.float32)]
    rng = np.random.default_rng(len(clip))
    for index in range(2, len(clip), step):
        evidence = clip.evidence(index, augmentation)
        own, unseen = evidence.lower_bound > 0, evidence.fine >= UNKNOWN
        places = [np.argwhere(own & mask) for mask in (unseen, ~unseen)]
        chosen = [
            rng.permutation(part)[:most] for part, most in zip(places, (UNSEEN, SEEN), strict=True)
        ]
        where = np.concatenate(chosen)
        if len(where) < 30:
            continue
        where = where[np.lexsort((where[:, 1], where[:, 0]))]  # reading order
        white = 1 / evidence.exposure
        seen = highlight_inputs(
            Features(clip.rgb(index, augmentation)),
            CfaPhase.RGGB,
            evidence.lower_bound,
            white,
            clip.gain_tracked,
            where,
        )
        least, true = (
            part[tuple(where.T)] for part in (evidence.lower_bound, clip.raw(index, augmentation))
        )
        room = white - least
        weight = np.where(unseen[tuple(where.T)], 1, 0.3) * np.clip(room, 0, 1)
        share = np.clip((true - least) / np.maximum(room, NARROW), -0.5, 1)
        samples = np.column_stack([seen, share, weight])
        found.append(samples[room > NARROW].astype(np.float32))
    return np.concatenate(found)


def learn(samples: torch.Tensor) -> nn.Sequential:
    """Train the perceptron on standardised samples."""
    torch.manual_seed(0)
    layers = [nn.Linear(INPUTS, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 2)]
    network = nn.Sequential(*layers)
    steps = len(samples) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * steps)
    for _ in range(EPOCHS):
        for batch in samples[torch.randperm(len(samples))][: steps * BATCH].split(BATCH):
            seen, share, weight = batch[:, :INPUTS], batch[:, INPUTS], batch[:, INPUTS + 1]
            out = network(seen + NOISE * torch.randn_like(seen))
            error = softplus(out[:, 1]) + float(LEAST)
            loss = (weight * (((out[:, 0] - share) / error) ** 2 / 2 + error.log())).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


def main() -> None:
    """Read evidence, train, and write the perceptron."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", type=Path, nargs="+", help="folders of evidence")
    parser.add_argument("--step", type=int, default=5, help="of the frames looked at")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    clips = sorted(path.parent for part in arguments.parts for path in part.glob("*/clip.json"))
    with ProcessPoolExecutor() as pool:
        samples = np.concatenate(list(pool.map(partial(read, step=arguments.step), clips)))
    seen, weight = samples[:, :INPUTS], samples[:, -1]
    mean, spread = seen.mean(axis=0), seen.std(axis=0) + np.float32(1e-3)
    samples[:, :INPUTS] = np.clip((seen - mean) / spread, -5, 5)
    samples[:, -1] = weight / weight.mean()
    network = learn(torch.from_numpy(samples))
    weights = {}
    for number, layer in enumerate(network[::2]):
        weights[f"weight{number}"] = layer.weight.detach().numpy()
        weights[f"bias{number}"] = layer.bias.detach().numpy()
    with write_beside(arguments.output) as file:
        np.savez_compressed(file, mean=mean, spread=spread, **weights)
    print(f"{arguments.output}: {len(samples)} photosites of {len(clips)} videos")


if __name__ == "__main__":
    main()
