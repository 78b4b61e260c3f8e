"""Measure how accurately `rvdtool pack` aligns a RAW still, and how reliably it refuses wrong ones.

    python examples/alignment_experiment.py --sources DATA --sources / -o alignment/

Each case is a scene exposed twice with different noise: once as the RAW, once developed by LibRaw
or a camera-like ISP, scaled by 1 to 4, cropped, rotated by up to 3°, and encoded as H.264, so that
the true position of the video's grid on the RAW is known. `cases.csv` has a row per case: the
registration error (mean distance on the grid, in video pixels) and the score. `wrong.csv` has a row
per wrong pair: a case's RAW and the previous case's video, of another scene. `decision.png` and
`summary.md` summarise them. A case depends only on the seed and its number; an interrupted run is
resumed.

DATA has the RAW stills and clips that docs/research/dataset.md lists; the other source folders have
the wallpapers of the Debian packages listed there. Missing scenes are left out.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.bundle.convert import lens
from rvdtool.bundle.transform import Homography
from rvdtool.capture.align import MATCH, Alignment, align, frame_picture
from rvdtool.capture.compare import Picture
from rvdtool.errors import InputError
from rvdtool.raw.frame import RawFrame
from rvdtool.research.dataset.draw import TRAINING_CAMERAS, draw_isp, draw_sensor
from rvdtool.research.dataset.isp import Rgb8, develop
from rvdtool.research.dataset.recipe import LibRawIsp, Light, Source
from rvdtool.research.dataset.rvd_sim import TEST, TRAINING, VALIDATION
from rvdtool.research.dataset.scene import SourceFolders, iterate_clip, load_still
from rvdtool.research.dataset.sensor import Camera
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.encode import encode_video
from rvdtool.video.frame import VideoInfo
from rvdtool.video.source import open_source

WIDEST = 1500
"""Number of photosites along the longer side of a simulated sensor."""

SAME_SITE = "gopro/"
"""These stills all show one courtyard, so two of them may not be a wrong pair."""


@dataclass(frozen=True)
class Case:
    """One matching pair and its result."""

    number: int
    scene: str
    isp: str
    crf: int
    scale: float
    angle: float
    exposure: float
    electrons: int
    video: str
    error: float
    score: float


@dataclass(frozen=True)
class Wrong:
    """A RAW and a video of different scenes."""

    raw: int
    video: int
    score: float


@dataclass(frozen=True, eq=False)
class Pair:
    """A RAW frame, a video frame, and the homography (3×3) from its grid to the RAW's mosaic."""

    source: Source
    raw: RawFrame
    info: VideoInfo
    picture: Picture
    truth: NDArray[np.float64]
    case: Case


def main() -> None:
    """Parse the arguments and run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sources", type=Path, action="append", required=True)
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    folders = SourceFolders(tuple(options.sources))
    options.output.mkdir(parents=True, exist_ok=True)
    scenes = list(_scenes(folders))
    print(f"{len(scenes)} scenes")
    cases_file, wrong_file = options.output / "cases.csv", options.output / "wrong.csv"
    cases, wrong = _resumed(cases_file, Case), _resumed(wrong_file, Wrong)
    previous = None
    for number in range(len(cases), options.cases):
        pair = _pair(number, options.seed, scenes, folders)
        if previous is None and number:
            previous = _pair(number - 1, options.seed, scenes, folders)
        if previous is not None and _surely_differ(pair, previous):
            found = align(pair.raw, previous.info, {0: previous.picture})
            wrong.append(Wrong(number, number - 1, round(found.score, 4)))
            _add(wrong_file, wrong[-1])
        found = align(pair.raw, pair.info, {0: pair.picture})
        error, score = round(_error(found, pair), 4), round(found.score, 4)
        cases.append(replace(pair.case, error=error, score=score))
        _add(cases_file, cases[-1])
        print(cases[-1], wrong[-1:], flush=True)
        previous = pair
    _summarise(options.output, cases, wrong)


def _surely_differ(one: "Pair", other: "Pair") -> bool:
    paths = one.source.path, other.source.path
    return paths[0] != paths[1] and not all(path.startswith(SAME_SITE) for path in paths)


def _scenes(folders: SourceFolders) -> Iterator[Source]:
    """RVD-Sim's scenes of all parts (as nothing is trained here), at the size of a sensor."""
    every = [*TRAINING, *VALIDATION, *(scene for scene, _ in TEST)]
    sources = [scene.source for scene in every]
    sources += [Source(kind="clip", path="sam2/05_default_juggle.mp4")]
    sources += [Source(kind="raw", path="gopro/Fusion_GPBK7066.DNG")]
    for source in dict.fromkeys(sources):
        try:
            folders.find(source.path)
        except InputError:
            print(f"{source.path}: not there, left out")
            continue
        shrink = {"photo": 1.28, "raw": 2, "clip": 1}[source.kind]
        yield source.model_copy(update={"shrink": shrink})


