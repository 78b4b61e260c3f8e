"""De-render on a Ray cluster (needs `pip install 'rvdtool[cluster]'`).

A clip is divided at its references, as the frames between two of them need no others. Each part is
a task of Ray: it has a lock and a checkpoint of its own in the output folder, and resumes from this
when Ray starts it again because its worker was lost. Everything else is done once, by the process
that starts the tasks: the checks before, the lock of the folder, sound, timestamps, the report.
Bundles and output folders lie where all machines find them under the same path.
"""

import hashlib
import math
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from rvdtool._version import __version__
from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.delivery.folder import DerenderReport, make_frames, report_of
from rvdtool.delivery.memory import channels_on_cpu, most_in_flight, needed_memory
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.resume import Figures, Written
from rvdtool.delivery.run import Run
from rvdtool.errors import MismatchError, RvdError, UsageError, brief
from rvdtool.notes import Say
from rvdtool.reconstruct.compiled import cores
from rvdtool.reconstruct.references import Result
from rvdtool.video.frame import VideoInfo

CLIPS_AHEAD = 200
"""How many clips have tasks at the same time; each holds a lock file open."""
LEAST_FRAMES = 100
"""Of a part, but for the last one: each decodes the video from its beginning."""
RETRIES = 3
"""How often Ray starts a task again whose worker was lost."""
_FAGDN_AS = 16
"""`channels` for `needed_memory` in place of those of the paper's network: of our default one."""


class Recorder(Protocol):
    """Keeps something about every frame that is made, by index; copies of it go to the tasks."""

    maps: dict[int, Any]

    def watch(self, result: Result) -> None:
        """Called with every frame."""


@dataclass(frozen=True)
class Network:
    """A model as every task loads it.

    Attributes:
        name: of a model, or its folder.
        sha256: of its weights.
        device, bf16: see `rvdtool.network.device.load_placed`.
    """

    name: str
    sha256: str
    device: str
    bf16: bool


@dataclass(frozen=True)
class ClipPart:
    """What a task is to do.

    Attributes:
        bundle, folder: absolute paths.
        manifest: the bundle's `digest`.
        options: for this part's frames, without the model.
        network, threads: see `Cluster`.
        recorder: an empty one, or None.
        version: of rvdtool.
    """

    bundle: Path
    folder: Path
    manifest: str
    options: DerenderOptions
    network: Network | None
    threads: int
    recorder: Recorder | None
    version: str = __version__


@dataclass(frozen=True)
class Made:
    """What a task has done.

    Attributes:
        begun: the first frame that it made itself.
        written, figures: of the part's frames, by index.
        recorded: the recorder's maps.
        notes: what was assumed or left out.
    """

    begun: int
    written: dict[int, Written]
    figures: dict[int, Figures]
    recorded: dict[int, Any]
    notes: list[str]


def divide(span: range, references: Sequence[int]) -> list[range]:
    """The parts of a clip: from one reference to the next, or to a later one if that is near.

    Args:
        span: the frames to make.
        references: frames with a RAW, in order.
    """
    cuts = [span.start]
    for index in references:
        if cuts[-1] + LEAST_FRAMES <= index < span.stop:
            cuts.append(index)
    return [range(first, stop) for first, stop in pairwise([*cuts, span.stop])]


def make_part(part: ClipPart) -> Made | RvdError:
    """Make a part of a clip, on any machine. Errors are returned: raised, Ray would wrap them."""
    try:
        return _make_part(part)
    except RvdError as error:
        return error


def _make_part(part: ClipPart) -> Made:
    from rvdtool.reconstruct.threads import use_threads

    _require_same("version of rvdtool", part.version, __version__)
    bundle = open_bundle(part.bundle)
    _require_same("bundle", part.manifest, digest(bundle))
    use_threads(part.threads)
    model = None
    if part.network is not None:
        from rvdtool.network.device import load_placed

        network = part.network
        model = load_placed(network.name, network.device, network.bf16, part.threads)
        _require_same("model", network.sha256, model.sha256)
    notes: list[str] = []
    span, recorder = part.options.frames, part.recorder
    assert span is not None
    run = Run(bundle, part.folder, replace(part.options, model=model), notes.append, [span])
    with run.alone_in_part() as start:
        begun = span.start if start is None else max(start.index + 1, span.start)
        if begun < span.stop:
            last = make_frames(run, start, None, recorder.watch if recorder else None)
            assert last is not None
            run.save(last)
    recorded = recorder.maps if recorder else {}
    return Made(begun, run.written, run.figures, recorded, notes)


