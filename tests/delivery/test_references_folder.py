"""Bundles with several RAWs or exposures: interruptions don't change the folder."""

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_shots import RATE, SIZE, pan, raw_frame, render

from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.capture.pack import pack
from rvdtool.capture.stills import Still
from rvdtool.delivery import folder as delivery
from rvdtool.delivery.folder import derender, derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.output import STATE_FILE
from rvdtool.errors import OutputError
from rvdtool.raw.dng import write_dng
from rvdtool.raw.read import read_raw
from rvdtool.raw.sequence import list_sequence
from rvdtool.reconstruct.blend import MOST_IN_FLIGHT
from rvdtool.reconstruct.chain import Chain
from rvdtool.video.encode import encode_video

FRAMES = 9
REFERENCES = (2, 6)
SCENES = pan(FRAMES)
RESUME = DerenderOptions(existing="resume")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """RAWs of frames 2 and 6; from frame 4 on, the exposure time is doubled."""
    folder = tmp_path_factory.mktemp("clip")
    stills = []
    for index in REFERENCES:
        stills.append(Still(folder / f"{index}.dng", index))
        brighter = 2 if index >= 4 else 1
        write_dng(raw_frame(brighter * SCENES[index], seed=index), stills[-1].path)
    table = ["frame,exposure_time", *(f"{k},{1 if k < 4 else 2}/50" for k in range(FRAMES))]
    (folder / "exposures.csv").write_text("\n".join(table) + "\n")
    video = folder / "clip.mkv"
    encode_video((render(scene) for scene in SCENES), video, rate=RATE, codec="ffv1")
    return open_bundle(pack(video, stills, exposures=folder / "exposures.csv"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole") / "raws"
    report = derender_to_folder(bundle, folder)
    assert (report.frames, report.references, report.knows_exposures) == (FRAMES, 2, True)
    return contents(folder)


def test_true_frames_and_exposures_reach_the_folder(
    bundle: Bundle, whole: dict[str, bytes], tmp_path: Path
) -> None:
    for name, data in whole.items():
        (tmp_path / name).write_bytes(data)
    frames = [read_raw(path) for path in list_sequence(tmp_path)]
    assert len(whole) == FRAMES + 1
    for reference in bundle.references:
        assert np.array_equal(frames[reference.index].mosaic, reference.frame.mosaic)
    means = [float(frame.mosaic.mean() - 65) for frame in frames]
    ratios = [later / earlier for earlier, later in pairwise(means)]
    assert ratios == pytest.approx([2 if k == 3 else 1 for k in range(FRAMES - 1)], rel=0.05)
    for streamed, frame in zip(derender(bundle), frames, strict=True):
        assert np.array_equal(streamed.mosaic, frame.mosaic)


class StoppedError(Exception):
    """The run was interrupted."""


@pytest.mark.parametrize("at", [1, 4, 8, 11, 12])
def test_a_resumed_run_gives_the_same_bytes(
    bundle: Bundle,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
) -> None:
    """Interrupted in a chain: before the first RAW (2 steps), between (2 × 4), after (2)."""
    monkeypatch.setattr(delivery, "CHECKPOINT_EVERY", 2)
    step, taken = Chain.fuse, iter(range(1, 100))

    def until(chain: Chain, seen: Any) -> Any:
        if next(taken) == at:
            raise StoppedError
        return step(chain, seen)

    with monkeypatch.context() as patch, pytest.raises(StoppedError):  # noqa: PT012
        patch.setattr(Chain, "fuse", until)
        derender_to_folder(bundle, tmp_path)
    left = contents(tmp_path)
    left.pop(STATE_FILE, None)
    assert left == {name: whole[name] for name in left}
    done: list[int] = []
    derender_to_folder(bundle, tmp_path, RESUME, done.append)
    assert contents(tmp_path) == whole
    assert sum(done) == FRAMES


def test_progress_is_told_while_chains_run_ahead(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the references, two chains of 4 steps run before the first of 3 frames."""
    step, told, since = Chain.fuse, [], [0]

    def counted(chain: Chain, seen: Any) -> Any:
        since[-1] += 1
        return step(chain, seen)

    def advance(frames: int) -> None:
        told.append(frames)
        since.append(0)

    monkeypatch.setattr(Chain, "fuse", counted)
    derender_to_folder(bundle, tmp_path, DerenderOptions(), advance)
    assert sum(told) == FRAMES
    assert sum(since) == 2 + 2 * 4 + 2
    assert max(since) <= 3 + MOST_IN_FLIGHT  # that may be fused before the first one is told


def test_gain_overrides_the_exposures(bundle: Bundle, tmp_path: Path) -> None:
    report = derender_to_folder(bundle, tmp_path, DerenderOptions(gain="fixed"))
    assert not report.knows_exposures


def test_other_flows_in_the_same_folder_are_noticed(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "CHECKPOINT_EVERY", 1)
    flows, raws = tmp_path / "flows", tmp_path / "raws"
    flows.mkdir()
    for index in range(FRAMES - 1):
        np.save(flows / f"{index}.npy", np.full((*SIZE, 2), (-1.25, 0.75), np.float32))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="stop"):  # noqa: PT012

        def fail(*_: Any) -> None:
            raise OSError("stop")

        patch.setattr(delivery.Run, "finish", fail)
        derender_to_folder(bundle, raws, DerenderOptions(flow=flows))
    before = contents(raws)
    assert STATE_FILE in before
    os.utime(flows / "3.npy", ns=(0, 0))
    with pytest.raises(OutputError, match="--overwrite to start again"):
        derender_to_folder(bundle, raws, DerenderOptions(flow=flows, existing="resume"))
    assert contents(raws) == before
