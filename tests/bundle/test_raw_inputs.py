"""Recordings and folders as the RAW: the bundle keeps one frame, which verifies and unpacks."""

from pathlib import Path
from typing import Any

import numpy as np
from mlv_samples import Clip, write_mlv

from rvdtool.bundle.store import open_bundle
from rvdtool.bundle.unpack import unpack
from rvdtool.bundle.verify import verify
from rvdtool.capture.pack import pack
from rvdtool.raw.dng import write_dng
from rvdtool.raw.mlv import read_mlv

GRBG = 0x01020001


def test_a_recording_is_kept_as_its_first_frame(shot: Any, tmp_path: Path) -> None:
    mosaic = shot.frame.mosaic
    clip = Clip(bits=10, black=64, white=1023, cfa=GRBG)
    recording = write_mlv(tmp_path / "M24-1337.MLV", [mosaic, mosaic[::-1], mosaic[:, ::-1]], clip)
    bundle = open_bundle(pack(shot.video, recording, tmp_path / "clip.rvd"))
    (entry,) = bundle.manifest.references
    assert (entry.raw.name, entry.raw.member.name) == ("M24-1337.MLV", "reference/000000.mlv")
    assert entry.raw.member.size < recording.stat().st_size / 2
    assert np.array_equal(bundle.references[0].frame.mosaic, mosaic)
    assert all(check.ok for check in verify(bundle))
    _, alone = unpack(bundle, tmp_path / "out")
    assert len(read_mlv(alone).frames) == 1
    assert np.array_equal(read_mlv(alone).read(0).mosaic, mosaic)


def test_a_folder_is_kept_as_its_first_frame(shot: Any, tmp_path: Path) -> None:
    folder = tmp_path / "A001_C002"
    folder.mkdir()
    for index in (7, 8):
        write_dng(shot.frame, folder / f"A001_C002_{index:06d}.dng")
    bundle = open_bundle(pack(shot.video, folder, tmp_path / "clip.rvd"))
    assert bundle.manifest.references[0].raw.name == "A001_C002_000007.dng"
    assert all(check.ok for check in verify(bundle))
    _, alone = unpack(bundle, tmp_path / "out")
    assert alone.read_bytes() == (folder / "A001_C002_000007.dng").read_bytes()