def _light(source: Source, folders: SourceFolders) -> NDArray[np.float32]:
    if source.kind == "clip":
        image = next(iterate_clip(source, folders))
    else:
        image = load_still(source, folders)
    scale = WIDEST / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[: len(image) // 2 * 2, : image.shape[1] // 2 * 2])


def _pair(number: int, seed: int, scenes: Sequence[Source], folders: SourceFolders) -> Pair:
    rng = np.random.default_rng([seed, number])
    source = scenes[number % len(scenes)]
    image = _light(source, folders)
    height, width = image.shape[:2]
    electrons = float(np.exp(rng.uniform(np.log(1000), np.log(20000))))
    exposure = float(np.exp(rng.uniform(np.log(0.15), np.log(1.5))))
    light = Light(exposure=exposure, vignetting=float(rng.uniform(0, 0.4)))
    sensor = draw_sensor(rng, TRAINING_CAMERAS, electrons)
    camera = Camera(sensor, light, (height, width), seed=number)
    isp = LibRawIsp(kind="libraw") if rng.uniform() < 0.4 else draw_isp(rng)
    raw, shown = camera.expose(image, 0), camera.expose(image, 1)
    scale = float(np.exp(rng.uniform(0, np.log(min(4, width / 400)))))
    angle = float(rng.uniform(-3, 3))
    size, truth = _grid(rng, (height, width), scale, angle)
    crf = int(rng.integers(18, 29))
    rgb = _shown(develop(shown, isp, 1, light), truth, size, scale)
    info, picture = _coded(rgb, crf)
    case = Case(
        number, source.path, isp.kind, crf, round(scale, 3), round(angle, 2), round(exposure, 3),
        round(electrons), f"{size[1]}x{size[0]}", np.nan, np.nan,
    )  # fmt: skip
    return Pair(source, raw, info, picture, truth, case)


def _grid(
    rng: np.random.Generator, sensor: tuple[int, int], scale: float, angle: float
) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """A random 16:9 grid within the sensor, and the matrix from (x, y, 1) on it to the sensor."""
    height, width = sensor
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    # The bounding box of a rotated 16:9 rectangle of width 1, and its largest size.
    box = np.array([cosine + abs(sine) * 9 / 16, abs(sine) + cosine * 9 / 16])
    widest = min((width - 4) / box[0], (height - 4) / box[1]) * rng.uniform(0.65, 1)
    columns = int(widest / scale) // 2 * 2
    rows = int(widest * 9 / 16 / scale) // 2 * 2
    room = np.array([width, height]) - box * widest
    middle = np.array([width - 1, height - 1]) / 2 + rng.uniform(-0.5, 0.5, 2) * room
    turn = scale * np.array([[cosine, -sine], [sine, cosine]])
    shift = middle - turn @ (np.array([columns - 1, rows - 1]) / 2)
    return (rows, columns), np.vstack([np.column_stack([turn, shift]), [0, 0, 1]])


def _shown(rgb: Rgb8, truth: NDArray[np.float64], size: tuple[int, int], scale: float) -> Rgb8:
    """The developed picture on the video's grid, averaged over each pixel's area."""
    samples = int(np.ceil(2 * scale))
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    total = np.zeros((*size, 3), np.float32)
    for dy in offsets:
        for dx in offsets:
            shifted = truth @ np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]])
            total += cv2.warpPerspective(
                rgb, shifted, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            )
    return np.rint(total / samples**2).astype(np.uint8)


def _coded(rgb: Rgb8, crf: int) -> tuple[VideoInfo, Picture]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        encode_video([rgb] * 2, path, rate=Fraction(25), crf=crf)
        source = open_source(path)
        info = probe(source)
        return info, frame_picture(next(read_frames(source, info)).rgb)


def _error(found: Alignment, pair: Pair) -> float:
    """Mean distance between true and estimated positions of the grid's pixels, in video pixels."""
    if not isinstance(found.transform, Homography):
        return np.nan
    x, y = np.meshgrid(
        np.linspace(0, pair.info.width - 1, 33), np.linspace(0, pair.info.height - 1, 33)
    )
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    x, y, w = np.array(found.transform.matrix) @ points
    bent = lens(found.transform)
    x, y = (x / w, y / w) if bent is None else bent.bend(x / w, y / w)
    back = np.linalg.inv(pair.truth) @ np.stack([x, y, np.ones_like(x)])
    return float(np.hypot(*(back[:2] / back[2] - points[:2])).mean())


def _resumed(path: Path, kind: type) -> list:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        types = [field.type for field in fields(kind)]
        return [
            kind(*(t(value) for t, value in zip(types, row, strict=True)))
            for row in list(csv.reader(file))[1:]
        ]


def _add(path: Path, row: Case | Wrong) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow([field.name for field in fields(row)])
        writer.writerow(astuple(row))


def _summarise(folder: Path, cases: Sequence[Case], wrong: Sequence[Wrong]) -> None:
    errors = np.array([case.error for case in cases])
    right = np.array([case.score for case in cases])
    other = np.array([pair.score for pair in wrong])
    near = errors <= 0.25
    lines = [
        f"{len(cases)} matching pairs: registration error ≤ 0.25 px in {near.mean():.1%}; "
        f"median {np.median(errors):.3f}, 95th percentile {np.percentile(errors, 95):.3f} px",
        "",
        "| threshold | matching accepted | … of those within 0.25 px | wrong refused |",
        "|---|---|---|---|",
    ]
    for threshold in (0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8):
        taken = right >= threshold
        lines.append(
            f"| {threshold:.2f} | {taken.mean():.1%} | {near[taken].mean():.1%} "
            f"| {(other < threshold).mean():.2%} |"
        )
    lines += ["", f"Lowest matching score {right.min():.3f}, highest wrong {other.max():.3f}"]
    (folder / "summary.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    _draw(folder / "decision.png", right, other)


def _draw(path: Path, right: NDArray[np.float64], wrong: NDArray[np.float64]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.2), dpi=110, layout="constrained")
    thresholds = np.linspace(-0.1, 1, 500)
    axes.plot(thresholds, [(right >= t).mean() for t in thresholds], label="matching, accepted")
    axes.plot(thresholds, [(wrong < t).mean() for t in thresholds], label="wrong scene, refused")
    axes.axvline(MATCH, color="grey", linestyle=":", label=f"rvdtool's threshold, {MATCH:g}")
    axes.set(xlabel="threshold on the score", ylabel="share of pairs", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
