"""A resumed run doesn't trust the files in its folder."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FRAMES, Shot

from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.capture.pack import pack
from rvdtool.capture.stills import Still
from rvdtool.delivery import folder as delivery
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.output import STATE_FILE
from rvdtool.errors import OutputError
from rvdtool.raw.dng import write_dng
from rvdtool.raw.sequence import frame_name
from rvdtool.reconstruct.compiled import threads
from rvdtool.reconstruct.threads import use_threads

RESUME = DerenderOptions(existing="resume")
WRONG = 2


@pytest.fixture
def bundle(shot: Shot) -> Bundle:
    return open_bundle(shot.bundle)


@pytest.fixture
def begun(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was stopped after frame 4, with a state of frame 4."""
    return interrupted(bundle, tmp_path / "raws", monkeypatch)


def interrupted(bundle: Bundle, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(delivery, "CHECKPOINT_EVERY", 2)
    with pytest.raises(KeyboardInterrupt):
        derender_to_folder(bundle, folder, advance=Stop(after=5).advance)
    return folder


class Stop:
    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, count: int) -> None:
        self.left -= count
        if self.left <= 0:
            raise KeyboardInterrupt


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def whole(bundle: Bundle, folder: Path) -> dict[str, bytes]:
    derender_to_folder(bundle, folder)
    return contents(folder)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def swap(path: Path) -> None:
    shutil.copy(path.with_name(frame_name("clip", WRONG + 1)), path)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere.dng")
    path.symlink_to(path.parent.parent / "elsewhere.dng")


@pytest.mark.parametrize("spoil", [Path.unlink, cut, empty, swap, flip, folder_in_its_place, link])
def test_a_damaged_frame_is_made_again(
    bundle: Bundle, begun: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(begun / frame_name("clip", WRONG))
    said: list[str] = []
    report = derender_to_folder(bundle, begun, RESUME, say=said.append)
    assert report.resumed_at == 0
    [line] = [line for line in said if "reconstructed again" in line]
    assert frame_name("clip", WRONG) in line
    assert not (begun / frame_name("clip", WRONG)).is_symlink()
    assert contents(begun) == whole(bundle, tmp_path / "whole")


@pytest.mark.parametrize(("wrong", "again"), [(2, 0), (4, 4)])
def test_it_is_made_again_from_the_nearest_reference_before_it(
    shot: Shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: int, again: int
) -> None:
    later = tmp_path / "later.dng"
    write_dng(shot.later, later)
    bundle = open_bundle(
        pack(shot.video, [Still(shot.raw, 0), Still(later, 4)], tmp_path / "clip.rvd")
    )
    begun = interrupted(bundle, tmp_path / "raws", monkeypatch)
    cut(begun / frame_name("clip", wrong))
    assert derender_to_folder(bundle, begun, RESUME).resumed_at == again
    assert contents(begun) == whole(bundle, tmp_path / "whole")


def test_a_folder_with_something_in_it_is_left_alone(bundle: Bundle, begun: Path) -> None:
    for index in (WRONG, FRAMES - 1):  # finished or not
        path = begun / frame_name("clip", index)
        kept = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        path.mkdir()
        (path / "mine.txt").write_text("mine")
        with pytest.raises(OutputError, match=f"{path.name}: is a folder"):
            derender_to_folder(bundle, begun, RESUME)
        assert (path / "mine.txt").read_text() == "mine"
        shutil.rmtree(path)
        if kept is not None:
            path.write_bytes(kept)


def test_another_number_of_threads_is_said(bundle: Bundle, begun: Path) -> None:
    before, said = threads(), list[str]()
    try:
        use_threads(before + 1)
        derender_to_folder(bundle, begun, RESUME, say=said.append)
    finally:
        use_threads(before)
    assert any(
        f"started with {before} threads, but now there are {before + 1}" in line for line in said
    )


def with_nan(flow: Any) -> Any:
    flow = flow.copy()
    flow[0, 0, 0] = np.nan
    return flow


@pytest.mark.parametrize(
    ("name", "forge"),
    [
        ("chain_far", with_nan),
        ("chain_far", lambda flow: np.full_like(flow, 1e30)),
        ("chain_far", lambda flow: flow[1:]),
        ("chain_mosaic", lambda mosaic: mosaic[:, :-2]),
        ("chain_mosaic", lambda mosaic: mosaic.astype(np.float64)),
        ("chain_variance", lambda variance: variance - 1e6),
        ("chain_brightness", lambda _: "bright"),
        ("chain_brightness", lambda _: 0.0),
        ("chain_exposure", lambda _: np.inf),
        ("chain_shading", lambda shading: shading * np.nan),
        ("chain_lost", lambda _: 7),
        ("chain_index", lambda index: index + 1),
        ("frame", lambda _: 10**9),
        ("frame", lambda _: -1),
        ("frame", lambda _: "two"),
        ("threads", lambda _: [1, 2]),
        ("sizes", lambda sizes: sizes[1:]),
        ("sizes", lambda sizes: sizes.astype(np.float32)),
        ("digests", lambda _: "none"),
        ("maps", lambda maps: maps[:-1]),
    ],
)
def test_a_forged_state_is_refused(
    bundle: Bundle, begun: Path, name: str, forge: Callable[[Any], Any]
) -> None:
    state = begun / STATE_FILE
    with np.load(state) as arrays:
        values = dict(arrays)
    values[name] = np.asarray(forge(values[name]))
    with state.open("wb") as file:
        np.savez(file, **values)
    before = contents(begun)
    with pytest.raises(OutputError, match="--overwrite to start again"):
        derender_to_folder(bundle, begun, RESUME)
    assert contents(begun) == before


def test_what_a_library_says_of_a_damaged_state_is_quoted_in_one_short_line(
    bundle: Bundle, begun: Path
) -> None:
    """zipfile quotes as many bytes of the file as the length of a member's name says."""
    state = begun / STATE_FILE
    data = bytearray(state.read_bytes())
    place = data.index(b"PK\3\4", 4)  # the second member's header; the length is at byte 26
    data[place + 26 : place + 28] = b"\xff\x7f"
    state.write_bytes(data)
    with pytest.raises(OutputError, match="can't be read") as refusal:
        derender_to_folder(bundle, begun, RESUME)
    assert len(str(refusal.value)) < 500
    assert "\n" not in str(refusal.value)


def test_a_compressed_state_is_not_unpacked(bundle: Bundle, begun: Path) -> None:
    with np.load(begun / STATE_FILE) as arrays:
        values = dict(arrays)
    with (begun / STATE_FILE).open("wb") as file:
        np.savez_compressed(file, **values)
    with pytest.raises(OutputError, match="compressed"):
        derender_to_folder(bundle, begun, RESUME)
