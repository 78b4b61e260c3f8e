"""Indices of data sets that would take much memory or time are refused first."""

import sys
from pathlib import Path

import pytest

from tests.bombs import measure, require_cheap

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures with /proc")

MB = 10**6
GOOD = b'[{"video_name": "a", "frames": ["0", "1"]}]'


def named(before: bytes, after: bytes) -> bytes:
    """A JSON object of many fields with invalid values."""
    return before + b",".join(b'"%d":0' % number for number in range(400_000)) + after


BOMBS = {
    "videos": {"data.json": b"[" + b"{}," * (4 * MB // 3) + b"{}]"},
    "frames": {"data.json": b'[{"video_name": "a", "frames": [' + b"0," * (2 * MB) + b"0]}]"},
    "deep": {"data.json": b"[" * 4 * MB},
    "large": {"data.json": b" " * 20 * MB},
    "cameras": {"data.json": GOOD, "cameras.json": named(b"{", b"}")},
    "matrix": {
        "data.json": GOOD,
        "cameras.json": b'{"a": {"color_matrix": [' + b'"",' * (4 * MB // 3) + b'""]}}',
    },
    "tags": {"data.json": GOOD, "tags.json": named(b'{"a": {', b"}}")},
}


def test_indices_take_no_more_than_they_are_worth(tmp_path: Path) -> None:
    for name, files in BOMBS.items():
        (tmp_path / name).mkdir()
        for file, data in files.items():
            (tmp_path / name / file).write_bytes(data)
    costs = measure(
        [str(tmp_path / name) for name in BOMBS],
        "from rvdtool.research.dataset.rvd import open_rvd",
        "open_rvd(Path(name))",
    )
    require_cheap(costs, ["InputError: "] * len(BOMBS))
