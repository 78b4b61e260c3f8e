"""Mutate every kind of file that rvdtool reads, and see what it does with them.

    python -m tests.fuzz.run                         the whole run: 15 minutes or more
    python -m tests.fuzz.run --bundles 200 --raws 50 --recordings 20 --videos 20 --states 20 \
        --models 20 --kills 5
    python -m tests.fuzz.run --only bundle:1234      one case again, with all it said

Every case is drawn from its number, used in a child process with limits (500 MB of resident
memory, 5 s of processor), and must end well or with an error of rvdtool's own:
no other error, no crash, no hang, and nothing written but what belongs into the case's output
folder. What came of all of them is one JSON on stdout. Exits with 1 if any case ended otherwise;
those are kept in the folder named by --keep.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

# Imported, but not used, before the fork: LibRaw's and FFmpeg's threads don't survive one.
from tests.fuzz import mutate
from tests.fuzz.kill import kill_at_every_write, kill_packs
from tests.fuzz.targets import use_bundle, use_mlv, use_plain, use_raw, use_video
from tests.fuzz.watch import FAILURES, MEMORY, SECONDS, watch

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""One thread: each takes address space, which is limited."""


@dataclass(frozen=True)
class Kind:
    """One kind of file, whose seeds are in the folder of its name.

    Attributes:
        use: what is done with it.
        fields: where its numbers are that say how much or where.
        forgers: what half of the cases are made by: changes inside, with checksums that are right.
    """

    use: Callable[[Path], list[str]]
    fields: Callable[[bytes], list[mutate.Field]]
    forgers: tuple[Callable[[bytes, random.Random], bytes], ...] = ()


_FORGERS = (
    mutate.forge_manifest,
    mutate.forge_camera,
    mutate.forge_member,
    mutate.forge_member,
    mutate.forge_names,
)
KINDS = {
    "bundle": Kind(use_bundle, mutate.zip_fields, _FORGERS),
    "raw": Kind(use_raw, mutate.tiff_fields),
    "plain": Kind(use_plain, mutate.tiff_fields),
    "mlv": Kind(use_mlv, mutate.mlv_fields),
    "video": Kind(use_video, lambda data: []),
}


def kind_of(name: str, seeds: Path) -> Kind:
    """The kind of this name. PyTorch is imported only if needed: it makes every fork slower."""
    if name in KINDS:
        return KINDS[name]
    from tests.fuzz import learned

    if name == "state":
        use, forger = learned.use_state, learned.forge_state
    else:
        use, forger = learned.use_model, learned.forge_model
    return Kind(partial(use, seeds), mutate.zip_fields, (forger,))


def main() -> int:
    arguments = _arguments()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        command = [sys.executable, "-m", "tests.fuzz.run", *sys.argv[1:]]
        return subprocess.run(command, env=os.environ | ENVIRONMENT, check=False).returncode
    counts = {
        "bundle": arguments.bundles,
        "raw": arguments.raws,
        "plain": arguments.raws // 5,
        "mlv": arguments.recordings,
        "video": arguments.videos,
        "state": arguments.states,
        "model": arguments.models,
    }
    with tempfile.TemporaryDirectory(prefix="rvdtool-seeds-") as folder:
        seeds = Path(folder)
        subprocess.run([sys.executable, "-m", "tests.fuzz.seeds", folder], check=True)
        if arguments.only:
            name, number = arguments.only.split(":")
            seed, data = draw_case(seeds, name, int(number))
            _say(sys.stdout, f"{seed}: {watch(kind_of(name, seeds).use, data, seed)}")
            return 0
        reports = {
            name: run_kind(
                seeds, name, range(arguments.first, arguments.first + count), arguments.keep
            )
            for name, count in counts.items()
        }
        if arguments.kills:
            inputs = (seeds / "video" / "h264.mp4", seeds / "raw" / "ljpeg.dng")
            with tempfile.TemporaryDirectory(prefix="rvdtool-kill-") as place:
                reports["packs killed at every write"] = kill_at_every_write(*inputs, Path(place))
            reports["packs killed at any time"] = kill_packs(
                seeds, arguments.kills, arguments.first
            )
    failures = sum(report["failures"] for report in reports.values())
    limits = {"MB beyond the start": round(MEMORY / 1e6), "seconds of processor": SECONDS}
    _say(sys.stdout, json.dumps({"failures": failures, "limits": limits, **reports}, indent=2))
    return 1 if failures else 0


def run_kind(seeds: Path, name: str, numbers: range, keep: Path | None) -> dict[str, object]:
    """All cases of one kind, counted."""
    kinds: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    drawn: Counter[str] = Counter()
    slowest, longest, highest, start = 0.0, 0.0, 0, time.monotonic()
    use = kind_of(name, seeds).use
    failed: list[str] = []
    for number in numbers:
        seed, data = draw_case(seeds, name, number)
        outcome = watch(use, data, seed)
        drawn[seed] += 1
        kinds[outcome.kind] += 1
        if number % 1000 == 999:
            _say(sys.stderr, f"{name}:{number} done: {dict(kinds)}")
        slowest, longest = max(slowest, outcome.seconds), max(longest, outcome.clock)
        highest = max(highest, outcome.peak)
        if outcome.kind == "refused":
            errors.update(part.split(":")[0] for part in outcome.detail.split(" | "))
        if outcome.kind in FAILURES:
            failed.append(f"{name}:{number}")
            _say(sys.stderr, f"{name}:{number}: {outcome.kind}: {outcome.detail}")
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{name}-{number}").write_bytes(data)
    return {
        "cases": len(numbers),
        **kinds,
        "failures": len(failed),
        "failed": failed[:20],
        "errors": dict(errors.most_common()),
        "of": dict(sorted(drawn.items())),
        "slowest case, seconds of processor": round(slowest, 2),
        "slowest case, seconds by the clock": round(longest, 2),
        "most memory, MB resident": round(highest / 1e6),
        "seconds": round(time.monotonic() - start),
    }


def draw_case(seeds: Path, name: str, number: int) -> tuple[str, bytes]:
    """Case `number` of a kind: the name of its seed, and the mutated bytes."""
    kind = kind_of(name, seeds)
    rng = random.Random(f"{name}:{number}")
    seed = rng.choice(sorted((seeds / name).iterdir()))
    data = seed.read_bytes()
    if kind.forgers and rng.random() < 0.5:
        return seed.name, rng.choice(kind.forgers)(data, rng)
    fields = kind.fields(data)
    for _ in range(rng.choice((1, 1, 2))):
        data = mutate.damage(data or b"\0", rng, [f for f in fields if sum(f) <= len(data)])
    return seed.name, data


def _say(where: TextIO, text: str) -> None:
    where.write(text + "\n")
    where.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--bundles", type=int, default=9_000)
    parser.add_argument(
        "--raws", type=int, default=2_500, help="DNGs; and a fifth as many TIFF, PNG"
    )
    parser.add_argument("--recordings", type=int, default=1_000, help=".mlv")
    parser.add_argument("--videos", type=int, default=1_000, help="MP4, MOV, MKV, AVI")
    parser.add_argument("--states", type=int, default=500, help="of interrupted runs")
    parser.add_argument("--models", type=int, default=500, help="networks and checkpoints")
    parser.add_argument("--kills", type=int, default=60, help="packs killed at random times")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", help="one case, as KIND:NUMBER")
    parser.add_argument("--keep", type=Path, help="folder for files of cases that failed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
