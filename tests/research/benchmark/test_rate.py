"""Rate and distortion: rates are file sizes, and comparisons are computed from them."""

import json
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from small_videos import BITS, BLACK, WHITE, open_clip, psnr, write_video

from rvdtool.capture.pack import pack
from rvdtool.capture.stills import Still
from rvdtool.cli import main
from rvdtool.errors import MismatchError, UsageError
from rvdtool.raw.dng import encode_dng, write_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.raw.jpegxl import from_quarters
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.codecs import JpegXl, compand, expand
from rvdtool.research.benchmark.measure import VideoResult, measure
from rvdtool.research.benchmark.method import Codec
from rvdtool.research.benchmark.methods import find_method
from rvdtool.research.benchmark.rate import (
    HEVC,
    JPEG_XL,
    RIVALS,
    Rate,
    Rates,
    VideoFile,
    mean_rate,
    rate_of,
    rate_plan,
    versus,
)
from rvdtool.research.benchmark.record import FrameRecord, Record
from rvdtool.research.benchmark.run import BenchmarkPlan
from rvdtool.research.dataset.rvd import open_rvd
from rvdtool.video.encode import encode_video

FRAMES = 4
FULL = 2**BITS - 1


def add_video_file(root: Path, name: str = "clip", frames: int = FRAMES) -> Path:
    """Encode a video's sRGB frames as video/NAME.mp4."""
    folder = open_rvd(root)
    (video,) = (one for one in folder.videos if one.video_name == name)
    path = root / "video" / f"{name}.mp4"
    path.parent.mkdir(exist_ok=True)
    pictures = (folder.read_srgb(video, index) for index in range(frames))
    encode_video(pictures, path, rate=Fraction(25), crf=14)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkClip:
    root = write_video(tmp_path_factory.mktemp("rate") / "rvd", frames=FRAMES)
    add_video_file(root)
    return open_clip(root)


def coded(
    clip: BenchmarkClip, name: str, folder: Path
) -> tuple[int, float, list[NDArray[np.generic]]]:
    """Bytes, mean PSNR in dB, and mosaics of a codec's result."""
    codec = find_method(name)
    assert isinstance(codec, Codec)
    scratch = folder / name
    scratch.mkdir()
    encoding = codec.encode(clip, len(clip), scratch)
    mosaics = [one.values for one in encoding.frames]
    assert len(mosaics) == len(clip) - 1
    true = [clip.raw(index).mosaic for index in range(1, len(clip))]
    if all(np.array_equal(*pair) for pair in zip(mosaics, true, strict=True)):
        return sum(encoding.parts.values()), np.inf, mosaics
    found = [psnr(*pair, 2**BITS - 1) for pair in zip(mosaics, true, strict=True)]
    return sum(encoding.parts.values()), float(np.mean(found)), mosaics


@pytest.mark.parametrize("names", [HEVC, JPEG_XL])
def test_quality_grows_with_the_rate(
    clip: BenchmarkClip, names: tuple[str, ...], tmp_path: Path
) -> None:
    points = [coded(clip, name, tmp_path)[:2] for name in names]
    assert points == sorted(points, reverse=True)  # the best quality comes first
    qualities = [quality for _, quality in points]
    assert qualities == sorted(qualities, reverse=True)
    assert qualities[0] > qualities[-1] + 8


def test_rates_of_single_frames_are_those_of_their_files(
    clip: BenchmarkClip, tmp_path: Path
) -> None:
    dngs = [encode_dng(clip.raw(index), compression="ljpeg") for index in range(FRAMES)]
    size, quality, _ = coded(clip, "dng-ljpeg", tmp_path)
    assert size == sum(map(len, dngs))
    assert quality == np.inf
    xls = [
        imagecodecs.jpegxl_encode(
            compand(clip.raw(index)) << 4, distance=1, bitspersample=16, numthreads=1
        )
        for index in range(FRAMES)
    ]
    assert coded(clip, "jxl-1", tmp_path)[0] == sum(map(len, xls))


