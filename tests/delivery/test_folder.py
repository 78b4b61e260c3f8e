"""A folder of DNGs: correct, complete, resumable, and no file of the user's is touched."""

import csv
import errno
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from readers import need
from small_shots import BLACK, RATE, SIZE, WHITE, make_bundle, mosaic, pan, psnr

from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.capture.pack import pack
from rvdtool.delivery import folder as delivery
from rvdtool.delivery import run as delivery_run
from rvdtool.delivery.folder import DerenderReport, derender, derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.output import STATE_FILE
from rvdtool.errors import InputError, MismatchError, OutputError, VideoError
from rvdtool.raw.bayer import normalise
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CfaPhase, levels4
from rvdtool.raw.read import read_raw
from rvdtool.raw.sequence import frame_name, list_sequence
from rvdtool.reconstruct.chain import Chain, ChainState, Step
from rvdtool.video.decode import read_frames

FRAMES = 9
SCENES = pan(FRAMES)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("clip")
    return open_bundle(make_bundle(folder, SCENES, phase=CfaPhase.GBRG))


@pytest.fixture(scope="module")
def whole(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an uninterrupted run, by name."""
    folder = tmp_path_factory.mktemp("whole") / "raws"
    derender_to_folder(bundle, folder)
    return contents(folder)


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after every third frame."""
    monkeypatch.setattr(delivery, "CHECKPOINT_EVERY", 3)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def existing(what: Any) -> DerenderOptions:
    return DerenderOptions(existing=what)


class StoppedError(Exception):
    """The run was interrupted."""


def interrupt(
    bundle: Bundle,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    options: DerenderOptions = DerenderOptions(),
) -> None:
    """A run that is interrupted in the middle of frame `at`."""
    answer = Chain.answer

    def until(chain: Chain, step: Step, rgb: Any) -> Step:
        if step.state.index == at:
            raise StoppedError
        return answer(chain, step, rgb)

    with monkeypatch.context() as patch, pytest.raises(StoppedError):  # noqa: PT012
        patch.setattr(Chain, "answer", until)
        derender_to_folder(bundle, folder, options)


def test_every_frame_becomes_a_dng(bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "raws"
    advanced: list[int] = []
    report = derender_to_folder(bundle, folder, advance=advanced.append)
    assert sum(advanced) == FRAMES
    assert report.folder == folder
    assert (report.frames, report.resumed_at) == (FRAMES, 0)
    assert report.brightness[0] <= 1 <= report.brightness[1]
    assert not report.tracks_gain
    assert 0.5 < report.trusted <= 1
    files = list_sequence(folder)
    assert [path.name for path in files] == [frame_name("clip", k) for k in range(FRAMES)]
    assert {path.name for path in folder.iterdir()} - {path.name for path in files} == {
        "clip_timestamps.csv"
    }
    reference = bundle.references[0].frame
    for index, path in enumerate(files):
        frame = read_raw(path)
        for name in ("phase", "black", "white", "bits", "profile", "orientation", "exposure"):
            assert getattr(frame, name) == getattr(reference, name), name
        if index == 0:
            assert np.array_equal(frame.mosaic, reference.mosaic)
        else:
            estimate = normalise(frame.mosaic, frame.black, frame.white)
            assert psnr(estimate, mosaic(SCENES[index], CfaPhase.GBRG)) > 55


def test_timestamps_are_the_videos(bundle: Bundle, whole: dict[str, bytes]) -> None:
    rows = list(csv.DictReader(whole["clip_timestamps.csv"].decode().splitlines()))
    info = bundle.video_info
    assert [Fraction(row["exact"]) for row in rows] == [
        pts * info.time_base for pts in info.timestamps
    ]
    assert [row["file"] for row in rows] == [frame_name("clip", k) for k in range(FRAMES)]


def test_rate_and_timecode_are_in_every_frame(whole: dict[str, bytes], tmp_path: Path) -> None:
    need(shutil.which("exiftool"), "exiftool (apt install libimage-exiftool-perl)")
    path = tmp_path / frame_name("clip", 7)
    path.write_bytes(whole[path.name])
    command = ["exiftool", "-json", "-n", "-FrameRate", "-TimeCodes", "-ReelName", str(path)]
    tags = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
    assert float(tags["FrameRate"]) == float(RATE)
    assert tags["ReelName"] == "clip"
    assert str(tags["TimeCodes"]).startswith("07.00.00.00")  # frames, seconds, minutes, hours


def test_streaming_gives_the_same_frames(bundle: Bundle, tmp_path: Path) -> None:
    derender_to_folder(bundle, tmp_path / "raws")
    files = list_sequence(tmp_path / "raws")
    for frame, path in zip(derender(bundle), files, strict=True):
        assert np.array_equal(frame.mosaic, read_raw(path).mosaic)


def test_a_rerun_gives_the_same_bytes(
    bundle: Bundle, whole: dict[str, bytes], tmp_path: Path
) -> None:
    derender_to_folder(bundle, tmp_path)  # an empty folder is as good as none
    assert contents(tmp_path) == whole


def test_compression_changes_the_files_and_no_pixel(bundle: Bundle, tmp_path: Path) -> None:
    for compression in ("ljpeg", "none"):
        options = DerenderOptions(compression=compression)  # type: ignore[arg-type]
        derender_to_folder(bundle, tmp_path / compression, options)
    names = [path.name for path in list_sequence(tmp_path / "ljpeg")]
    for name in names:
        small, large = (tmp_path / kind / name for kind in ("ljpeg", "none"))
        assert small.stat().st_size < large.stat().st_size
        assert np.array_equal(read_raw(small).mosaic, read_raw(large).mosaic)


def test_log10_says_when_it_saves_nothing(tmp_path: Path) -> None:
    """Values that fit in 10 bits are stored as they are."""
    make_bundle(tmp_path, SCENES[:1])
    twelve_bits = read_raw(tmp_path / "first.dng")
    ten_bits = replace(
        twelve_bits,
        mosaic=twelve_bits.mosaic // 4,
        black=levels4(level / 4 for level in BLACK),
        white=WHITE // 4,
        bits=10,
    )
    write_dng(ten_bits, tmp_path / "ten.dng")
    packed = open_bundle(pack(tmp_path / "clip.mkv", tmp_path / "ten.dng", tmp_path / "ten.rvd"))
    options, said = DerenderOptions(compression="log10"), list[str]()
    derender_to_folder(packed, tmp_path / "raws", options, say=said.append)
    assert "--compression log10 saves nothing" in said[0]


def test_a_folder_of_pngs(tmp_path: Path) -> None:
    packed = open_bundle(make_bundle(tmp_path / "in", SCENES[:4], png=True))
    report = derender_to_folder(packed, tmp_path / "raws")
    assert report.frames == 4
    for index, path in enumerate(list_sequence(tmp_path / "raws")):
        frame = read_raw(path)
        estimate = normalise(frame.mosaic, BLACK, WHITE)
        assert psnr(estimate, mosaic(SCENES[index])) > 53


def test_a_video_of_one_frame(tmp_path: Path) -> None:
    packed = open_bundle(make_bundle(tmp_path / "in", SCENES[:1]))
    report = derender_to_folder(packed, tmp_path / "raws")
    assert (report.frames, report.brightness, report.trusted) == (1, (1.0, 1.0), 1.0)
    [path] = list_sequence(tmp_path / "raws")
    assert np.array_equal(read_raw(path).mosaic, packed.references[0].frame.mosaic)


def test_given_flows_lead_the_chain(bundle: Bundle, tmp_path: Path) -> None:
    """The pan's true forward motion: the pixel at x moves to x − step."""
    flows = tmp_path / "flows"
    flows.mkdir()
    for index in range(FRAMES - 1):
        np.save(flows / f"{index:04d}.npy", np.full((*SIZE, 2), (-1.25, 0.75), np.float32))
    options = DerenderOptions(flow=flows)
    derender_to_folder(bundle, tmp_path / "raws", options)
    given = list(derender(bundle, flow=flows))
    for index, (frame, path) in enumerate(
        zip(given, list_sequence(tmp_path / "raws"), strict=True)
    ):
        assert np.array_equal(frame.mosaic, read_raw(path).mosaic)
        if index:
            truth = mosaic(SCENES[index], CfaPhase.GBRG)
            assert psnr(normalise(frame.mosaic, frame.black, frame.white), truth) > 55
    own = list(derender(bundle))
    assert not np.array_equal(own[2].mosaic, given[2].mosaic)  # they were really used


@pytest.mark.parametrize(
    ("count", "error"), [(FRAMES - 2, MismatchError), (FRAMES + 1, MismatchError)]
)
def test_flows_that_do_not_fit_are_refused_before_anything_is_written(
    bundle: Bundle, tmp_path: Path, count: int, error: type[Exception]
) -> None:
    flows = tmp_path / "flows"
    flows.mkdir()
    for index in range(count):
        np.save(flows / f"{index}.npy", np.zeros((*SIZE, 2), np.float32))
    with pytest.raises(error):
        derender_to_folder(bundle, tmp_path / "raws", DerenderOptions(flow=flows))
    with pytest.raises(InputError, match="no such folder"):
        derender_to_folder(bundle, tmp_path / "raws", DerenderOptions(flow=tmp_path / "none"))
    assert not (tmp_path / "raws").exists()


# What lies in the folder already


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "clip_000000.dng", STATE_FILE])
def test_a_folder_with_files_is_not_touched(bundle: Bundle, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="has files in it"):
        derender_to_folder(bundle, tmp_path)
    assert contents(tmp_path) == {name: b"mine"}


