"""`rvdtool render`: curves, colours and tags as other programs read them, steady over the clip."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from command_line import require_one_line, run
from numpy.typing import NDArray
from small_shots import BITS, BLACK, CAMERA, WHITE

from rvdtool.delivery.develop import DevelopOptions, develop_sequence, encode_curve
from rvdtool.errors import OutputError, UsageError
from rvdtool.raw.bayer import color_index, denormalise
from rvdtool.raw.color import white_xy
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CfaPhase, RawFrame, Tag
from rvdtool.raw.move import DEFAULT_SCALE
from rvdtool.raw.sequence import frame_name
from rvdtool.raw.tags import neutral_at

SIZE = (128, 256)
NEUTRAL = np.array(CAMERA.as_shot_neutral)


def card(light: float | NDArray[np.floating], neutral: Sequence[float] = NEUTRAL) -> RawFrame:
    """A frame of a grey card at `light` of white, for the least sensitive channel."""
    colors = np.asarray(neutral)[color_index(CfaPhase.RGGB, SIZE)] / min(neutral)
    values = (np.asarray(light) * min(neutral) * colors).astype(np.float32)
    mosaic = denormalise(np.broadcast_to(values, SIZE), BLACK, WHITE)
    return RawFrame(mosaic, CfaPhase.RGGB, BLACK, WHITE, BITS, CAMERA)


def write(folder: Path, frames: Sequence[RawFrame], rate: Fraction | None = None) -> list[Path]:
    folder.mkdir()
    paths = [folder / frame_name("clip", index) for index in range(len(frames))]
    for frame, path in zip(frames, paths, strict=True):
        write_dng(frame, path, rate=rate)
    return paths


def probed(path: Path) -> dict[str, str]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    text = subprocess.run(command, capture_output=True, check=True).stdout
    return json.loads(text)["streams"][0]


def luma(path: Path, count: int) -> NDArray[np.float64]:
    """Y' of every frame, 10-bit code values as FFmpeg decodes them, [count, H, W]."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-vf", "extractplanes=y"]
    shown = [*command, "-pix_fmt", "gray10le", "-f", "rawvideo", "-"]
    data = subprocess.run(shown, capture_output=True, check=True).stdout
    return np.frombuffer(data, "<u2").reshape(count, *SIZE).astype(float)


@pytest.mark.parametrize(
    ("curve", "light", "code"),
    [
        ("log", 0.18, 0.4135884),  # S-2016-001
        ("log", 0.0, 0.0729055),
        ("log", 1.0, 9.72 / 17.52),
        ("srgb", 0.18, 0.4613561),
        ("srgb", 0.002, 0.02584),
        ("rec709", 0.18, 1.099 * 0.18**0.45 - 0.099),
        ("rec709", 0.01, 0.045),
        ("rec709", 4.0, 1.0),
    ],
)
def test_curves_are_those_of_their_standards(curve: str, light: float, code: float) -> None:
    found = encode_curve(np.full((1, 1, 3), light, np.float32), curve)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, code, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "curve", "codec", "tags"),
    [
        ("o.mp4", "rec709", None, ("h264", "High", "yuv420p", "bt709", "bt709")),
        ("o.mov", "rec709", None, ("prores", "HQ", "yuv422p10le", "bt709", "bt709")),
        ("o.mov", "log", "prores", ("prores", "HQ", "yuv422p10le", None, None)),
        (
            "o.mov",
            "srgb",
            "dnxhr",
            ("dnxhd", "DNXHR HQX", "yuv422p10le", "iec61966-2-1", "bt709"),
        ),
        ("o.mov", "log", "dnxhr", ("dnxhd", "DNXHR HQX", "yuv422p10le", None, None)),
    ],
)
@pytest.mark.usefixtures("programs")
def test_ffmpeg_reads_the_right_tags_and_values(
    tmp_path: Path, name: str, curve: str, codec: str | None, tags: tuple[str | None, ...]
) -> None:
    frames = write(tmp_path / "raws", [card(0.1), card(0.2), card(0.4)], Fraction(25))
    options = DevelopOptions(curve=curve, codec=codec)  # type: ignore[arg-type]
    done = develop_sequence(frames, tmp_path / name, options)
    told = probed(tmp_path / name)
    found = (told.get(key) for key in ("codec_name", "profile", "pix_fmt", "color_transfer",
                                       "color_primaries"))  # fmt: skip
    assert tuple(None if value == "unknown" else value for value in found) == tags
    assert (told["color_space"], told["color_range"], told["r_frame_rate"]) == (
        "bt709",
        "tv",
        "25/1",
    )
    light = np.array([0.1, 0.2, 0.4]) * 2**done.stops
    codes = encode_curve(light[:, None, None].repeat(3, 2).astype(np.float32), options.curve)
    means = luma(tmp_path / name, 3)[:, 8:-8, 8:-8].mean(axis=(1, 2))
    # A rounding of the RAW, of the codec and, with H.264, of 8 bits: four steps of ten bits.
    tolerance = 4 if tags[0] == "h264" else 1.5
    np.testing.assert_allclose(means, 64 + 876 * codes[:, 0, 0], atol=tolerance)


