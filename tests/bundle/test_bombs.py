"""Manifests that would take much memory or time are refused first."""

import sys
from pathlib import Path

import pytest

from tests.bombs import measure, require_cheap

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measures with /proc")

HEAD = '{"format": "rvdtool bundle", "version": 1, '
MB = 2**20


def filled(before: str, element: str, after: str) -> bytes:
    """Nine megabytes of one element, repeated."""
    return (HEAD + before + element * (9 * MB // len(element)) + after).encode()


BOMBS = {
    "timestamps": filled('"video": {"timestamps": [', "0,", "0]}}"),
    "members": filled('"video": {"members": [', "{},", "{}]}}"),
    "references": filled('"references": [', "{},", "{}]}"),
    "tags": filled('"references": [{"profile": {"tags": [', "{},", "{}]}}]}"),
    "numbers": filled(
        '"references": [{"profile": {"tags": [{"value": {"kind": "numbers", "numbers": [',
        "0,",
        "0]}}]}}]}",
    ),
    "gains": filled('"exposures": {"gain": [', '"",', '""]}}'),
    "unknown": filled('"x": [', "[],", "[]]}"),
    "deep": filled("", '"x":{', ""),
}


def test_manifests_take_little_memory_and_time(tmp_path: Path) -> None:
    for name, data in BOMBS.items():
        (tmp_path / name).write_bytes(data)
    costs = measure(
        [str(tmp_path / name) for name in BOMBS],
        "from rvdtool.bundle.manifest_json import parse_manifest",
        "parse_manifest(Path(name).read_bytes())",
    )
    require_cheap(costs, ["BundleError: manifest.json is"] * len(BOMBS))
