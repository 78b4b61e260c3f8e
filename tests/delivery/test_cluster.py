"""De-rendering on a Ray cluster gives the same folder as one machine, whichever process dies."""

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import require_one_line, run
from readers import need
from small_movies import Sound, counting, make_movie
from small_shots import make_bundle, pan, raw_frame, render

from rvdtool import DEFAULT_MODEL
from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.capture.pack import pack
from rvdtool.capture.stills import Still
from rvdtool.cli.derendered import report_as_json
from rvdtool.delivery import cluster as delivery
from rvdtool.delivery.cluster import ClipPart, Cluster, Made, Network, divide, make_part
from rvdtool.delivery.folder import DerenderReport, derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.output import OutputFolder
from rvdtool.delivery.resume import Written
from rvdtool.errors import MismatchError, OutputError, UsageError
from rvdtool.files import exclusive, lock_of
from rvdtool.network.checkpoint import load_model
from rvdtool.network.device import load_placed
from rvdtool.raw.dng import write_dng
from rvdtool.reconstruct.compiled import threads
from rvdtool.reconstruct.references import Result
from rvdtool.reconstruct.threads import use_threads

FRAMES = 30
SECOND_PART = 20
KILLED_AT = 27  # after the checkpoint of frame 24


@pytest.fixture(autouse=True, scope="module")
def same_threads() -> Iterator[None]:
    """Keep the other tests' number of threads: parts are also made in this process, with one
    thread."""
    own, of_torch = threads(), torch.get_num_threads()
    yield
    use_threads(own)
    torch.set_num_threads(of_torch)


@pytest.fixture(scope="module")
def machines() -> Iterator[None]:
    """Ray on this machine, with two workers of one CPU each."""
    need(find_spec("ray"), "Ray (pip install 'rvdtool[cluster]')")
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers have no tests
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # names of sockets have to be short
        options: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False}
        ray.init(num_cpus=2, object_store_memory=10**8, _temp_dir=folder, **options)
        yield
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """With sound, and RAWs of frames 3 and 20."""
    folder, scenes = tmp_path_factory.mktemp("clip"), pan(FRAMES)
    stills = [Still(folder / f"{index}.dng", index) for index in (3, SECOND_PART)]
    for still in stills:
        assert still.frame is not None
        write_dng(raw_frame(scenes[still.frame], seed=still.frame), still.path)
    sounds = [Sound(counting(48000))]
    pictures = [render(scene) for scene in scenes]
    movie = make_movie(folder / "clip.mov", pictures, sounds=sounds, time_code="10:00:00:28")
    return open_bundle(pack(movie, stills))


@pytest.fixture(scope="module")
def alone(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> DerenderReport:
    """The folder that one process makes."""
    folder = tmp_path_factory.mktemp("alone")
    model = load_placed(DEFAULT_MODEL, "cpu", False, 1)
    options = DerenderOptions(model=model, confidence=folder / "maps")
    return derender_to_folder(bundle, folder / "raws", options)


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "LEAST_FRAMES", 10)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def network() -> tuple[DerenderOptions, Network]:
    model = load_model(DEFAULT_MODEL)
    return DerenderOptions(model=model), Network(DEFAULT_MODEL, model.sha256, "cpu", False)


def figures(report: DerenderReport) -> dict[str, object]:
    told = report_as_json(report, DerenderOptions(), DEFAULT_MODEL)
    return {name: value for name, value in told.items() if name not in ("folder", "sound")}


def part_of(bundle: Bundle, folder: Path, spec: Network | None) -> ClipPart:
    """The clip's first part, as the cluster gets it."""
    options = DerenderOptions(frames=range(SECOND_PART), existing="resume")
    return ClipPart(bundle.path, folder, delivery.digest(bundle), options, spec, 1, None)


class Killer:
    """Records which process made a frame, and kills the first one that makes a certain frame."""

    def __init__(self, victim: Path) -> None:
        self.maps: dict[int, int] = {}
        self.victim = victim

    def watch(self, result: Result) -> None:
        if result.index == KILLED_AT and not self.victim.exists():
            self.victim.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        self.maps[result.index] = os.getpid()


def test_a_killed_worker_costs_nothing(
    machines: None, bundle: Bundle, alone: DerenderReport, tmp_path: Path
) -> None:
    options, spec = network()
    options = replace(options, confidence=tmp_path / "maps")
    killer, said, advanced = Killer(tmp_path / "victim"), list[str](), list[int]()
    with Cluster(None, spec, 1) as cluster:
        make = cluster.begin(
            bundle, tmp_path / "raws", options, advanced.append, said.append, killer
        )
        report = make()
    assert contents(tmp_path / "raws") == contents(alone.folder)
    assert contents(tmp_path / "maps") == contents(alone.folder.parent / "maps")
    assert figures(report) == figures(alone)
    assert [path.name for path in report.sound] == [path.name for path in alone.sound] != []
    lost = "clip: the worker of frames 20 to 29 was lost; another one went on at frame 25"
    assert lost in said
    assert report.notes.count(lost) == 1
    assert sum(advanced) == FRAMES
    # What was made up to the checkpoint wasn't made again; another worker went on, new or not.
    assert set(killer.maps) == {*range(SECOND_PART), *range(25, FRAMES)}
    assert len({int(killer.victim.read_text()), killer.maps[25], os.getpid()}) == 3


