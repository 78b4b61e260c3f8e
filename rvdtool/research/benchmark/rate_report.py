"""Tables, JSON and plot of rate and distortion."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rvdtool.files import write_beside
from rvdtool.research.benchmark.figures import save_png
from rvdtool.research.benchmark.rate import HEVC, JPEG_XL, Rate, Rates, Versus
from rvdtool.research.benchmark.summary import by_tag
from rvdtool.research.benchmark.tables import PAPER, STRICT, ResultTable

RATES_NOTE = (
    "Bits per photosite; Mbit/s with the sRGB video, if the method needs it. PSNR by the paper's "
    "protocol; ΔE after edits, mean over the edits and that of the hardest one; frames that are "
    "known exactly are left out of both. Seconds per frame: processor seconds for storing, without "
    "encoding the sRGB video, and for getting the RAW back (CAM and INF: wall time). CAM's and "
    "INF's samples are counted as uncompressed."
)
VERSUS_NOTE = (
    "HEVC's gain: its PSNR, or ΔE after edits, at the bundle's total rate, minus the bundle's. "
    "JPEG XL: its rate for the bundle's PSNR, divided by the bundle's total rate. Break-even: "
    "number of frames from which on the bundle adds less to the sRGB video than HEVC of the RAW "
    "does at the same PSNR, or the same ΔE; in brackets for the RAW files alone, as planes can be "
    "made from them. Mean, and lowest to highest video."
)


_SEE = "See the notes below."


def rate_tables(rates: Rates) -> list[ResultTable]:
    """Two tables for the videos of each tag, and for all."""
    tables = []
    for tag, results in by_tag(rates.results).items():
        tables += [
            _rates_table(tag, rates.means(results)),
            _versus_table(tag, rates.versus(results)),
        ]
    return tables


def rate_markdown(rates: Rates) -> str:
    """All tables as Markdown, with notes on their figures."""
    text = "\n".join(table.markdown() for table in rate_tables(rates))
    text += f"\n{RATES_NOTE}\n\n{VERSUS_NOTE}\n"
    machines = sorted({one.record.machine for one in rates.results})
    pngs = [name for name, video in rates.videos.items() if not video.encoded]
    said = (
        f"\nVideos counted as PNGs, since video/ has no file: {', '.join(pngs)}\n" if pngs else ""
    )
    return f"{text}{said}\nSeconds were measured on: {'; '.join(machines)}\n"


def rate_json(rates: Rates) -> dict[str, object]:
    """All figures, for JSON; PSNRs without loss, and comparisons beyond the measured rates, are
    null."""
    tags = by_tag(rates.results)
    return {
        "protocols": {"psnr": PAPER, "psnr_strict": STRICT},
        "notes": [RATES_NOTE, VERSUS_NOTE],
        "machines": sorted({one.record.machine for one in rates.results}),
        "means": {
            tag: {method: asdict(rate) for method, rate in rates.means(results).items()}
            for tag, results in tags.items()
        },
        "versus": {
            tag: {
                method: [asdict(one) for one in found]
                for method, found in rates.versus(results).items()
            }
            for tag, results in tags.items()
        },
        "videos": {name: _video_json(rates, name) for name in rates.videos},
    }


def write_rate_report(rates: Rates, folder: Path) -> None:
    """Write rate.md, rate.json and rate.png to the results' folder; earlier ones are replaced.

    Raises:
        OutputError: a file can't be written.
    """
    texts = {
        "rate.md": rate_markdown(rates),
        "rate.json": json.dumps(rate_json(rates), indent=1, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        with write_beside(folder / name, overwrite=True) as file:
            file.write(text.encode())
    draw_rates(rates.means(rates.results), folder / "rate.png")


def draw_rates(means: Mapping[str, Rate], path: Path) -> None:
    """Draw PSNR over rate as PNG: with the sRGB video, and what comes on top of it.

    Raises:
        OutputError: the file can't be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    views: dict[str, Callable[[Rate], float]] = {
        "all that is stored, with the sRGB video": lambda rate: rate.total,
        "what is stored besides the sRGB video": lambda rate: rate.added,
    }
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (title, rate_of) in zip(panels, views.items(), strict=True):
        for number, (family, members) in enumerate(_families(means).items()):
            points = sorted((rate_of(one), one.psnr) for one in members if one.psnr is not None)
            if points:
                axes.plot(*zip(*points, strict=True), "o-", label=family, color=f"C{number}")
            for lossless in (one for one in members if one.psnr is None):
                axes.axvline(
                    rate_of(lossless), ls=":", color=f"C{number}", label=f"{family}, lossless"
                )
        axes.set_xscale("log")
        axes.set_xlabel("bits per photosite")
        axes.set_title(title, fontsize="medium")
        axes.grid(alpha=0.3, which="both")
    panels[0].set_ylabel("PSNR [dB]")
    panels[0].legend(fontsize="small")
    save_png(figure, path)


