"""`rvdtool derender`: from a bundle to a DNG sequence."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rvdtool import DEFAULT_MODEL
from rvdtool.cli import console
from rvdtool.cli.derendered import (
    estimate_as_json,
    estimate_in_words,
    print_stages,
    report_as_json,
    report_in_words,
)
from rvdtool.cli.frames import parse_frames
from rvdtool.cli.imports import quick_import
from rvdtool.cli.rates import parse_rate
from rvdtool.cli.several import Ahead, for_each
from rvdtool.cli.sizes import parse_bytes
from rvdtool.errors import RvdError, UsageError

if TYPE_CHECKING:
    from rvdtool.bundle.store import Bundle
    from rvdtool.delivery.cluster import Network
    from rvdtool.delivery.folder import DerenderReport
    from rvdtool.network.checkpoint import Model


def derender(
    bundles: Annotated[
        list[Path],
        typer.Argument(help="A bundle made by `rvdtool pack`, or several.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the DNGs of one clip. For several, each gets a folder in it, named "
            "after its bundle.",
            show_default=False,
        ),
    ],
    compression: Annotated[
        Literal["ljpeg", "none", "log10", "jxl"],
        typer.Option(
            help="ljpeg: lossless JPEG; log10: a third smaller, 10 bits whose steps stay "
            "below the noise; jxl: lossless JPEG XL (DNG 1.7), smaller, but few programs "
            "open it; none: uncompressed."
        ),
    ] = "ljpeg",
    flow: Annotated[
        Path | None,
        typer.Option(
            help="Folder of .npy optical flows, from each frame to the next, to use instead "
            "of rvdtool's own."
        ),
    ] = None,
    gain: Annotated[
        Literal["auto", "track", "fixed"],
        typer.Option(
            help="What causes changes in the video's brightness: the camera's processing, so "
            "RAW stays unchanged (track), or the exposure, so RAW follows (fixed). auto: track "
            "for videos rendered with LibRaw's defaults, else fixed, except for uneven changes, "
            "and gradual ones in parts of the picture."
        ),
    ] = "auto",
    model: Annotated[
        str,
        typer.Option(
            help="A trained network: a name from `rvdtool models list`, or a model's folder. "
            "none: combine the estimates by their variances, without a network."
        ),
    ] = DEFAULT_MODEL,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where the network runs: cpu, cuda or mps. By default the fastest available."
        ),
    ] = None,
    bf16: Annotated[
        bool | None,
        typer.Option(
            "--bf16/--fp32",
            help="Run the network in 16 or 32 bits. By default rvdtool's own networks run in "
            "16 bits on CPUs with AVX512-BF16, which costs less than 0.01 dB.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the files and the reel; by default the video file's."),
    ] = None,
    timecode: Annotated[
        str | None,
        typer.Option(
            help="Time code of frame 0: 14:23:11:05, or 14:23:11;05 for drop-frame; by default "
            "the video's, else the RAW's."
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            help="Frames per second for a video of variable rate: 25 or 30000/1001; by "
            "default that of its median interval."
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            help="Write these frames only: FIRST:LAST, both included and counted from 0 "
            "(100:200, 100:, :200).",
            show_default=False,
        ),
    ] = None,
    no_audio: Annotated[
        bool, typer.Option("--no-audio", help="Don't write the video's sound.")
    ] = False,
    confidence: Annotated[
        Path | None,
        typer.Option(
            help="Folder for a map of each frame (8-bit PNG): 4 × the expected PSNR in dB."
        ),
    ] = None,
    grain: Annotated[
        bool,
        typer.Option(
            "--grain",
            help="Add the sensor's noise where reconstructed frames lack it, so that they look "
            "like real ones. It lowers the PSNR.",
        ),
    ] = False,
    preview: Annotated[
        Path | None,
        typer.Option(
            help="Write a video of the frames (MP4, MOV or MKV, without sound), developed with "
            "constant settings.",
            show_default=False,
        ),
    ] = None,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Show the input on the left of the preview.")
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Write a page with a viewer, confidence and brightness to this HTML file.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=256,
            help="Number of threads; by default one per core, or 2 for each task of --engine ray.",
            show_default=False,
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Largest memory to take, such as 2GB; by default what is free. With less, frames "
            "are made one after another. With --engine ray, of each task.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(
            help="local: this process; ray: tasks on a Ray cluster, for each clip and for the "
            "frames between two references."
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of the Ray cluster's head, HOST:PORT, or auto; by default RAY_ADDRESS; "
            "without that, Ray is started on this machine.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Print on stderr how long each stage took.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Write nothing; estimate time and disk space from a few frames.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run of this clip.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON; a list for several bundles.")
    ] = False,
) -> None:
    """Reconstruct a RAW frame (DNG) for every video frame of a bundle.

    Several bundles are de-rendered one after the other, or in parallel with --engine ray. If one
    fails, the others are still processed, and the exit code is 6. With --resume, complete ones are
    left unchanged.

    Example: rvdtool derender clip.rvd -o raws/
    """
    with quick_import("numba"):
        from rvdtool.bundle.store import open_bundle
        from rvdtool.delivery.cluster import CLIPS_AHEAD, Cluster
        from rvdtool.delivery.folder import derender_to_folder
        from rvdtool.delivery.options import DerenderOptions
        from rvdtool.delivery.output import CompleteError, can_resume, require_beside
        from rvdtool.delivery.preview import require_preview, write_preview
        from rvdtool.delivery.rehearsal import rehearse
        from rvdtool.reconstruct.compiled import cores
        from rvdtool.reconstruct.stages import stage
        from rvdtool.reconstruct.threads import use_threads
        from rvdtool.report.pictures import MOST_FRAMES
        from rvdtool.report.run import ConfidenceRecord, write_run_report

    if overwrite and resume:
        raise UsageError("--overwrite and --resume can't be combined; give one of them")
    if side_by_side and preview is None:
        raise UsageError("--side-by-side needs a preview; name one with --preview")
    if preview is not None:
        require_preview(preview, output, overwrite)
    if page is not None:
        from rvdtool.report.page import require_report

        require_beside("--report", page, output)
        require_report(page, overwrite)
    if engine == "ray" and (dry_run or profile):
        raise UsageError("--dry-run and --profile are about this machine; leave out --engine ray")
    if engine == "local" and address is not None:
        raise UsageError("--address is that of a Ray cluster; add --engine ray")
    if model == "none" and (device is not None or bf16 is not None):
        raise UsageError("--device, --bf16 and --fp32 need a network; leave out --model none")
    several = len(bundles) > 1
    if several:
        one_only = {"--name": name, "--timecode": timecode, "--frames": frames, "--flow": flow}
        one_only |= {"--confidence": confidence, "--preview": preview, "--report": page}
        _require_one_each(bundles, [option for option, value in one_only.items() if value])
    else:
        open_bundle(bundles[0])  # fail before the network is loaded, which takes seconds
    threads = threads or (2 if engine == "ray" else cores())
    use_threads(threads)
    loaded, network = None, None
    with quick_import("torch"):
        if model != "none" and engine == "ray":
            loaded, network = _shared(model, device, bf16)
        elif model != "none":
            from rvdtool.network.device import load_placed

            loaded = load_placed(model, device, bf16, threads)
    settings = DerenderOptions(
        compression=compression,
        flow=flow,
        gain=gain,
        existing="overwrite" if overwrite else "resume" if resume else "refuse",
        model=loaded,
        name=name,
        time_code=timecode,
        rate=parse_rate(rate),
        audio=not no_audio,
        confidence=confidence,
        grain=grain,
        memory=parse_bytes("--memory", memory),
    )
    if engine == "local":
        console.note_compiling()
    record, start = ConfidenceRecord(), perf_counter()
    done: list[tuple[Bundle, DerenderOptions, DerenderReport]] = []
    results: list[dict[str, object]] = []

    def folder_of(path: Path) -> Path:
        return output / path.stem if several else output

    def label_of(path: Path) -> str:
        return f"{path}: " if several else ""

    def opened_with_options(path: Path) -> "tuple[Bundle, DerenderOptions]":
        opened = open_bundle(path)
        wanted = parse_frames(frames, opened.video_info.frame_count)
        return opened, replace(settings, frames=wanted)

    def begin(path: Path) -> "tuple[Bundle, DerenderOptions, Callable[[], DerenderReport]]":
        (opened, options), folder = opened_with_options(path), folder_of(path)
        if cluster is not None:
            recorder = record if page else None
            make = cluster.begin(opened, folder, options, advance, console.note, recorder)
            return opened, options, make
        make = partial(
            derender_to_folder,
            opened,
            folder,
            options,
            advance,
            console.note,
            record.watch if page else None,
            lambda estimate: console.note(label_of(path) + estimate_in_words(estimate)),
        )
        return opened, options, make

    def measure(path: Path) -> None:
        opened, options = opened_with_options(path)
        estimate = rehearse(opened, folder_of(path), options, advance, console.note)
        results.append(estimate_as_json(estimate))
        if not as_json:
            console.print_line(label_of(path) + estimate_in_words(estimate))

    def run(path: Path) -> None:
        try:
            opened, options, make = begun.take()
            report = make()
        except CompleteError as error:
            if not several:
                raise
            console.note(str(error))
            advance(open_bundle(path).video_info.frame_count)
            return
        except KeyboardInterrupt as error:
            if not several and not can_resume(output):
                raise
            raise console.InterruptedRunError(
                "interrupted; the same command with --resume continues (with --overwrite it "
                "starts again)"
            ) from error
        done.append((opened, options, report))
        results.append(report_as_json(report, options, model))
        for line in report_in_words(report, options, model) if several and not as_json else ():
            console.print_line(line)

    label, total = ("Measuring", None) if dry_run else ("De-rendering", _frames(bundles, frames))
    try:
        with ExitStack() as stack:
            cluster = None
            if engine == "ray":
                cluster = stack.enter_context(Cluster(address, network, threads))
            advance = stack.enter_context(console.progress(label, total))
            begun = Ahead(bundles, begin, CLIPS_AHEAD if cluster else 1)
            for_each(bundles, measure if dry_run else run)
    finally:
        if as_json and (several or dry_run) and results:
            console.print_json(results if several else results[0])
    if dry_run or several:
        return
    ((opened, options, report),) = done
    if preview is not None:
        with console.progress("Preview", report.frames) as advance:
            write_preview(
                opened,
                report,
                preview,
                side_by_side=side_by_side,
                overwrite=overwrite,
                advance=advance,
            )
    if profile:
        made = report.first + report.frames - max(report.first, report.resumed_at)
        print_stages(stage, made, perf_counter() - start)
    told = report_in_words(report, options, model)
    if page is not None:
        with console.progress("Report", min(report.frames, MOST_FRAMES)) as advance:
            write_run_report(
                opened, report, record, page, summary=told, overwrite=overwrite, advance=advance
            )
    if as_json:
        console.print_json(report_as_json(report, options, model))
        return
    for line in told:
        console.print_line(line)


def _require_one_each(bundles: list[Path], given: list[str]) -> None:
    """Refuse bundles that would share an output folder, and options that apply to a single clip.

    Raises:
        UsageError: two bundles would share a folder, or such an option is given.
    """
    if given:
        raise UsageError(f"{given[0]} is for a single clip; give one bundle")
    folders: dict[str, Path] = {}
    for path in bundles:
        if path.stem in folders:
            raise UsageError(
                f"{folders[path.stem]} and {path}: both would go into a folder {path.stem}; "
                "rename one"
            )
        folders[path.stem] = path


def _frames(bundles: list[Path], frames: str | None) -> int:
    """Number of frames to process, for the progress bar."""
    from rvdtool.bundle.store import open_bundle

    total = 0
    for path in bundles:
        with suppress(RvdError):  # reported when the bundle is processed
            count = open_bundle(path).video_info.frame_count
            wanted = parse_frames(frames, count)
            # Frames before a range count as well: the chain may have to run over them.
            total += wanted.stop if wanted else count
    return total


def _shared(name: str, device: str | None, bf16: bool | None) -> "tuple[Model, Network]":
    """A model on this machine's CPU, and how the tasks of a cluster load it.

    GPUs are used only if asked for; this machine needs none.
    """
    import torch

    from rvdtool.delivery.cluster import Network
    from rvdtool.network.checkpoint import load_model
    from rvdtool.network.device import choose_device, uses_bf16

    loaded, device = load_model(name), device or "cpu"
    if not device.startswith("cuda"):
        choose_device(device)
    if bf16 is None:
        bf16 = device == "cpu" and uses_bf16(loaded, torch.device("cpu"))
    folder = Path(name)
    where = str(folder.resolve()) if folder.is_dir() else name
    return loaded, Network(where, loaded.sha256, device, bf16)
