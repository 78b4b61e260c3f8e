"""How much memory and time it takes to read small, hostile files, measured in a separate
process."""

import json
import struct
import subprocess
import sys
import zlib
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray

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


def claiming_mosaics(side: int) -> dict[str, bytes]:
    """A TIFF and a PNG of side × side photosites in a few bytes, by suffix."""
    strip = zlib.compress(bytes(2 * side * side // 10))  # ten of them, all the same
    tags = [
        *((256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 16), (259, 3, 1, 8)),
        *((262, 3, 1, 1), (273, 4, 10, 130), (277, 3, 1, 1), (278, 4, 1, side // 10)),
        (279, 4, 10, 170),
    ]
    places = struct.pack("<20I", *[210] * 10, *[len(strip)] * 10)
    return {
        "tif": tiff((tags, 0)).ljust(130, b"\0") + places + strip,
        "png": claiming_png(side, np.zeros((8, 8), np.uint16)),
    }


def claiming_png(side: int, picture: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """A small PNG whose header claims side × side pixels."""
    png = bytearray(imagecodecs.png_encode(picture))
    struct.pack_into(">II", png, 16, side, side)
    struct.pack_into(">I", png, 29, zlib.crc32(png[12:29]))
    return bytes(png)


@dataclass(frozen=True)
class Cost:
    """The cost of reading a file: the error text or `accepted`, memory, processor time."""

    said: str
    peak_mb: float
    seconds: float


def measure(paths: list[str], imports: str, use: str) -> list[Cost]:
    """Run the statement `use` for each file; it finds the path in `name`."""
    code = _MEASURE.format(imports=f"from rvdtool.errors import RvdError\n{imports}", use=use)
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [Cost(*json.loads(line)) for line in done.stdout.splitlines()]


def require_cheap(costs: list[Cost], refusals: list[str]) -> None:
    """Check that all files were refused, for the given reasons, at low cost."""
    for cost, reason in zip(costs, refusals, strict=True):
        assert reason in cost.said, cost
        assert cost.peak_mb < MEMORY_MB, cost
        assert cost.seconds < SECONDS, cost
