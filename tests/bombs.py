"""How much memory and time reading small, hostile files takes: measured in a process of its own."""

import json
import struct
import subprocess
import sys
from dataclasses import dataclass

MEMORY_MB = 500
SECONDS = 5

_MEASURE = """
import json, sys, time
from pathlib import Path
{imports}
for name in json.loads(sys.argv[1]):
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    start, said = time.process_time(), "accepted"
    try:
        {use}
    except RvdError as error:
        said = f"{{type(error).__name__}}: {{error}}"
    seconds = time.process_time() - start
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps([said, peak, seconds]))
"""


def tiff(*ifds: tuple[list[tuple[int, int, int, int]], int]) -> bytes:
    """A little-endian TIFF: IFDs of tags (code, type, count, value) and the next one's offset."""
    parts = [b"II*\0\x08\0\0\0"]
    for tags, following in ifds:
        entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        parts.append(struct.pack("<H", len(tags)) + entries + struct.pack("<I", following))
    return b"".join(parts)


def endless_tiffs() -> dict[str, bytes]:
    """Small DNGs whose lists of images never end, by name."""
    dng = (50706, 1, 4, 0x0401)
    once = struct.pack("<30000I", *[26] * 30_000)
    chain = [([], 8 + 6 * (index + 1)) for index in range(300_000)]
    return {
        "circle.dng": tiff(([dng], 8)),
        "subifds.dng": tiff(([(330, 4, 30_000, 26)], 0)) + once,
        "chain.dng": tiff(*chain),
    }


@dataclass(frozen=True)
class Cost:
    """What reading a file came to: the error in words or `accepted`, memory, processor time."""

    said: str
    peak_mb: float
    seconds: float


def measure(paths: list[str], imports: str, use: str) -> list[Cost]:
    """Run the statement `use` for each file, whose path is in `name`."""
    code = _MEASURE.format(imports=f"from rvdtool.errors import RvdError\n{imports}", use=use)
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [Cost(*json.loads(line)) for line in done.stdout.splitlines()]


def require_cheap(costs: list[Cost], refusals: list[str]) -> None:
    """Check that all were refused, for the reasons given, at no great cost."""
    for cost, reason in zip(costs, refusals, strict=True):
        assert reason in cost.said, cost
        assert cost.peak_mb < MEMORY_MB, cost
        assert cost.seconds < SECONDS, cost
