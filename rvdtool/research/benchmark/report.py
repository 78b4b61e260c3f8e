"""Write results as Markdown, CSV, JSON and PNG."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rvdtool.files import write_beside
from rvdtool.research.benchmark.measure import VideoResult
from rvdtool.research.benchmark.run import BenchmarkPlan
from rvdtool.research.benchmark.summary import by_method, by_tag, mean_drift, mean_of_videos
from rvdtool.research.benchmark.tables import PAPER, STRICT, all_tables

FRAME_COLUMNS = (
    "size",
    "method",
    "video",
    "index",
    "psnr_paper",
    "ssim_paper",
    "psnr",
    "ssim",
    "seconds",
)


def markdown(results: Sequence[VideoResult], switches: Mapping[str, Mapping[str, bool]]) -> str:
    """All tables as Markdown, with the machines that times were measured on."""
    tables = "\n".join(table.markdown() for table in all_tables(results, switches))
    machines = "\n".join(f"- {machine}" for machine in _machines(results))
    return f"{tables}\nSeconds were measured on:\n\n{machines}\n"


def as_json(results: Sequence[VideoResult]) -> dict[str, object]:
    """Means by tag and all frames' figures, for JSON; infinite PSNRs are null."""
    full = [result for result in results if not result.clip.half]
    half = [result for result in results if result.clip.half]
    document: dict[str, object] = {
        "protocols": {"psnr_paper, ssim_paper": PAPER, "psnr, ssim": STRICT},
        "machines": _machines(results),
        "means": _means(full),
        "videos": _videos(full),
    }
    if half:
        document["low_resolution"] = {"means": _means(half), "videos": _videos(half)}
    return document


def write_report(
    plan: BenchmarkPlan, results: Sequence[VideoResult], switches: Mapping[str, Mapping[str, bool]]
) -> None:
    """Write tables, frames and figures to the results' folder; earlier reports are replaced.

    Raises:
        OutputError: a file can't be written.
    """
    from rvdtool.research.benchmark.figures import draw_curves, draw_error_maps

    full = [result for result in results if not result.clip.half]
    texts = {f"{table.name}.csv": table.csv() for table in all_tables(results, switches)}
    texts |= {
        "tables.md": markdown(results, switches),
        "frames.csv": _frames(results),
        "benchmark.json": json.dumps(as_json(results), indent=1, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        with write_beside(plan.results / name, overwrite=True) as file:
            file.write(text.encode())
    draw_curves(full, plan.results / "figure8.png")
    draw_error_maps(full, plan.results, plan.results / "figure7.png")


def _machines(results: Sequence[VideoResult]) -> list[str]:
    return sorted({result.record.machine for result in results})


def _means(results: Sequence[VideoResult]) -> dict[str, object]:
    """Tag → method → means."""
    return {
        tag: {
            method: asdict(mean_of_videos(group)) | {"drift": mean_drift(group)}
            for method, group in by_method(tagged).items()
        }
        for tag, tagged in by_tag(results).items()
    }


def _videos(results: Sequence[VideoResult]) -> dict[str, object]:
    """Video → tags and every method's frames."""
    videos: dict[str, list[VideoResult]] = {}
    for result in results:
        videos.setdefault(result.clip.name, []).append(result)
    return {
        name: {
            "tags": list(group[0].clip.tags),
            "methods": {
                result.method: {
                    "every": result.every,
                    "metadata_bytes": result.record.metadata_bytes,
                    "frames": [
                        frame.model_dump(exclude={"delta_e"}) for frame in result.record.frames
                    ],
                }
                for result in group
            },
        }
        for name, group in videos.items()
    }


def _frames(results: Sequence[VideoResult]) -> str:
    """CSV with a row per frame, at full precision."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FRAME_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for result in results:
        where = {
            "size": "half" if result.clip.half else "full",
            "method": result.method,
            "video": result.clip.name,
        }
        for frame in result.record.frames:
            figures = {
                name: "inf" if value is None else value
                for name, value in frame.model_dump(exclude={"delta_e"}).items()
            }
            writer.writerow(where | figures)
    return text.getvalue()
