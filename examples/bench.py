"""Compare the speed of this checkout with that of an older commit.

    python examples/bench.py [--against COMMIT] [--runs 3] [-o bench.json]

A clip is made (a pan over the example's RAW, enlarged) and packed by each version; then old and new
version de-render it alternately. Whole processes are timed: start, calibration, decoding, DNGs. The
older commit runs from a git worktree in this environment.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from datetime import date
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from rvdtool.raw.dng import write_dng
from rvdtool.raw.read import read_raw
from rvdtool.reconstruct.compiled import cores
from rvdtool.video.encode import encode_video

ROOT = Path(__file__).resolve().parents[1]
PINNED = "9c51496"
CASES = (
    ("1600×900, default model", (900, 1600), 60, ()),
    ("1600×900, --model none", (900, 1600), 60, ("--model", "none")),
    ("3840×2160, default model", (2160, 3840), 8, ()),
)


@dataclass
class Timing:
    """One process: wall time and CPU time in seconds, and peak memory."""

    version: str
    seconds: float
    cpu_seconds: float
    peak_mib: float


def make_clip(folder: Path, size: tuple[int, int], frames: int) -> None:
    """Make `video.mp4` and `first.dng`: a camera pans over a still, with new noise per frame."""
    folder.mkdir()
    still = read_raw(ROOT / "examples/nokia_n900/first.dng")
    levels = (still.mosaic - np.float32(still.black[0])) / (still.white - still.black[0])
    pattern = still.phase.pattern
    rgb = np.zeros((levels.shape[0] // 2, levels.shape[1] // 2, 3), np.float32)
    for row in range(2):
        for column in range(2):
            color = pattern[row, column]
            rgb[..., color] += levels[row::2, column::2] / (2 if color == 1 else 1)
    height, width = size
    wide = cv2.resize(rgb, (width + 4 * frames, height + 2 * frames), interpolation=cv2.INTER_CUBIC)
    rng = np.random.default_rng(0)
    wide *= 1 + 0.2 * cv2.GaussianBlur(rng.standard_normal(wide.shape, np.float32), (0, 0), 1.5)
    neutral = np.array(still.profile.as_shot_neutral, np.float32)
    pictures = []
    for index in range(frames):
        move = np.array([[1, 0, 3.3 * index], [0, 1, 1.7 * index]], np.float32)
        scene = cv2.warpAffine(wide, move, (width, height), flags=cv2.WARP_INVERSE_MAP | 1)
        if index == 0:
            mosaic = np.empty(size, np.float32)
            for row in range(2):
                for column in range(2):
                    plane = scene[row::2, column::2, pattern[row, column]]
                    mosaic[row::2, column::2] = plane
            mosaic += rng.standard_normal(size, np.float32) * np.float32(0.004)
            digital = np.clip(mosaic, 0, 1) * (still.white - still.black[0]) + still.black[0]
            first = replace(still, mosaic=np.rint(digital).astype(np.uint16), default_crop=None)
            write_dng(first, folder / "first.dng")
        light = np.clip(scene / neutral * 1.3, 0, 1) ** (1 / 2.2)
        pictures.append(np.rint(255 * light).astype(np.uint8))
    encode_video(pictures, folder / "video.mp4", rate=Fraction(25), preset="veryfast")


def rvdtool(source: Path, *arguments: str | Path) -> tuple[float, float, float]:
    """Run a version's command; return wall time and CPU time in seconds, and peak MiB."""
    command = [sys.executable, "-m", "rvdtool", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=source, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(command)} failed with {child.returncode}")
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale


def measure(folder: Path, versions: dict[str, Path], case: tuple, runs: int) -> dict:
    """All runs of a case, and the ratio of the medians."""
    name, size, frames, options = case
    make_clip(folder, size, frames)
    done: list[Timing] = []
    for version, source in versions.items():
        bundle = folder / f"{version}.rvd"
        rvdtool(source, "pack", folder / "video.mp4", folder / "first.dng", "-o", bundle)
    for _ in range(runs):
        for version, source in versions.items():
            raws = folder / "raws"
            bundle = folder / f"{version}.rvd"
            done.append(Timing(version, *rvdtool(source, "derender", bundle, "-o", raws, *options)))
            shutil.rmtree(raws)
            print(f"{name}: {done[-1]}", flush=True)

    def median(version: str, what: str) -> float:
        return float(np.median([getattr(run, what) for run in done if run.version == version]))

    return {
        "case": name,
        "frames": frames,
        "times_as_fast": round(median("old", "seconds") / median("new", "seconds"), 2),
        "frames_per_second": round(frames / median("new", "seconds"), 2),
        "peak_mib": {version: round(median(version, "peak_mib")) for version in versions},
        "runs": [asdict(run) for run in done],
    }


def processor() -> str:
    """The processor's name, if the system tells."""
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", default=PINNED, help="the older commit")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cases", type=int, default=len(CASES), help="only the first so many")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench.json"))
    given = parser.parse_args()
    git = ["git", "-C", str(ROOT)]
    with tempfile.TemporaryDirectory() as scratch:
        old = Path(scratch) / "old"
        subprocess.run([*git, "worktree", "add", "--detach", str(old), given.against], check=True)
        try:
            versions = {"old": old, "new": ROOT}
            cases = [
                measure(Path(scratch) / str(number), versions, case, given.runs)
                for number, case in enumerate(CASES[: given.cases])
            ]
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(old)], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True
    )
    result = {
        "date": date.today().isoformat(),
        "machine": f"{processor()}, {cores()} cores",
        "old": given.against,
        "new": commit.stdout.strip(),
        "cases": cases,
    }
    given.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(f"{given.output}: " + "; ".join(f"{c['case']}: {c['times_as_fast']} ×" for c in cases))


if __name__ == "__main__":
    main()
