"""Give every command small, hostile files, and measure what each run costs.

    python -m tests.fuzz.commands              all of them: some minutes
    python -m tests.fuzz.commands --only derender

Every file has less than 10 MB and asks for much more memory or time than it is worth. A command
must refuse it with one line of an error, or succeed because it needs nothing of what is forged (as
`unpack` does, which copies bytes), within 250 MB of memory and 5 seconds of processor beyond
those with which Python and the libraries start. One JSON on stdout; exits with 1 if any run
did otherwise.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.hostile import list_runs
from tests.fuzz.watch import MEMORY, SECONDS

_TYPED = range(2, 6)
"""Exit codes of errors for which the input is to blame; see rvdtool.errors."""
_MB = 10**6

_MOST, _LONGEST = 2 * 10**9, 300
"""Bytes and seconds of the clock after which a run is killed."""
_EVERY = 0.01
"""Seconds between two looks at a run's memory."""

_IMPORTS = "import rvdtool.cli, rvdtool.delivery.folder, rvdtool.research.training.loop"
"""What no command needs more of."""


@dataclass(frozen=True)
class Cost:
    """What a process came to.

    Attributes:
        code: its exit code.
        memory: most resident memory of it or a process that it started, in bytes.
        seconds: of processor, of both.
        clock: seconds of the clock.
        lines: what it wrote to stderr.
    """

    code: int
    memory: int
    seconds: float
    clock: float
    lines: list[str]


def measure_run(arguments: list[str], base: Cost) -> dict[str, Any]:
    """Run a command of rvdtool.

    Args:
        arguments: of rvdtool.
        base: what it costs to start.
    """
    cost = _measure(["-m", "rvdtool", *arguments])
    errors = [line for line in cost.lines if line.startswith("error:")]
    right = cost.code == 0 or (len(errors) == 1 and cost.code in _TYPED)
    grouped = arguments[0] in ("models", "research")
    return {
        "command": " ".join(arguments[: 1 + grouped]),
        "exit code": cost.code,
        "MB": round(cost.memory / _MB),
        "seconds": round(cost.seconds, 1),
        "clock": round(cost.clock, 1),
        "said": (errors or cost.lines[-1:] or [""])[0][:300],
        "ok": right
        and cost.memory <= MEMORY + base.memory
        and cost.seconds <= SECONDS + base.seconds,
    }


def _measure(arguments: list[str]) -> Cost:
    """Run Python with these arguments."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        memory, status = 0, None
        while status is None:
            memory = max(memory, _peak(child.pid))
            if memory > _MOST or time.monotonic() - start > _LONGEST:
                child.kill()
            ended, found, used = os.wait4(child.pid, os.WNOHANG)
            status = found if ended else None
            time.sleep(_EVERY)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
    seconds = used.ru_utime + used.ru_stime
    return Cost(child.returncode, memory, seconds, time.monotonic() - start, lines)


def _peak(process: int) -> int:
    """Most resident memory in bytes of a process or one that it started; 0 if it has ended.

    Unlike the rusage of a child, it doesn't count what the parent had when it forked.
    """
    place = Path(f"/proc/{process}")
    try:
        found = (place / "status").read_text().partition("VmHWM:")[2].split()
        started = (place / "task" / str(process) / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    own = int(found[0]) * 1024 if found else 0
    return max(own, *map(_peak, map(int, started)), 0)


def main() -> int:
    """Run all, and say what they cost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="", help="commands or files with this in their names")
    wanted = parser.parse_args().only
    found = []
    with tempfile.TemporaryDirectory(prefix="rvdtool-hostile-") as place:
        seeds, folder = Path(place) / "seeds", Path(place) / "files"
        folder.mkdir()
        subprocess.run([sys.executable, "-m", "tests.fuzz.seeds", str(seeds)], check=True)
        # Loops that no run on this machine has needed yet are compiled once.
        warm = ["-m", "rvdtool", "derender", str(seeds / "bundle" / "h264.rvd"), "-o"]
        _measure([*warm, str(Path(place) / "warm")])
        base = _measure(["-c", _IMPORTS])
        for name, arguments in list_runs(seeds, folder):
            if wanted in f"{name} {' '.join(arguments[:2])}":
                found.append({"file": name, **measure_run(arguments, base)})
                if not found[-1]["ok"]:
                    sys.stderr.write(f"{found[-1]}\n")
    failed = [one for one in found if not one["ok"]]
    most = {key: max(one[key] for one in found) for key in ("MB", "seconds")}
    report = {
        "runs": len(found),
        "failures": len(failed),
        **most,
        "base": asdict(base),
        "of": found,
    }
    sys.stdout.write(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
