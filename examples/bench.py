"""Compare the speed of this checkout with that of an older commit.

    python examples/bench.py [--against COMMIT] [--runs 2] [-o bench.json]

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
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rvdtool.fagdn.network import Fagdn, FagdnConfig
from rvdtool.network.checkpoint import save_model
from rvdtool.raw.dng import write_dng
from rvdtool.raw.read import read_raw
from rvdtool.reconstruct.compiled import cores
from rvdtool.video.encode import encode_video

ROOT = Path(__file__).resolve().parents[1]
PINNED = "9c51496"
PUBLISHED = "published"


@dataclass(frozen=True)
class Case:
    """One row of the results.

    Attributes:
        name: shown in the results.
        size, frames: of the clip; (height, width).
        options: of `rvdtool derender`; `PUBLISHED` stands for a model of the paper's network.
        compared: run both versions; otherwise this checkout only, once.
        one_core: restrict the process to one core.
    """

    name: str
    size: tuple[int, int]
    frames: int
    options: tuple[str, ...] = ()
    compared: bool = True
    one_core: bool = False


CASES = (
    Case("1600×900, default model", (900, 1600), 60),
    Case("1600×900, --model none", (900, 1600), 60, ("--model", "none")),
    Case("3840×2160, default model", (2160, 3840), 6),
    Case("1600×900, default model, one core", (900, 1600), 60, compared=False, one_core=True),
    Case("1600×900, start and first frame", (900, 1600), 2, compared=False),
    Case(
        "1600×900, the paper's network in float32, random weights",
        (900, 1600),
        3,
        ("--model", PUBLISHED, "--fp32"),
        compared=False,
    ),
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


def rvdtool(
    source: Path, *arguments: str | Path, one_core: bool = False
) -> tuple[float, float, float]:
    """Run a version's command; return wall time and CPU time in seconds, and peak MiB."""
    command = [sys.executable, "-m", "rvdtool", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    own = os.sched_getaffinity(0) if one_core else set()
    start = time.perf_counter()
    if one_core:
        os.sched_setaffinity(0, {min(own)})  # inherited by the child
    child = subprocess.Popen(command, cwd=source, env=environment, stdout=subprocess.DEVNULL)
    if one_core:
        os.sched_setaffinity(0, own)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(command)} failed with {child.returncode}")
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale


def measure(folder: Path, versions: dict[str, Path], case: Case, runs: int) -> dict:
    """Run a case; return all runs, and figures from their medians."""
    # In a process of its own: the peak memory of a child includes its parent's at the fork.
    maker = get_context("spawn").Process(target=make_clip, args=(folder, case.size, case.frames))
    maker.start()
    maker.join()
    if maker.exitcode:
        sys.exit("the clip can't be made")
    options = [str(folder / PUBLISHED) if one == PUBLISHED else one for one in case.options]
    if PUBLISHED in case.options:  # random weights take as long as trained ones
        config = FagdnConfig()
        save_model(folder / PUBLISHED, "fagdn", asdict(config), Fagdn(config).state_dict())
    if not case.compared:
        versions, runs = {"new": versions["new"]}, 1
    done: list[Timing] = []
    for version, source in versions.items():
        bundle = folder / f"{version}.rvd"
        rvdtool(source, "pack", folder / "video.mp4", folder / "first.dng", "-o", bundle)
    for _ in range(runs):
        for version, source in versions.items():
            raws = folder / "raws"
            arguments = ("derender", folder / f"{version}.rvd", "-o", raws, *options)
            done.append(Timing(version, *rvdtool(source, *arguments, one_core=case.one_core)))
            shutil.rmtree(raws)
            print(f"{case.name}: {done[-1]}", flush=True)

    def median(version: str, what: str) -> float:
        return float(np.median([getattr(run, what) for run in done if run.version == version]))

    result: dict[str, Any] = {
        "case": case.name,
        "frames": case.frames,
        "seconds": {version: round(median(version, "seconds"), 1) for version in versions},
        "peak_mib": {version: round(median(version, "peak_mib")) for version in versions},
    }
    if case.compared:
        times = median("old", "seconds") / median("new", "seconds")
        result["times_as_fast"] = round(times, 2)
    return {**result, "runs": [asdict(run) for run in done]}


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
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--cases", type=int, default=len(CASES), help="only the first so many")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench.json"))
    given = parser.parse_args()
    git = ["git", "-C", str(ROOT)]
    with tempfile.TemporaryDirectory() as scratch:
        old = Path(scratch) / "old"
        subprocess.run([*git, "worktree", "add", "--detach", str(old), given.against], check=True)
        try:
            versions = {"old": old, "new": ROOT}
            cases = CASES[: given.cases]
            if not hasattr(os, "sched_setaffinity"):  # macOS, Windows
                cases = tuple(case for case in cases if not case.one_core)
            measured = [
                measure(Path(scratch) / str(number), versions, case, given.runs)
                for number, case in enumerate(cases)
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
        "cases": measured,
    }
    given.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    for one in measured:
        seconds = f"{one['seconds']['new']} s, {one['frames']} frames"
        times = f", {one['times_as_fast']} × as fast" if "times_as_fast" in one else ""
        print(f"{one['case']}: {seconds}{times}")
    print(f"all figures: {given.output}")


if __name__ == "__main__":
    main()