def test_pictures_are_linear_aces_of_the_first_frames_white(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    other = replace(CAMERA, as_shot_neutral=(1.0, 0.9, 0.3))
    frames = write(tmp_path / "raws", [card(0.2), replace(card(0.4), profile=other)])
    done = develop_sequence(frames, tmp_path / "out", DevelopOptions(exposure=1))
    assert (done.codec, done.size, done.stops) == (None, (256, 128), 1)
    for index, light in enumerate((0.4, 0.8)):
        picture = exr.File(str(tmp_path / "out" / f"clip_{index:06d}.exr"))
        pixels = picture.channels()["RGB"].pixels
        assert pixels.dtype == np.float16
        np.testing.assert_allclose(pixels[8:-8, 8:-8].astype(float), light, rtol=3e-3)
        primaries = picture.header()["chromaticities"]
        np.testing.assert_allclose(primaries[:2], (0.7347, 0.2653), atol=1e-6)
        np.testing.assert_allclose(primaries[6:], (0.32168, 0.33767), atol=1e-6)


def test_white_balance_by_temperature_and_by_a_grey_point(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    x, y = white_xy(3200)
    matrix = np.array(CAMERA.color_matrix)
    response = matrix @ [x / y, 1, (1 - x - y) / y]
    neutral = neutral_at(CAMERA, 3200)
    np.testing.assert_allclose(neutral, response / response.max(), rtol=1e-6)
    frames = write(tmp_path / "raws", [card(0.2, neutral)])
    for index, balance in enumerate((3200.0, (100, 60), "as-shot")):
        folder = tmp_path / f"out{index}"
        develop_sequence(frames, folder, DevelopOptions(white_balance=balance))  # type: ignore
        pixels = exr.File(str(folder / "clip_000000.exr")).channels()["RGB"].pixels
        middle = pixels[8:-8, 8:-8].astype(float).mean(axis=(0, 1))
        assert (np.ptp(middle) / middle.mean() < 0.01) == (balance != "as-shot")


def test_a_grey_point_must_be_usable(tmp_path: Path) -> None:
    half = np.where(np.arange(SIZE[1]) < 128, 3.0, 0.001)
    frames = write(tmp_path / "raws", [card(half)])
    for point, told in (((20, 60), "saturated"), ((200, 60), "too dark"), ((256, 0), "outside")):
        with pytest.raises(UsageError, match=told):
            develop_sequence(frames, tmp_path / "o.mp4", DevelopOptions(white_balance=point))
    with pytest.raises(UsageError, match="2000 to 25000 K"):
        develop_sequence(frames, tmp_path / "o.mp4", DevelopOptions(white_balance=900.0))


@pytest.mark.usefixtures("programs")
def test_pictures_are_upright_with_square_pixels(tmp_path: Path) -> None:
    tag = Tag(DEFAULT_SCALE, 5, 2, (2, 1, 1, 1))
    frame = replace(card(0.2), profile=replace(CAMERA, tags=(tag,)), orientation=6)
    frames = write(tmp_path / "raws", [frame])
    done = develop_sequence(frames, tmp_path / "o.mp4")
    assert done.size == (128, 512)
    told = probed(tmp_path / "o.mp4")
    assert (told["width"], told["height"]) == (128, 512)


def test_the_command_says_what_it_assumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "raws", [card(0.2)])
    assert run("render", tmp_path / "raws", "-o", tmp_path / "o.mkv") == 0
    printed = capsys.readouterr()
    assert "1 frames of 256×128, h264, rec709, 24 frames per second, no sound" in printed.out
    assert "so 24 is assumed; --rate sets it" in printed.err
    given = ("--rate", "29.97", "--json", "--white-balance", "5600K", "--overwrite")
    assert run("render", tmp_path / "raws", "-o", tmp_path / "o.mkv", *given) == 0
    printed = capsys.readouterr()
    assert "assumed" not in printed.err
    assert json.loads(printed.out)["rate"] == "30000/1001"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-o", "o.gif"], "neither a video"),
        (["-o", "o.mp4", "--codec", "prores"], ".mkv or .mov"),
        (["-o", "o.mp4", "--curve", "log"], "needs 10 bits"),
        (["-o", "out", "--codec", "prores"], "for videos"),
        (["-o", "o.mp4", "--white-balance", "warm"], "grey point"),
    ],
)
def test_wrong_usage_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "raws", [card(0.2)])
    assert run("render", "raws", *arguments) == 2
    require_one_line(capsys.readouterr(), told)
    assert [path.name for path in tmp_path.iterdir()] == ["raws"]


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    pytest.importorskip("OpenEXR")
    frames = write(tmp_path / "raws", [card(0.2)])
    folder, video = tmp_path / "out", tmp_path / "o.mp4"
    video.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        develop_sequence(frames, video)
    assert video.read_text() == "mine"
    develop_sequence(frames, folder)
    with pytest.raises(OutputError, match="empty folder, or use --overwrite"):
        develop_sequence(frames, folder)
    develop_sequence(frames, folder, overwrite=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt isn't part of this clip"):
        develop_sequence(frames, folder, overwrite=True)
