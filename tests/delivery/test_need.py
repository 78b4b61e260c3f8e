"""What a run needs: a disk that is too small is refused in time, and long runs are announced."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from small_shots import make_bundle, pan, raw_frame

from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.capture.pack import pack
from rvdtool.capture.stills import Still
from rvdtool.delivery import folder
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.need import Need, stretches
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.rehearsal import MEASURED, RunEstimate, rehearse
from rvdtool.errors import OutputError
from rvdtool.raw.dng import write_dng

FRAMES = 8
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(make_bundle(tmp_path_factory.mktemp("clip"), pan(FRAMES)))


@pytest.fixture(scope="module")
def between(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """RAWs of frames 2 and 6."""
    folder = tmp_path_factory.mktemp("between")
    scenes = pan(FRAMES)
    stills = [Still(folder / f"{index}.dng", index) for index in (2, 6)]
    for still, index in zip(stills, (2, 6), strict=True):
        write_dng(raw_frame(scenes[index], seed=index), still.path)
    make_bundle(folder, scenes)
    return open_bundle(pack(folder / "clip.mkv", stills, folder / "two.rvd"))


def disk_of(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free, 0, free))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.dng"))


def test_a_rehearsal_writes_nothing_and_comes_close(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "raws"
    estimate = rehearse(bundle, out, DerenderOptions(frames=range(1, 6)))
    assert list(tmp_path.iterdir()) == []
    assert estimate.frames == 5
    assert estimate.seconds > 0
    derender_to_folder(bundle, out, DerenderOptions(frames=range(1, 6)))
    assert estimate.need.dngs == pytest.approx(size_of(out), rel=0.1)
    assert estimate.need.temporary == 0


@pytest.mark.parametrize("clip", ["bundle", "between"])
def test_a_run_tells_once_what_it_takes(
    clip: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, told = request.getfixturevalue(clip), list[RunEstimate]()
    derender_to_folder(opened, tmp_path, estimated=told.append)
    (first,) = told
    assert first.frames == FRAMES
    assert first.seconds > 0
    assert first.need.dngs == pytest.approx(size_of(tmp_path), rel=0.1)
    disk_of(monkeypatch, 10**6)  # what is replaced makes room
    again = DerenderOptions(existing="overwrite")
    derender_to_folder(opened, tmp_path, again, estimated=told.append)
    assert (told[1].need.free or 0) > 10**6 + size_of(tmp_path)


def test_a_run_is_estimated_by_its_first_frames(bundle: Bundle, tmp_path: Path) -> None:
    done, told = list[int](), list[int]()

    def run(name: str, frames: range | None = None) -> None:
        options = DerenderOptions(frames=frames)
        derender_to_folder(bundle, tmp_path / name, options, done.append, estimated=note)

    def note(_: RunEstimate) -> None:
        told.append(sum(done))

    run("all")
    assert told == [MEASURED]  # with the reference's own frame, but without the one under way
    run("few", range(MEASURED))  # over before it could be estimated
    assert told == [MEASURED]


def test_a_rehearsal_refuses_what_the_run_would(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(OutputError, match="has files in it"):
        rehearse(bundle, tmp_path)
    with pytest.raises(OutputError, match=r"mine\.txt isn't from an earlier run"):
        rehearse(bundle, tmp_path, DerenderOptions(existing="overwrite"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "deep" / "raws"
    derender_to_folder(bundle, tmp_path / "real")
    whole = size_of(tmp_path / "real")
    shutil.rmtree(tmp_path / "real")
    disk_of(monkeypatch, whole // 3)
    with pytest.raises(OutputError, match="are free; choose"):
        derender_to_folder(bundle, out)
    with pytest.raises(OutputError, match="are free; choose"):
        rehearse(bundle, out)
    assert list(tmp_path.iterdir()) == []
    disk_of(monkeypatch, whole)
    derender_to_folder(bundle, out)
    disk_of(monkeypatch, 0)  # what is replaced makes room
    derender_to_folder(bundle, out, DerenderOptions(existing="overwrite"))


def test_frames_that_wait_between_references_need_room(
    between: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = rehearse(between, tmp_path).need
    # Three pictures, and four steps of two chains.
    assert need.temporary == 96 * 128 * (3 * 3 + 8 * 2) + 8 * 12 * 16 * 12
    disk_of(monkeypatch, need.temporary - 1)
    with pytest.raises(OutputError, match="temporary files"):
        derender_to_folder(between, tmp_path / "raws")


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (range(8), [(1, 2), (2, 4), (1, 1)]),
        (range(1, 3), [(1, 1)]),
        (range(2, 4), [(2, 4)]),
        (range(6, 7), []),
        (range(7, 8), [(1, 1)]),
    ],
)
def test_which_chains_are_needed(
    between: Bundle, span: range, expected: list[tuple[int, int]]
) -> None:
    assert list(stretches(between, span)) == expected


def test_a_disk_that_is_probably_too_small_is_told() -> None:
    """Frames may be smaller than the reference, so it isn't refused."""
    assert Need(2 * 10**9, 10**9, 0, 5 * 10**9).words == "3.0 GB (5.0 GB free)"
    words = Need(2 * 10**9, 10**9, 0, 2 * 10**9).words
    assert words == "3.0 GB (2.0 GB free, which is too little)"


class StoppedError(Exception):
    pass


def test_of_a_resumed_run_only_what_is_left_counts(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int) -> None:
        if len(list(tmp_path.glob("*.dng"))) == 4:
            raise StoppedError

    monkeypatch.setattr(folder, "CHECKPOINT_EVERY", 3)
    with pytest.raises(StoppedError):
        derender_to_folder(bundle, tmp_path, advance=stop)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    disk_of(monkeypatch, 10**6)
    estimate = rehearse(bundle, tmp_path, DerenderOptions(existing="resume"))
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert estimate.frames == FRAMES - 4
    whole = rehearse(bundle, tmp_path, DerenderOptions(existing="overwrite"))
    assert whole.frames == FRAMES
    assert estimate.need.dngs * 2 == whole.need.dngs
    assert estimate.need.free == 10**6 < (whole.need.free or 0)
    told: list[RunEstimate] = []
    resume = DerenderOptions(existing="resume")
    derender_to_folder(bundle, tmp_path, resume, estimated=told.append)
    assert [one.frames for one in told] == [FRAMES - 4]