def test_hevc_is_a_single_stream(clip: BenchmarkClip, tmp_path: Path) -> None:
    size, *_ = coded(clip, "hevc-18", tmp_path)
    (file,) = (tmp_path / "hevc-18").iterdir()
    assert size == file.stat().st_size
    assert file.read_bytes().startswith(b"\0\0\0\1\x40\1")  # a video parameter set


def ramp() -> RawFrame:
    """A frame of odd size that holds all values from 0 to 2^bits − 1."""
    values = np.arange(95 * 127, dtype=np.uint32).reshape(95, 127) * FULL // (95 * 127 - 1)
    profile = CameraProfile("t", (1, 1, 1))
    return RawFrame(values.astype(np.uint16), CfaPhase.GBRG, BLACK, WHITE, BITS, profile)


def test_companding_loses_less_than_a_step() -> None:
    frame = ramp()
    codes = compand(frame)
    assert (codes.min(), codes.max()) == (0, 4095)
    lost = np.abs(expand(codes, frame).astype(int) - frame.mosaic)
    light = (frame.mosaic - 65.0) / (FULL - 65)
    step = 2 * np.sqrt(1e-3 + np.abs(light)) * 1.1  # the codes span 1.07 on the root's scale
    assert (lost <= step / 2 + 0.5).all()
    assert lost[-1, -1] == 0


def test_shot_noise_has_one_size_in_codes() -> None:
    frame = ramp()
    codes = from_quarters(compand(frame)).ravel().astype(float)
    values = frame.mosaic.ravel().astype(float)
    noise = [
        np.interp(65 + light + light**0.5, values, codes)
        - np.interp(65 + light - light**0.5, values, codes)
        for light in (200.0, 1000.0, 3600.0)
    ]
    assert max(noise) < 1.05 * min(noise)


def test_a_bundles_rate_is_its_size_without_the_video(clip: BenchmarkClip, tmp_path: Path) -> None:
    assert clip.encoded is not None
    stills = [Still(tmp_path / f"{index:06d}.dng", index) for index in (0, 2)]
    for still in stills:
        write_dng(clip.raw(still.frame or 0), still.path)
    bundle = pack(clip.encoded, stills, tmp_path / "same.rvd", force=True)
    with zipfile.ZipFile(bundle) as archive:
        members = {one.filename: one.file_size for one in archive.infolist()}
    video = clip.encoded.stat().st_size
    assert members.pop("video/clip.mp4") == video

    codec = find_method("fusion+2raw")
    assert isinstance(codec, Codec)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    encoding = codec.encode(clip, FRAMES, scratch)
    parts = encoding.parts
    assert sum(parts.values()) == bundle.stat().st_size - video
    for kind, suffix in (("raw", ".dng"), ("planes", ".planes.tiff")):
        assert parts[kind] == sum(size for name, size in members.items() if name.endswith(suffix))
    assert parts["raw"] == sum(still.path.stat().st_size for still in stills)

    frames = {one.index: one.values for one in encoding.frames}
    assert sorted(frames) == [1, 2, 3]
    np.testing.assert_array_equal(frames[2], clip.raw(2).mosaic)  # its RAW is given
    assert psnr(frames[3], clip.raw(3).mosaic, 2**BITS - 1) > 40


def test_bundles_refuse_what_they_cannot_hold(clip: BenchmarkClip, tmp_path: Path) -> None:
    codec = find_method("fusion+4raw")
    assert isinstance(codec, Codec)
    with pytest.raises(UsageError, match="fewer RAWs"):
        codec.encode(clip, FRAMES, tmp_path)
    with pytest.raises(UsageError, match="half size"):
        codec.encode(replace(clip, half=True), FRAMES, tmp_path)
    with pytest.raises(UsageError, match="at least 1 RAW"):
        find_method("fusion+0raw")
    root = write_video(tmp_path / "rvd", frames=FRAMES)
    add_video_file(root, frames=FRAMES - 1)
    with pytest.raises(MismatchError, match="3 frames, but"):
        list(find_method("fusion+1raw").predict(open_clip(root), range(1, FRAMES)))


def test_settings_outside_the_codecs_range_are_refused() -> None:
    for name in ("hevc-52", "jxl-0", "jxl-16"):
        with pytest.raises(UsageError, match=name):
            find_method(name)
    with pytest.raises(UsageError, match="hevc-CRF"):
        find_method("hevc-best")
    assert JpegXl(0.5).name == "jxl-0.5"


