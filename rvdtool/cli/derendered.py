"""Output of `rvdtool derender`: reports and estimates in words and JSON, and times per stage."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from rvdtool.cli import console

if TYPE_CHECKING:
    from rvdtool.delivery.folder import DerenderReport
    from rvdtool.delivery.options import DerenderOptions
    from rvdtool.delivery.rehearsal import RunEstimate
    from rvdtool.reconstruct.stages import Stages


def report_as_json(
    report: "DerenderReport", options: "DerenderOptions", model: str
) -> dict[str, object]:
    """A report as a dictionary for `--json`."""
    return {
        "folder": str(report.folder),
        "first": report.first,
        "frames": report.frames,
        "references": report.references,
        "model": model,
        "grain": options.grain,
        "resumed_at": report.resumed_at,
        "brightness": {"min": report.brightness[0], "max": report.brightness[1]},
        "exposure": {"min": report.exposure[0], "max": report.exposure[1]},
        "tracks_gain": report.tracks_gain,
        "knows_exposures": report.knows_exposures,
        "trusted": report.trusted,
        "inverse_isp_alone": report.alone,
        "expected_psnr": report.expected,
        "doubtful_light": report.doubtful,
        "local_tone": report.toned,
        "differing": report.differing,
        "cuts": report.cuts,
        "name": report.labels.stem,
        "rate": str(report.labels.rate),
        "time_code": str(report.labels.time_code(report.first)),
        "time_code_origin": report.labels.origin,
        "sound": [str(path) for path in report.sound],
    }


def report_in_words(report: "DerenderReport", options: "DerenderOptions", model: str) -> list[str]:
    """A report as lines of text."""
    low, high = report.brightness
    cause = "the ISP's gain: taken out" if report.tracks_gain else "exposure or light: kept"
    if report.knows_exposures:
        cause = "exposures known"
    true = f", {report.references} of them true" if report.references > 1 else ""
    if options.frames:
        true = f", frames {report.first} to {report.first + report.frames - 1}{true}"
    resumed = f", resumed at frame {report.resumed_at}" if report.resumed_at else ""
    if options.model and options.model.kind == "fagdn":  # the other values come from our own chain
        return [
            f"{report.folder}: {report.frames} DNGs{true}{resumed}; by {model}",
            _labels(report),
        ]
    told = [
        f"{report.folder}: {report.frames} DNGs{true}{resumed}; brightness {low:.3f} to {high:.3f} "
        f"({cause}){_expected(report, options.grain)}",
        *(
            f"The RAW of frame {index} differs from the video in {max(share, 0.001):.1%} "
            "of the frame, as if taken at another moment; there, the result follows the video"
            for index, share in report.differing.items()
        ),
        _labels(report),
    ]
    darkest, lightest = report.exposure
    if report.tracks_gain and not report.knows_exposures and darkest < lightest:
        told.append(
            f"The noise suggests that frames were exposed {darkest:.2f} to {lightest:.2f} "
            "times as much as their reference; RAW follows. If you know the exposures, "
            "give them to `rvdtool pack --exposures`"
        )
    if report.alone:
        told.append(
            f"{_in_frames(report.alone, report)}, nothing in the RAW could be matched: the result "
            "there is the inverse ISP alone, which is calibrated on the RAW"
        )
    if report.doubtful:
        exposures = "; or, if the exposure was changed, `--exposures`"
        told.append(
            f"{_in_frames(report.doubtful, report)}, light differs so much from the RAW's that "
            f"brightness may be wrong in up to {max(report.doubtful.values()):.0%} of the frame: "
            "give `rvdtool pack --raw FRAME=FILE` a RAW in that light"
            + ("" if report.knows_exposures else exposures)
        )
    if report.toned:
        told.append(
            f"{_in_frames(report.toned, report)}, brightness changed gradually or unevenly in up "
            f"to {max(report.toned.values()):.0%} of the frame: taken for the camera's local tone "
            "mapping (`--gain fixed`: for light)"
        )
    if report.cuts:
        frames = ", ".join(map(str, report.cuts))
        told.append(
            f"Scene change (or blank frame) at frame {frames}: reconstructed from the "
            "reference's colours alone; `rvdtool pack --raw FRAME=FILE` gives a scene a "
            "RAW of its own"
        )
    return told


def _in_frames(indices: Collection[int], report: "DerenderReport") -> str:
    """How many of a report's frames, and which is the first, as text."""
    return f"In {len(indices)} of {report.frames} frames, the first being {min(indices)}"


def _expected(report: "DerenderReport", grain: bool) -> str:
    """The expected quality of the frames as text; empty if unknown."""
    if not report.expected:
        return ""
    worst = min(report.expected, key=lambda index: report.expected[index])
    mean = sum(report.expected.values()) / len(report.expected)
    before = " before the grain" if grain else ""
    return (
        f"; expected PSNR{before} {mean:.1f} dB "
        f"(worst frame {worst}: {report.expected[worst]:.1f} dB)"
    )


def _labels(report: "DerenderReport") -> str:
    labels = report.labels
    sound = ", ".join(path.name for path in report.sound)
    start = labels.time_code(report.first)
    return (
        f"{labels.stem}: {float(labels.rate):.5g} frames per second from {start} "
        f"({labels.origin}); {f'sound in {sound}' if sound else 'no sound'}"
    )


def estimate_as_json(estimate: "RunEstimate") -> dict[str, object]:
    """An estimate as a dictionary for `--json`."""
    need = estimate.need
    return {
        "frames": estimate.frames,
        "seconds": estimate.seconds,
        "bytes": need.dngs + need.sound,
        "temporary_bytes": need.temporary,
        "free_bytes": need.free,
    }


def estimate_in_words(estimate: "RunEstimate") -> str:
    """An estimate as a line of text."""
    from rvdtool.delivery.need import duration

    return f"{estimate.frames} frames: about {duration(estimate.seconds)}, {estimate.need.words}"


def print_stages(stages: "Stages", frames: int, seconds: float) -> None:
    """Print each stage's time. Stages overlap, so their shares can add up to more than 100 %."""
    rows = [*stages.seconds.items(), ("all, from start to end", seconds)]
    for name, taken in rows:
        console.note(
            f"{name:<24} {1000 * taken / max(frames, 1):9.1f} ms a frame {taken / seconds:7.1%}"
        )