def test_another_driver_goes_on(
    machines: None,
    bundle: Bundle,
    alone: DerenderReport,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The folder has a complete first part, as if the driver had ended then."""
    _, spec = network()
    assert isinstance(make_part(part_of(bundle, tmp_path, spec)), Made)
    command = ("derender", bundle.path, "-o", tmp_path, "--fp32", "--device", "cpu")
    for option, told in (("--resume", "another --engine"), ("--json", "has files in it")):
        assert run(*command, option) == OutputError.exit_code
        require_one_line(capsys.readouterr(), told)
    with exclusive(lock_of(tmp_path / ".rvdtool-state-000020.npz"), "taken"):
        for engine in ("local", "ray"):
            assert run(*command, "--engine", engine, "--resume") == OutputError.exit_code
            require_one_line(capsys.readouterr(), "another run of rvdtool is writing into it")
    options = ("--engine", "ray", "--threads", 1, "--resume", "--json")
    assert run(*command, *options) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(f"{tmp_path}: 30 frames in 2 tasks: ")
    sound = (tmp_path / "clip.wav",)
    wanted = replace(alone, folder=tmp_path, sound=sound, resumed_at=SECOND_PART)
    told = report_as_json(wanted, DerenderOptions(), DEFAULT_MODEL)
    assert json.loads(printed.out) == json.loads(json.dumps(told))
    assert contents(tmp_path) == contents(alone.folder)
    assert run(*command, "--engine", "ray", "--resume") == OutputError.exit_code
    require_one_line(capsys.readouterr(), "is complete")


def test_several_clips_share_the_cluster(
    machines: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [make_bundle(tmp_path / name, pan(3), name=name) for name in ("one", "two")]
    bad = tmp_path / "bad.rvd"
    bad.write_bytes(b"nothing")
    several = ("derender", clips[0], bad, clips[1], "--model", "none", "--json", "-o")
    assert run(*several, tmp_path / "local") == 6
    told = json.loads(capsys.readouterr().out)
    assert run(*several, tmp_path / "ray", "--engine", "ray", "--threads", 1) == 6
    printed = capsys.readouterr()
    assert "1 of 3 failed" in printed.err
    for one, other in zip(json.loads(printed.out), told, strict=True):
        assert one | {"folder": other["folder"]} == other
    for name in ("one", "two"):
        assert contents(tmp_path / "ray" / name) == contents(tmp_path / "local" / name)


def test_what_no_machine_has_is_not_waited_for(
    machines: None, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("derender", bundle.path, "-o", tmp_path / "raws", "--engine", "ray")
    for option, told in (("--threads", "8 CPUs"), ("--device", "1 GPUs")):
        value = {"--threads": 8, "--device": "cuda"}[option]
        assert run(*command, option, value) == UsageError.exit_code
        require_one_line(capsys.readouterr(), told)
    assert not (tmp_path / "raws").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "127.0.0.1", "ray://127.0.0.1:{port}"])
def test_an_address_where_nobody_listens(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    need(find_spec("ray"), "Ray (pip install 'rvdtool[cluster]')")
    with socket.socket() as taken:  # so that nobody else listens there
        taken.bind(("127.0.0.1", 0))
        address = address.format(port=taken.getsockname()[1])
        command = ("derender", bundle.path, "-o", tmp_path / "raws", "--engine", "ray")
        assert run(*command, "--address", address) == UsageError.exit_code
    require_one_line(capsys.readouterr(), f"--address {address}: no Ray cluster answers there")
    assert not (tmp_path / "raws").exists()


def test_machines_have_to_be_alike(bundle: Bundle, tmp_path: Path) -> None:
    part = part_of(bundle, tmp_path, None)
    for other, told in (
        (replace(part, version="0.0.1"), "version of rvdtool: 0.0.1 where the run was started"),
        (replace(part, manifest="0" * 64), "differ in bundle"),
        (replace(part, network=Network(DEFAULT_MODEL, "0" * 64, "cpu", False)), "differ in model"),
    ):
        error = make_part(other)
        assert isinstance(error, MismatchError)
        assert told in str(error)
    assert list(tmp_path.iterdir()) == []


def test_frames_that_stayed_on_another_machine_are_missed(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path, "clip", range(2), whole=True)
    written = {index: Written.of(b"frame") for index in range(2)}
    output.frame(0).write_bytes(b"frame")
    with pytest.raises(OutputError, match=r"clip_000001\.dng: was written on another machine"):
        output.require_frames(written)
    output.frame(1).write_bytes(b"frame")
    output.require_frames(written)


def test_without_ray_it_says_what_to_install(
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    command = ("derender", bundle.path, "-o", tmp_path / "raws", "--model", "none")
    assert run(*command, "--engine", "ray") == UsageError.exit_code
    require_one_line(capsys.readouterr(), "pip install 'rvdtool[cluster]'")
    for options, told in (
        (("--address", "auto"), "add --engine ray"),
        (("--engine", "ray", "--profile"), "leave out --engine ray"),
    ):
        assert run(*command, *options) == UsageError.exit_code
        require_one_line(capsys.readouterr(), told)


@pytest.mark.parametrize(
    ("span", "references", "parts"),
    [
        (range(30), [0], [range(30)]),
        (range(30), [0, 10, 29], [range(10), range(10, 29), range(29, 30)]),
        (range(30), [3, 9, 12, 20], [range(12), range(12, 30)]),
        (range(5, 25), [0, 14, 15, 25], [range(5, 15), range(15, 25)]),
    ],
    ids=str,
)
def test_clips_are_divided_at_references(
    span: range, references: list[int], parts: list[range]
) -> None:
    assert divide(span, references) == parts