def result_of(
    clip: BenchmarkClip, method: str, psnrs: list[float | None], size: float = 100
) -> VideoResult:
    frames = tuple(
        FrameRecord(
            index=index,
            seconds=2,
            psnr=value,
            ssim=1,
            psnr_paper=value,
            ssim_paper=1,
            delta_e={"none": 0.0 if value is None else 1.5, "film": 0.0 if value is None else 2.5},
        )
        for index, value in enumerate(psnrs, 1)
    )
    parts = {"raw": 250, "planes": 350}
    record = Record(
        key={},
        machine="m",
        metadata_bytes=size,
        parts=parts,
        encode_seconds=8,
        frames=frames,
    )
    return VideoResult(method, clip, 1, record)


def test_rates_count_the_video_only_where_it_is_needed(clip: BenchmarkClip) -> None:
    video = VideoFile(4000, Fraction(25), encoded=True)
    photosites = clip.reference.mosaic.size
    ours = rate_of(result_of(clip, "fusion+1raw", [40, 44, 42]), video)
    assert ours.added == pytest.approx(8 * 100 / photosites)
    assert ours.total == pytest.approx(8 * (100 + 4000 / FRAMES) / photosites)
    assert ours.per_second == pytest.approx(8 * (100 + 4000 / FRAMES) * 25 / 1e6)
    assert (ours.psnr, ours.encoding, ours.decoding) == (42, 2, 2)
    hevc = rate_of(result_of(clip, "hevc-18", [40, 44, 42]), video)
    assert hevc.total == hevc.added == ours.added


def test_frames_known_exactly_count_in_no_mean(clip: BenchmarkClip) -> None:
    video = VideoFile(4000, Fraction(25), encoded=True)
    given = rate_of(result_of(clip, "fusion+2raw", [40, None, 42]), video)
    assert given.psnr == 41
    assert given.delta_e == {"none": 1.5, "film": 2.5}
    assert given.mean_delta_e == 2
    lossless = rate_of(result_of(clip, "dng-ljpeg", [None, None, None]), video)
    assert lossless.psnr is None
    assert lossless.mean_delta_e == 0
    assert mean_rate([given, lossless]).psnr == 41
    assert mean_rate([given, lossless]).mean_delta_e == 1
    assert mean_rate([lossless, lossless]).psnr is None


def at(total: float, quality: float | None, delta_e: float = 1.0) -> Rate:
    return Rate(total, total, 1.0, quality, quality, {"none": delta_e}, 0.0, 0.0)


def test_comparisons_interpolate_over_the_logarithm_of_the_rate(clip: BenchmarkClip) -> None:
    # For each halving of the rate, 4 dB less and a ΔE of 1 more.
    hevc = {name: at(4 / 2**n, 48 - 4 * n, 1 + n) for n, name in enumerate(HEVC)}
    jxl = {name: at(8 / 2**n, 48 - 4 * n) for n, name in enumerate(JPEG_XL)}
    result = result_of(clip, "fusion+1raw", [42, 42, 42])
    ours = replace(at(2**0.5, 42, delta_e=3.5), added=0.5)
    found = versus(result, {"fusion+1raw": ours, **hevc, **jxl})
    assert found.hevc_db == pytest.approx(0)  # 1.5 halvings below 4 bits
    assert found.hevc_delta_e == pytest.approx(2.5 - 3.5)
    assert found.jxl_ratio == pytest.approx(2)
    assert found.same_psnr == pytest.approx(0.5 * FRAMES / 2**0.5)
    assert found.same_delta_e == pytest.approx(0.5 * FRAMES / 2**-0.5)
    assert found.raw_share == 250 / 600

    better = versus(result, {"fusion+1raw": replace(ours, psnr=50), **hevc, **jxl})
    assert better.hevc_db == pytest.approx(-8)
    assert (better.jxl_ratio, better.same_psnr) == (None, None)  # no codec was measured there
    cheap = versus(result, {"fusion+1raw": replace(ours, total=0.01), **hevc, **jxl})
    assert (cheap.hevc_db, cheap.hevc_delta_e) == (None, None)