@pytest.mark.parametrize("what", ["overwrite", "resume"])
@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "other_000000.dng",
        "clip_1.dng",
        "clip_000000.tiff",
        "my clip_000000.dng",
        "clip_000000.dng.bak",
        "clipx000000.dng",
        "other_timestamps.csv",
    ],
)
def test_foreign_files_are_never_replaced(
    bundle: Bundle, tmp_path: Path, what: str, name: str
) -> None:
    (tmp_path / name).write_text("mine")
    (tmp_path / "clip_000000.dng").write_text("old")
    with pytest.raises(OutputError, match="one clip per folder"):
        derender_to_folder(bundle, tmp_path, existing(what))
    assert contents(tmp_path) == {name: b"mine", "clip_000000.dng": b"old"}


def test_overwriting_leaves_nothing_of_the_earlier_run(
    bundle: Bundle, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """It was longer, and was interrupted while writing."""
    names = ["clip_000000.dng", "clip_000123.dng", "clip_1000000.dng", "clip_timestamps.csv"]
    for name in [*names, ".rvdtool-0123456789abcdef.part", STATE_FILE]:
        (tmp_path / name).write_text("old")
    derender_to_folder(bundle, tmp_path, existing("overwrite"))
    assert contents(tmp_path) == whole


def test_a_folder_with_a_frames_name_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    inside = tmp_path / frame_name("clip", 3) / "mine.txt"
    inside.parent.mkdir()
    inside.write_text("mine")
    with pytest.raises(OutputError, match="clip_000003"):
        derender_to_folder(bundle, tmp_path, existing("overwrite"))
    assert inside.read_text() == "mine"


def test_a_file_in_the_folders_place(bundle: Bundle, tmp_path: Path) -> None:
    place = tmp_path / "raws"
    place.write_text("mine")
    for folder in (place, place / "below"):
        with pytest.raises(OutputError, match="can't be used as output folder"):
            derender_to_folder(bundle, folder, existing("overwrite"))
    assert contents(tmp_path) == {"raws": b"mine"}


def test_a_place_that_must_not_be_written(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "raws")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        derender_to_folder(bundle, tmp_path / "raws")


# Interruption


@pytest.mark.usefixtures("checkpoints")
@pytest.mark.parametrize("at", [1, 3, 4, 6, 8])
def test_a_resumed_run_gives_the_same_bytes(
    bundle: Bundle,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
) -> None:
    interrupt(bundle, tmp_path, monkeypatch, at)
    left = contents(tmp_path)
    assert STATE_FILE in left
    assert not any(name.endswith(".part") for name in left)
    # Whatever has a frame's name is that frame, whole.
    frames = {name: data for name, data in left.items() if name != STATE_FILE}
    assert frames == {name: whole[name] for name in frames}
    assert "clip_timestamps.csv" not in frames

    steps = 0
    step = Chain.fuse

    def counted(chain: Chain, seen: Any) -> Step:
        nonlocal steps
        steps += 1
        return step(chain, seen)

    monkeypatch.setattr(Chain, "fuse", counted)
    advanced: list[int] = []
    report = derender_to_folder(bundle, tmp_path, existing("resume"), advanced.append)
    kept = (at - 1) // 3 * 3
    assert steps == FRAMES - 1 - kept
    assert sum(advanced) == FRAMES
    assert report.resumed_at == kept + 1
    assert contents(tmp_path) == whole
    # Figures of the interrupted run's frames are in the report, too, to the last bit.
    once = derender_to_folder(bundle, tmp_path / "once")
    for field in ("brightness", "exposure", "trusted", "expected", "tracks_gain", "cuts"):
        assert getattr(report, field) == getattr(once, field), field
    assert set(report.expected) == set(range(1, FRAMES))


@pytest.mark.usefixtures("checkpoints")
def test_a_run_may_be_interrupted_twice(
    bundle: Bundle, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(bundle, tmp_path, monkeypatch, 5)
    interrupt(bundle, tmp_path, monkeypatch, 8, existing("resume"))
    derender_to_folder(bundle, tmp_path, existing("resume"))
    assert contents(tmp_path) == whole


@pytest.mark.usefixtures("checkpoints")
def test_half_a_file_of_a_killed_run_does_not_disturb(
    bundle: Bundle, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process can't remove the file that it was writing."""
    interrupt(bundle, tmp_path, monkeypatch, 5)
    (tmp_path / ".rvdtool-0123456789abcdef.part").write_bytes(b"half")
    derender_to_folder(bundle, tmp_path, existing("resume"))
    assert contents(tmp_path) == whole


def test_resuming_into_nothing_is_beginning(
    bundle: Bundle, whole: dict[str, bytes], tmp_path: Path
) -> None:
    report = derender_to_folder(bundle, tmp_path / "raws", existing("resume"))
    assert report.resumed_at == 0
    assert contents(tmp_path / "raws") == whole


def test_a_complete_run_is_not_resumed(bundle: Bundle, tmp_path: Path) -> None:
    derender_to_folder(bundle, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="is complete"):
        derender_to_folder(bundle, tmp_path, existing("resume"))
    assert contents(tmp_path) == before


def other_compression(bundle: Bundle, folder: Path) -> DerenderReport:
    options = DerenderOptions(compression="none", existing="resume")
    return derender_to_folder(bundle, folder, options)


def other_gain(bundle: Bundle, folder: Path) -> DerenderReport:
    options = DerenderOptions(gain="track", existing="resume")
    return derender_to_folder(bundle, folder, options)


def other_flow(bundle: Bundle, folder: Path) -> DerenderReport:
    flows = folder.parent / "flows"
    flows.mkdir()
    for index in range(FRAMES):
        np.save(flows / f"{index}.npy", np.zeros((*SIZE, 2), np.float32))
    return derender_to_folder(bundle, folder, DerenderOptions(flow=flows, existing="resume"))


def other_video(bundle: Bundle, folder: Path) -> DerenderReport:
    packed = make_bundle(folder.parent / "in", SCENES[::-1], phase=CfaPhase.GBRG)
    return derender_to_folder(open_bundle(packed), folder, existing("resume"))


def other_colors(bundle: Bundle, folder: Path) -> DerenderReport:
    """The same video and RAW, but read with other colours, so that frames would differ."""
    manifest = bundle.manifest
    color = manifest.video.color
    read = color.model_copy(
        update={"matrix": color.matrix.model_copy(update={"value": "bt601", "source": "user"})}
    )
    video = manifest.video.model_copy(update={"color": read})
    changed = replace(bundle, manifest=manifest.model_copy(update={"video": video}))
    return derender_to_folder(changed, folder, existing("resume"))


def other_version(bundle: Bundle, folder: Path) -> DerenderReport:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery_run, "__version__", "99")
        return derender_to_folder(bundle, folder, existing("resume"))


@pytest.mark.usefixtures("checkpoints")
@pytest.mark.parametrize(
    "resume", [other_compression, other_gain, other_flow, other_video, other_colors, other_version]
)
def test_another_run_is_not_resumed(
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    resume: Callable[[Bundle, Path], DerenderReport],
) -> None:
    folder = tmp_path / "raws"
    interrupt(bundle, folder, monkeypatch, 5)
    before = contents(folder)
    with pytest.raises(OutputError, match="--overwrite to start again"):
        resume(bundle, folder)
    assert contents(folder) == before


@pytest.mark.usefixtures("checkpoints")
def test_the_state_comes_back_as_it_was(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, including what only matters in clips that lose sight of the reference frame."""
    step = Chain.fuse
    states: list[ChainState] = []

    def changed(chain: Chain, seen: Any) -> Step:
        result = step(chain, seen)
        chain.state = replace(result.state, brightness=1 / 3)
        states.append(chain.state)
        return replace(result, state=chain.state)

    def resume(_: Chain, state: ChainState) -> None:
        states.append(state)
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(Chain, "fuse", changed)
        interrupt(bundle, tmp_path, monkeypatch, 4)
    monkeypatch.setattr(Chain, "resume", resume)
    with pytest.raises(StoppedError):
        derender_to_folder(bundle, tmp_path, existing("resume"))
    *made, restored = states
    saved = next(state for state in made if state.index == restored.index)
    for field in fields(ChainState):
        one, two = (getattr(state, field.name) for state in (saved, restored))
        assert np.array_equal(one, two), field.name


def damaged_versions(good: bytes) -> Iterator[bytes]:
    """Truncated anywhere, with any bits flipped (mostly in the headers), or replaced by something
    else."""
    rng = random.Random(0)
    yield from (b"", b"text", b"\x93NUMPY\x01\x00", good[: len(good) - 1], good[100:])
    for _ in range(10):
        yield good[: rng.randrange(len(good))]
    for reach in (60, 300, 22, 900, len(good)):
        for _ in range(20):
            damaged = bytearray(good)
            place = rng.randrange(reach) if reach in (60, 300) else -1 - rng.randrange(reach)
            damaged[place] ^= rng.randrange(1, 256)
            yield bytes(damaged)


@pytest.mark.usefixtures("checkpoints")
def test_a_damaged_checkpoint_is_refused_or_harmless(
    bundle: Bundle, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(bundle, tmp_path, monkeypatch, 5)
    path = tmp_path / STATE_FILE
    good = path.read_bytes()
    resumed: list[ChainState] = []

    def resume(_: Chain, state: ChainState) -> None:
        resumed.append(state)
        raise StoppedError

    monkeypatch.setattr(Chain, "resume", resume)
    with pytest.raises(StoppedError):
        derender_to_folder(bundle, tmp_path, existing("resume"))
    [true] = resumed
    refused = 0
    for data in damaged_versions(good):
        path.write_bytes(data)
        try:
            derender_to_folder(bundle, tmp_path, existing("resume"))
        except OutputError as error:
            assert "--overwrite to start again" in str(error)  # noqa: PT017
            refused += 1
        except StoppedError:
            for field in fields(ChainState):
                one, two = (getattr(state, field.name) for state in (true, resumed[-1]))
                assert np.array_equal(one, two), field.name
    assert refused > 30
    monkeypatch.undo()
    derender_to_folder(bundle, tmp_path, existing("overwrite"))  # the way out that it names
    assert contents(tmp_path) == whole


@pytest.mark.usefixtures("checkpoints")
@pytest.mark.parametrize("call", [1, 4, 9])
def test_a_full_disk_leaves_whole_frames_only(
    bundle: Bundle,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: int,
) -> None:
    """Once there is space again, the run can be resumed."""
    sync = os.fsync
    calls = iter(range(1, 10_000))

    def full(file: int) -> None:
        if next(calls) >= call:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left on device"):
            derender_to_folder(bundle, tmp_path)
    left = contents(tmp_path)
    left.pop(STATE_FILE, None)
    assert left == {name: whole[name] for name in left}
    assert len(left) < FRAMES
    derender_to_folder(bundle, tmp_path, existing("resume"))
    assert contents(tmp_path) == whole


def test_a_full_disk_at_the_very_end(
    bundle: Bundle, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All frames fit, but the timestamps don't."""
    replace_file = Path.replace

    def full(part: Path, target: Path) -> Path:
        if target.suffix == ".csv":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace_file(part, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OutputError, match="No space left on device"):
            derender_to_folder(bundle, tmp_path)
    assert contents(tmp_path).keys() - {STATE_FILE} == whole.keys() - {"clip_timestamps.csv"}
    derender_to_folder(bundle, tmp_path, existing("resume"))
    assert contents(tmp_path) == whole


@pytest.mark.usefixtures("checkpoints")
def test_a_damaged_video_leaves_whole_frames_only(
    bundle: Bundle, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*arguments: Any) -> Iterator[Any]:
        frames = read_frames(*arguments)
        for _ in range(6):
            yield next(frames)
        raise VideoError("clip.mkv: frame 6 can't be decoded")

    with monkeypatch.context() as patch:
        patch.setattr(delivery_run, "read_frames", damaged)
        with pytest.raises(VideoError, match="frame 6"):
            derender_to_folder(bundle, tmp_path)
    left = contents(tmp_path)
    left.pop(STATE_FILE)
    assert left == {name: whole[name] for name in left}
    assert frame_name("clip", 3) in left
    assert frame_name("clip", 6) not in left


@pytest.mark.usefixtures("checkpoints")
def test_without_its_checkpoint_a_run_is_not_resumed(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames aren't overwritten, whoever made them."""
    interrupt(bundle, tmp_path, monkeypatch, 4)
    (tmp_path / STATE_FILE).unlink()
    left = contents(tmp_path)
    with pytest.raises(OutputError, match="can't be resumed"):
        derender_to_folder(bundle, tmp_path, existing("resume"))
    assert contents(tmp_path) == left
