"""Learn a prior of cameras' inverse ISPs: makes `rvdtool/reconstruct/isp_prior.npz`.

    python examples/learn_isp_prior.py --sources DATA --sources / --sources SKIMAGE -o isp_prior.npz

1200 cameras and ISPs are drawn from RVD-Sim's training ranges. Each renders one frame of a training
photograph or of drawn dead leaves (and no scene of RVD-Sim's other parts), and its inverse is
fitted by linear regression. As no frame shows all colours, mean and covariance of the regressions'
weights are estimated by expectation maximisation. Takes six minutes on one core, two of them for
the frames.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from rvdtool.files import write_beside
from rvdtool.raw.bayer import normalise
from rvdtool.reconstruct.inverse_isp import SATURATED
from rvdtool.reconstruct.isp_features import COLUMNS, LINEAR, RADIUS, Features, design
from rvdtool.reconstruct.isp_prior import Matrix, Moments, own_gain
from rvdtool.reconstruct.statistics import POSITIONS
from rvdtool.research.dataset.draw import TRAINING_CAMERAS, draw_isp, draw_sensor
from rvdtool.research.dataset.isp import camera_render
from rvdtool.research.dataset.pixels import Image
from rvdtool.research.dataset.recipe import Light, Source
from rvdtool.research.dataset.rvd_sim import EXTRA, TRAINING
from rvdtool.research.dataset.scene import SourceFolders, load_still
from rvdtool.research.dataset.sensor import Camera

SIZE = (320, 448)
DRAWN = 12
SAMPLES, FEWEST = 6000, 3000
"""Photosites used per CFA position, and the smallest number required."""
WITNESSES = 600
"""Number of independent photosites that they are equivalent to."""
ROUNDS = 40


def load_pictures(folders: SourceFolders) -> list[Image]:
    """The training scenes' photographs, and drawn pictures."""
    stills = [scene.source for scene in (*TRAINING, *EXTRA) if scene.source.kind == "photo"]
    stills += [Source(kind="leaves", seed=9000 + more, shrink=1) for more in range(DRAWN)]
    return [load_still(still, folders) for still in stills]


def film(number: int, pictures: list[Image]) -> list[tuple[int, Moments]]:
    """Simulate one camera's frame; return the regression's moments and colour per CFA position."""
    rng = np.random.default_rng([77, number])
    picture = pictures[rng.integers(len(pictures))]
    (height, width), (rows, columns) = SIZE, picture.shape[:2]
    top, left = rng.integers(0, max(1, rows - height)), rng.integers(0, max(1, columns - width))
    view = picture[top : top + height, left : left + width]
    if view.shape[:2] != SIZE:
        view = cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA)
    electrons = float(np.exp(rng.uniform(*np.log((1500, 20000)))))
    sensor = draw_sensor(rng, TRAINING_CAMERAS, electrons)
    exposure = float(np.exp(rng.uniform(*np.log((0.15, 2.0)))))
    light = Light(exposure=exposure, vignetting=float(rng.uniform(0, 0.4)))
    frame = Camera(sensor, light, SIZE, number).expose(np.ascontiguousarray(view), 0)
    features = Features(camera_render(frame, draw_isp(rng), 0, light))
    raw = normalise(frame.mosaic, frame.black, frame.white)
    side = 2 * RADIUS + 1
    clipped = cv2.dilate((features.clipped > 0).astype(np.uint8), np.ones((side, side), np.uint8))
    found = []
    for y, x in POSITIONS:
        keep = (clipped[y::2, x::2] == 0) & (raw[y::2, x::2] < SATURATED)
        chosen = np.flatnonzero(keep)
        if chosen.size < FEWEST:
            continue
        keep[:] = False
        keep.flat[chosen[:: max(1, chosen.size // SAMPLES)]] = True
        color = int(frame.phase.pattern[y, x])
        seen, target = design(features, (y, x), keep), raw[y::2, x::2][keep]
        target = target / np.float32(own_gain(seen, target, color))
        found.append((color, Moments.of(seen, target, len(seen))))
    return found


def maximise(tasks: list[Moments], color: int) -> tuple[Matrix, Matrix]:
    """Mean and covariance of the weights of many regressions."""
    scale = np.sqrt(np.mean([np.diag(task.gram) for task in tasks], axis=0)) + 1e-9
    scale[-1] = 1
    grams = [task.gram / np.outer(scale, scale) for task in tasks]
    moments = [task.moment / scale for task in tasks]
    mean, covariance = np.zeros(COLUMNS + 1), 0.1 * np.eye(COLUMNS + 1)
    mean[LINEAR + color] = scale[LINEAR + color]
    noise = [0.02**2] * len(tasks)
    for _ in range(ROUNDS):
        precision = np.linalg.inv(covariance)
        weights, spread = [], np.zeros_like(covariance)
        for number, (gram, moment) in enumerate(zip(grams, moments, strict=True)):
            trust = WITNESSES / noise[number]
            posterior = np.linalg.inv(precision + trust * gram)
            weights.append(posterior @ (precision @ mean + trust * moment))
            spread += posterior
            noise[number] = max(1e-6, tasks[number].squared_error(weights[-1] / scale))
        mean = np.mean(weights, axis=0)
        apart = np.array(weights) - mean
        covariance = (apart.T @ apart + spread) / len(tasks) + 1e-6 * np.eye(COLUMNS + 1)
    return mean / scale, covariance / np.outer(scale, scale)


def main() -> None:
    """Simulate frames, learn the prior, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sources", type=Path, action="append", required=True)
    parser.add_argument("--cameras", type=int, default=1200)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    pictures = load_pictures(SourceFolders(tuple(arguments.sources)))
    tasks = [task for number in range(arguments.cameras) for task in film(number, pictures)]
    learned = [maximise([moments for own, moments in tasks if own == c], c) for c in range(3)]
    with write_beside(arguments.output) as file:
        np.savez_compressed(
            file,
            mean=np.stack([mean for mean, _ in learned]).astype(np.float32),
            factor=np.stack([np.linalg.cholesky(it) for _, it in learned]).astype(np.float32),
        )
    print(f"{arguments.output}: {len(tasks)} regressions of {arguments.cameras} cameras")


if __name__ == "__main__":
    main()