def test_the_plan_has_bundles_and_codecs(clip: BenchmarkClip, tmp_path: Path) -> None:
    plan = BenchmarkPlan(clip.folder.root, tmp_path, ("fusion", "inf"))
    assert rate_plan(plan).methods == ("fusion+1raw", "fusion+2raw", "inf", *RIVALS)
    assert rate_plan(replace(plan, frames=2)).methods[:2] == ("fusion+1raw", "inf")
    assert rate_plan(plan).edits
    with pytest.raises(UsageError, match="copy-warp: give fusion"):
        rate_plan(replace(plan, methods=("copy-warp",)))


def test_results_are_of_a_codec_number_of_frames_and_edits(
    clip: BenchmarkClip, tmp_path: Path
) -> None:
    def again(frames: int | None, *, edits: bool) -> VideoResult:
        method = find_method("dng-log10")
        [result] = measure(
            [method], clip, tmp_path, frames=frames, every=2, machine="m", edits=edits
        )
        return result

    whole = again(None, edits=True)
    assert [one.index for one in whole.record.frames if one.delta_e] == [1, 3]
    assert whole.record.encode_seconds > 0
    assert again(None, edits=True).record == whole.record
    short = again(2, edits=True).record
    assert short.parts["raw"] < whole.record.parts["raw"]
    assert short.metadata_bytes == short.parts["raw"] / 2
    assert again(2, edits=False).record.frames[0].delta_e is None


def test_a_clip_without_a_video_file_is_counted_as_pngs(tmp_path: Path) -> None:
    clip = open_clip(write_video(tmp_path, frames=3))
    video = VideoFile.of(clip)
    assert video.size == sum(path.stat().st_size for path in (tmp_path / "sRGB").rglob("*.png"))
    assert not video.encoded
    add_video_file(tmp_path, frames=3)
    video = VideoFile.of(open_clip(tmp_path))
    assert (video.size, video.rate, video.encoded) == (
        (tmp_path / "video" / "clip.mp4").stat().st_size,
        25,
        True,
    )


def run(*arguments: object) -> int:
    return main(["research", "benchmark", *(str(argument) for argument in arguments)])


def test_the_command_writes_tables_figures_and_json(
    clip: BenchmarkClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    options = ("--rate", "--methods", "fusion", "--frames", 3, "--every", 2, "-j", 1, "-o", out)
    assert run(clip.folder.root, *options) == 0
    shown = capsys.readouterr().out
    assert "| fusion+1raw |" in shown
    assert "| dng-ljpeg |" in shown
    assert (out / "rate.md").read_text() in shown
    assert (out / "rate.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads((out / "rate.json").read_text())
    video = document["videos"]["clip"]
    assert set(video["methods"]) == {"fusion+1raw", *RIVALS}
    photosites = clip.reference.mosaic.size
    for name, one in video["methods"].items():
        assert one["added"] == pytest.approx(8 * sum(one["bytes"].values()) / 3 / photosites), name
    ours = video["methods"]["fusion+1raw"]
    assert ours["total"] - ours["added"] == pytest.approx(
        8 * video["video_bytes"] / FRAMES / photosites
    )
    assert document["means"]["all"]["fusion+1raw"]["psnr"] == ours["psnr"]
    assert len(document["versus"]["all"]["fusion+1raw"]) == 1


def test_half_size_is_refused(clip: BenchmarkClip, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(clip.folder.root, "--rate", "--low-resolution") == 2
    assert "leave out --low-resolution" in capsys.readouterr().err


def test_rates_know_their_videos(clip: BenchmarkClip) -> None:
    results = [result_of(clip, name, [40, 41, 42]) for name in ("fusion+1raw", *HEVC, *JPEG_XL)]
    rates = Rates(results)
    assert rates.videos["clip"].rate == 25
    assert list(rates.versus(results)) == ["fusion+1raw", *HEVC, *JPEG_XL]
    assert rates.means(results)["fusion+1raw"] == rates.of_video("clip")["fusion+1raw"]