def _families(means: Mapping[str, Rate]) -> dict[str, list[Rate]]:
    """Rates by the curve that they belong to."""
    codecs = {**dict.fromkeys(HEVC, "HEVC of the RAW"), **dict.fromkeys(JPEG_XL, "JPEG XL of it")}
    families: dict[str, list[Rate]] = {}
    for method, rate in means.items():
        family = codecs.get(method, re.sub(r"\+\d+raw$", " from 1, 2, 4, 8 RAWs", method))
        families.setdefault(family, []).append(rate)
    return families


def _video_json(rates: Rates, name: str) -> dict[str, object]:
    results = [one for one in rates.results if one.clip.name == name]
    video, clip = rates.videos[name], results[0].clip
    return {
        "tags": list(clip.tags),
        "size": list(clip.reference.size),
        "frames": len(clip),
        "frames_per_second": float(video.rate),
        "video_bytes": video.size,
        "video_encoded": video.encoded,
        "methods": {
            one.method: asdict(rates.of_video(name)[one.method])
            | {"frames": one.record.frames[-1].index + 1, "bytes": one.record.parts}
            for one in results
        },
    }


def _rates_table(tag: str, means: Mapping[str, Rate]) -> ResultTable:
    rows = tuple(
        (
            method,
            f"{rate.added:.3f}",
            f"{rate.total:.3f}",
            f"{rate.per_second:.2f}",
            "lossless" if rate.psnr is None else f"{rate.psnr:.2f}",
            f"{rate.mean_delta_e:.2f}",
            f"{max(rate.delta_e.values()):.2f}",
            f"{rate.encoding:.3g}",
            f"{rate.decoding:.3g}",
        )
        for method, rate in means.items()
    )
    header = (
        "method",
        "besides the video",
        "with the video",
        "Mbit/s",
        "PSNR",
        "ΔE",
        "hardest",
        "s to store",
        "s to get back",
    )
    return ResultTable("rates", f"Rate and distortion: {tag}", _SEE, header, rows)


def _versus_table(tag: str, found: Mapping[str, Sequence[Versus]]) -> ResultTable:
    rows = tuple(
        (
            method,
            _spread([one.hevc_db for one in group], "+.2f"),
            _spread([one.hevc_delta_e for one in group], "+.2f"),
            _spread([one.jxl_ratio for one in group], ".2f"),
            _break_even([(one.same_psnr, one.raw_share) for one in group]),
            _break_even([(one.same_delta_e, one.raw_share) for one in group]),
        )
        for method, group in found.items()
    )
    header = (
        "bundle",
        "HEVC's gain [dB]",
        "HEVC's ΔE − ours",
        "JPEG XL's rate ÷ ours",
        "break-even at the same PSNR [frames]",
        "at the same ΔE",
    )
    return ResultTable("versus", f"Bundles against codecs: {tag}", _SEE, header, rows)


def _break_even(found: Sequence[tuple[float | None, float]]) -> str:
    """Numbers of frames for the bundles, and for their RAW files alone."""
    whole = [frames for frames, _ in found]
    raw = [None if frames is None else frames * share for frames, share in found]
    return f"{_spread(whole, '.0f')} [{_spread(raw, '.0f')}]"


def _spread(values: Sequence[float | None], form: str) -> str:
    """Mean and range of the known values, and how many aren't known."""
    known = [value for value in values if value is not None]
    unknown = len(values) - len(known)
    left_out = f", {unknown} beyond the curve" if unknown else ""
    if not known:
        return "–"
    mean = sum(known) / len(known)
    return f"{mean:{form}} ({min(known):{form}} to {max(known):{form}}{left_out})"