def _require_same(what: str, there: str, here: str) -> None:
    if there != here:
        raise MismatchError(
            f"the cluster's machines differ in {what}: {there[:16]} where the run was started, "
            f"{here[:16]} on a worker; all of them need the same"
        )


def digest(bundle: Bundle) -> str:
    """SHA-256 of a bundle's manifest, which has the hashes of all its files."""
    return hashlib.sha256(bundle.manifest.model_dump_json().encode()).hexdigest()


def _memory(info: VideoInfo, channels: int) -> int:
    """Bytes of memory for a task: what it is expected to take, and a fifth more.

    Args:
        info: properties of its video.
        channels: see `needed_memory`.
    """
    return math.ceil(1.2 * needed_memory((info.height, info.width), channels, most_in_flight()))


def _blas_threads() -> str:
    """Threads of NumPy's matrix products here: another number, as Ray sets it, rounds otherwise."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    return next(filter(None, map(os.environ.get, names)), str(cores()))


def _require_listening(address: str) -> None:
    """Refuse an address where nobody listens: Ray would try for many minutes.

    Raises:
        UsageError: nobody does, or it isn't HOST:PORT.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"--address {address}: no Ray cluster answers there ({error}); give HOST:PORT of its "
            "head, or auto"
        ) from error


class Cluster:
    """A connection to a Ray cluster; a context manager."""

    def __init__(self, address: str | None, network: Network | None, threads: int) -> None:
        """Connect, or start Ray on this machine.

        Args:
            address: of the cluster's head; None: that in RAY_ADDRESS, else this machine alone.
            network: the model for all clips; None: none.
            threads: of each task.

        Raises:
            UsageError: Ray isn't installed, or there is no such cluster.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                "--engine ray needs Ray, which isn't installed: pip install 'rvdtool[cluster]'"
            ) from error
        self._ray: Any = ray
        self._network, self._threads = network, threads
        self._closing = ExitStack()
        address = address or os.environ.get("RAY_ADDRESS")
        if address not in (None, "auto", "local"):
            _require_listening(address)
        if ray.is_initialized():
            return
        try:
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise UsageError(
                f"Ray at {address or 'this machine'}: {brief(error)}; check --address, and that "
                "all machines have the same RAY_AUTH_TOKEN"
            ) from error
        self._closing.callback(ray.shutdown)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.close()

    def begin(
        self,
        bundle: Bundle,
        folder: Path,
        options: DerenderOptions,
        advance: Callable[[int], None],
        say: Say,
        recorder: Recorder | None = None,
    ) -> Callable[[], DerenderReport]:
        """Start the tasks of a clip.

        Args:
            bundle, folder, options, say: as for `derender_to_folder`; the model is the cluster's,
                and `options.model` is the same on the CPU.
            advance: called with the number of frames when a part is done.
            recorder: gets what those of the tasks recorded.

        Returns:
            a function that waits for them, does what is left to do, and reports.

        Raises:
            RvdError: as `derender_to_folder`; so does that function, also if workers are lost too
                often.
        """
        notes: list[str] = []

        def note(message: str) -> None:
            if message not in notes:
                notes.append(message)
                say(message)

        span = options.frames or range(bundle.video_info.frame_count)
        whole = options.model is not None and options.model.kind == "fagdn"  # has one long chain
        parts = divide(span, [] if whole else [one.index for one in bundle.references])
        # What the paper's network takes wasn't measured.
        channels = _FAGDN_AS if whole else channels_on_cpu(options.model)
        memory = options.memory or _memory(bundle.video_info, channels)
        if not whole:
            options = replace(options, memory=memory)
        run = Run(bundle, folder, options, note, parts)
        need = run.need()
        submit = self._remote(bundle, memory)
        with ExitStack() as opened:
            opened.enter_context(run.alone())
            run.prepare()
            tasks = {submit(self._part(run, part, recorder)): part for part in parts}
            held = opened.pop_all()
        self._closing.callback(held.close)
        say(f"{folder}: {len(run.span)} frames in {len(parts)} tasks: {need.words}")

        def collect() -> DerenderReport:
            with held:
                report = self._collect(run, tasks, advance, note, recorder)
            return replace(report, notes=tuple(notes))

        return collect

    def _remote(self, bundle: Bundle, memory: int) -> Callable[[ClipPart], Any]:
        """What submits a part, with what it needs of a machine.

        Args:
            bundle: the part's.
            memory: in bytes.

        Raises:
            UsageError: no machine has that, so the task would wait for ever.
        """
        gpus = int(self._network is not None and self._network.device.startswith("cuda"))
        needs = {
            "CPU": self._threads,
            "GPU": gpus,
            "memory": memory,
        }
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(all(has.get(k, 0) >= v for k, v in needs.items()) for has in machines):
            raise UsageError(
                f"{bundle.path}: no machine of the cluster has {self._threads} CPUs (--threads), "
                f"{gpus} GPUs (--device) and {needs['memory'] / 1e9:.1f} GB of memory for a task"
            )
        remote = self._ray.remote(make_part).options(
            num_cpus=needs["CPU"],
            num_gpus=gpus,
            memory=needs["memory"],
            max_retries=RETRIES,
            runtime_env={"env_vars": {"OPENBLAS_NUM_THREADS": _blas_threads()}},
        )
        submit: Callable[[ClipPart], Any] = remote.remote
        return submit

    def _part(self, run: Run, span: range, recorder: Recorder | None) -> ClipPart:
        options = run.options
        options = replace(
            options,
            frames=span,
            existing="resume",
            model=None,
            flow=options.flow and options.flow.resolve(),
            confidence=options.confidence and options.confidence.resolve(),
        )
        return ClipPart(
            bundle=run.bundle.path.resolve(),
            folder=run.folder.resolve(),
            manifest=digest(run.bundle),
            options=options,
            network=self._network,
            threads=self._threads,
            recorder=recorder,
        )

    def _collect(
        self,
        run: Run,
        tasks: dict[Any, range],
        advance: Callable[[int], None],
        say: Say,
        recorder: Recorder | None,
    ) -> DerenderReport:
        sound = run.write_sound(say)
        advance(run.span.start)
        failed: list[RvdError] = []
        resumed = run.options.existing == "resume"
        begun, waiting = run.span.stop, list(tasks)
        while waiting:
            (task,), waiting = self._ray.wait(waiting)
            span, made = tasks[task], self._result(run, tasks[task], task)
            advance(len(span))
            if isinstance(made, RvdError):
                failed.append(made)
                continue
            run.written.update(made.written)
            run.figures.update(made.figures)
            if recorder:
                recorder.maps.update(made.recorded)
            for line in made.notes:
                say(line)
            if made.begun < span.stop:
                begun = min(begun, made.begun)
            if made.begun > span.start and not resumed:
                say(
                    f"{run.labels.stem}: the worker of frames {span.start} to {span.stop - 1} was "
                    f"lost; another one went on at frame {made.begun}"
                )
        if failed:
            raise failed[0]
        run.require_written()
        run.finish()
        return report_of(run, begun if resumed and begun > run.span.start else 0, sound)

    def _result(self, run: Run, span: range, task: Any) -> Made | RvdError:
        exceptions = self._ray.exceptions
        try:
            result: Made | RvdError = self._ray.get(task)
        except exceptions.RayTaskError as error:
            raise error.cause from error  # no error of the user's: a fault, or the system's
        except exceptions.RayError as error:
            return RvdError(
                f"{run.folder}: frames {span.start} to {span.stop - 1} aren't done, as workers "
                f"were lost {RETRIES + 1} times; --resume continues ({brief(error)})"
            )
        return result
