"""Packing: nothing is lost, nothing else is written, and the same input gives the same bytes."""

import os
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from av.codec.context import CodecContext
from av.video.frame import VideoFrame as AvFrame

from rvdtool.bundle.archive import ArchiveWriter, InputFile
from rvdtool.bundle.store import open_bundle
from rvdtool.bundle.transform import Homography
from rvdtool.bundle.unpack import unpack
from rvdtool.bundle.verify import verify
from rvdtool.capture import pack as pack_module
from rvdtool.capture.align import MATCH
from rvdtool.capture.pack import pack
from rvdtool.errors import InputError, MismatchError, OutputError, RawError, UsageError, VideoError
from rvdtool.raw.bayer import color_index, orient, to_planes
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CfaPhase, RawFrame, Tag
from rvdtool.raw.read import MosaicLevels
from rvdtool.video.decode import Assume, probe, read_frames
from rvdtool.video.encode import encode_video
from rvdtool.video.source import FileSource

LEVELS = MosaicLevels((64.25, 64.0, 64.0, 64.25), 1023, CfaPhase.GRBG, 10)


def test_packing_twice_gives_the_same_bytes(shot: Any, tmp_path: Path) -> None:
    """Also from copies with other dates and under another name."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for path in (shot.video, shot.raw):
            shutil.copy(path, tmp_path / folder)
    os.utime(tmp_path / "b" / shot.video.name, (1, 1))
    first = pack(tmp_path / "a" / shot.video.name, tmp_path / "a" / shot.raw.name)
    again = pack(
        tmp_path / "b" / shot.video.name, tmp_path / "b" / shot.raw.name, tmp_path / "other.rvd"
    )
    assert first == tmp_path / "a" / "clip.rvd"
    assert first.read_bytes() == again.read_bytes() == shot.bundle.read_bytes()


def test_all_bytes_are_accounted_for(shot: Any, tmp_path: Path) -> None:
    done: list[int] = []
    pack(shot.video, shot.raw, tmp_path / "clip.rvd", advance=done.append)
    assert sum(done) == shot.video.stat().st_size + shot.raw.stat().st_size


def test_a_folder_of_pngs_is_a_video(shot: Any, tmp_path: Path) -> None:
    folder = tmp_path / "frames.v2"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in (9, 10, 8):
        rgb = rng.integers(0, 256, (*shot.frame.size, 3)).astype(np.uint8)
        (folder / f"{index}.png").write_bytes(imagecodecs.png_encode(rgb))
    (folder / "notes.txt").write_text("not a frame")
    path = pack(folder, shot.raw, rate=Fraction(24000, 1001), force=True)  # frames of noise
    assert path == tmp_path / "frames.v2.rvd"
    bundle = open_bundle(path)
    names = [member.name for member in bundle.manifest.video.members]
    assert names == [f"video/frames.v2/{index}.png" for index in (8, 9, 10)]
    assert bundle.video_info.rate == Fraction(24000, 1001)
    assert all(check.ok for check in verify(bundle))
    for written in unpack(bundle, tmp_path / "out"):
        original = shot.raw if written.name == shot.raw.name else folder / written.name
        assert written.read_bytes() == original.read_bytes()
    assert len(list((tmp_path / "out" / "frames.v2").iterdir())) == 3


@pytest.mark.parametrize("suffix", [".tiff", ".png"])
def test_a_plain_mosaic_with_levels_is_a_raw_frame(shot: Any, tmp_path: Path, suffix: str) -> None:
    raw = tmp_path / f"first{suffix}"
    if suffix == ".png":
        raw.write_bytes(imagecodecs.png_encode(shot.frame.mosaic))
    else:
        tifffile.imwrite(raw, shot.frame.mosaic)
    path = pack(shot.video, raw, tmp_path / "clip.rvd", levels=LEVELS)
    bundle = open_bundle(path)
    assert bundle.manifest.references[0].raw.member.name == f"reference/000000{suffix}"
    frame = bundle.references[0].frame
    assert np.array_equal(frame.mosaic, shot.frame.mosaic)
    assert (frame.phase, frame.black, frame.white, frame.bits) == (
        LEVELS.phase,
        LEVELS.black,
        LEVELS.white,
        LEVELS.bits,
    )
    # Verifying reads the file again, which says nothing itself
    assert all(check.ok for check in verify(bundle))


def test_what_the_user_says_about_colour_is_kept(shot: Any, tmp_path: Path) -> None:
    assume = Assume(matrix="bt601", range="full")
    bundle = open_bundle(pack(shot.video, shot.raw, tmp_path / "clip.rvd", assume=assume))
    color = bundle.manifest.video.color
    assert (color.matrix.value, color.matrix.source) == ("bt601", "user")
    assert (color.transfer.value, color.transfer.source) == ("bt709", "stream")
    assert all(check.ok for check in verify(bundle))


def test_nothing_is_overwritten_unasked(shot: Any, tmp_path: Path) -> None:
    out = tmp_path / "clip.rvd"
    out.write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        pack(shot.video, shot.raw, out)
    assert out.read_text() == "mine"
    pack(shot.video, shot.raw, out, overwrite=True)
    assert out.read_bytes() == shot.bundle.read_bytes()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("which", ["video", "raw"])
def test_a_file_that_changes_while_it_is_packed_is_noticed(
    shot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """For example a recording in progress. The change comes when the file has been copied."""
    video, raw = (Path(shutil.copy(path, tmp_path)) for path in (shot.video, shot.raw))
    victim = {"video": video, "raw": raw}[which]
    real = ArchiveWriter.add_file

    def add_file(self: ArchiveWriter, name: str, source: InputFile) -> Any:
        member = real(self, name, source)
        if source.path == victim:
            with victim.open("ab") as file:
                file.write(b"more")
        return member

    monkeypatch.setattr(ArchiveWriter, "add_file", add_file)
    with pytest.raises(InputError, match="changed while being packed"):
        pack(video, raw)
    assert left(tmp_path) == sorted([video.name, raw.name])


@pytest.mark.parametrize("kind", ["grown", "shrunk", "touched", "gone"])
def test_a_change_between_looking_and_copying_is_noticed(
    shot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    video = Path(shutil.copy(shot.video, tmp_path))
    data = video.read_bytes()
    real = pack_module.create

    def create(*args: Any, **kwargs: Any) -> None:
        if kind == "gone":
            video.unlink()
        elif kind == "touched":
            os.utime(video, ns=(0, 0))
        else:
            video.write_bytes(data + b"x" if kind == "grown" else data[:-1])
        real(*args, **kwargs)

    monkeypatch.setattr(pack_module, "create", create)
    with pytest.raises(InputError):
        pack(video, shot.raw)
    assert left(tmp_path) == ([] if kind == "gone" else [video.name])


def test_swapped_arguments_are_refused(shot: Any, tmp_path: Path) -> None:
    with pytest.raises((VideoError, RawError)):
        pack(shot.raw, shot.video, tmp_path / "clip.rvd")
    assert left(tmp_path) == []


def test_names_that_other_systems_lack_are_refused(shot: Any, tmp_path: Path) -> None:
    video = Path(shutil.copy(shot.video, tmp_path / "a\\b.mp4"))
    with pytest.raises(UsageError, match="rename it"):
        pack(video, shot.raw)


@pytest.mark.parametrize("opencv", [True, False])
def test_packing_needs_neither_torch_nor_opencv(shot: Any, tmp_path: Path, opencv: bool) -> None:
    """If sizes are equal. Without OpenCV, motion isn't looked for, and `pack` says so."""
    script = (
        "import sys; from rvdtool.cli import main\n"
        f"if not {opencv}: sys.modules['cv2'] = None\n"
        "code = main(['pack', *sys.argv[1:]])\n"
        "print(code, sorted({'torch', 'skimage', 'scipy'} & sys.modules.keys()))"
    )
    out = tmp_path / "clip.rvd"
    command = [sys.executable, "-c", script, str(shot.video), str(shot.raw), "-o", str(out)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "0 []"
    assert ("motion wasn't checked" in run.stdout) != opencv


def test_importing_capture_imports_neither_torch_nor_opencv() -> None:
    """All modules but registration, which is imported when sizes differ."""
    script = (
        "import pkgutil, sys, importlib, rvdtool.capture as capture\n"
        "names = {module.name for module in pkgutil.iter_modules(capture.__path__)}\n"
        "names -= {'register', 'guess'}\n"
        "for name in names: importlib.import_module(f'rvdtool.capture.{name}')\n"
        "print(len(names), sorted({'torch', 'cv2', 'skimage', 'scipy'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split(maxsplit=1)[1].strip() == "[]"


def sensor_of_twice_the_size(shot: Any) -> RawFrame:
    """Each cell as 4×4 photosites, with a border of 8; the video shows the centre."""
    planes = to_planes(shot.frame.mosaic, shot.frame.phase)
    light = np.stack([planes[0], (planes[1] + planes[2]) / 2, planes[3]], -1)
    light = np.pad(np.kron(light, np.ones((4, 4, 1))), ((8, 8), (8, 8), (0, 0)), "edge")
    size = light.shape[0], light.shape[1]
    colors = color_index(CfaPhase.GRBG, size)[..., None].astype(int)
    mosaic = np.rint(np.take_along_axis(light, colors, 2)[..., 0]).astype(np.uint16)
    return replace(shot.frame, mosaic=mosaic)


def test_a_larger_raw_is_resampled_and_verified(shot: Any, tmp_path: Path) -> None:
    """At this size it has few features and may not be matched, hence `force`."""
    raw = tmp_path / "large.dng"
    write_dng(sensor_of_twice_the_size(shot), raw)
    path = pack(shot.video, raw, tmp_path / "clip.rvd", force=True)
    bundle = open_bundle(path)
    [entry] = bundle.manifest.references
    assert isinstance(entry.transform, Homography)
    assert entry.transform.grid_size == shot.frame.size
    assert bundle.references[0].frame.size == shot.frame.size
    assert all(check.ok for check in verify(bundle))
    again = pack(shot.video, raw, tmp_path / "again.rvd", force=True)
    assert again.read_bytes() == path.read_bytes()


def another_scene(shot: Any) -> RawFrame:
    waves = np.add.outer(np.arange(48) % 7, np.arange(64) % 11) * 40
    return replace(shot.frame, mosaic=(100 + waves).astype(np.uint16))


def test_another_scene_is_refused_with_its_score_unless_forced(shot: Any, tmp_path: Path) -> None:
    raw, preview = tmp_path / "other.dng", tmp_path / "preview.png"
    write_dng(another_scene(shot), raw)
    out = tmp_path / "clip.rvd"
    with pytest.raises(
        MismatchError, match=r"score of -?0\.\d{3}; at least 0\.\d+ is needed.*--force"
    ):
        pack(shot.video, raw, out, preview=preview)
    assert left(tmp_path) == ["other.dng", "preview.png"]  # a preview says why
    pack(shot.video, raw, out, force=True)
    assert open_bundle(out).manifest.references[0].match_score < MATCH


def test_a_raw_that_shows_too_little_is_refused(shot: Any, tmp_path: Path) -> None:
    raw = tmp_path / "narrow.dng"
    write_dng(replace(shot.frame, mosaic=shot.frame.mosaic[:, 8:]), raw)
    with pytest.raises(MismatchError, match=r"56×48.*64×48"):
        pack(shot.video, raw, tmp_path / "clip.rvd")
    assert left(tmp_path) == ["narrow.dng"]


def test_the_preview_shows_frame_raw_and_difference(shot: Any, tmp_path: Path) -> None:
    preview = tmp_path / "preview.png"
    pack(shot.video, shot.raw, tmp_path / "clip.rvd", preview=preview)
    picture = imagecodecs.png_decode(preview.read_bytes())
    assert picture.shape == (48, 3 * 64, 3)
    first = next(read_frames(FileSource(shot.video), probe(FileSource(shot.video)))).rgb
    assert np.array_equal(picture[:, :64], first)
    difference = picture[4:-4, 132:-4].astype(int) - 128
    assert np.abs(difference).mean() < 8


def test_a_raw_of_another_frame_is_found(shot: Any, tmp_path: Path) -> None:
    """A video that begins three frames earlier, with other pictures."""
    frames = [np.full((48, 64, 3), 20 * k, np.uint8) for k in range(3)]
    source = FileSource(shot.video)
    frames += [frame.rgb for frame in read_frames(source, probe(source))]
    video = tmp_path / "late.mkv"
    encode_video(frames, video, rate=Fraction(25), codec="ffv1")
    bundle = open_bundle(pack(video, shot.raw))
    assert [reference.index for reference in bundle.references] == [3]
    assert all(check.ok for check in verify(bundle))
    with pytest.raises(MismatchError, match=r"frame \d \(counted from 0\), has a score"):
        pack(video, shot.raw, tmp_path / "other.rvd", search=3)


@pytest.mark.usefixtures("programs")
def test_pixel_shape_goes_into_the_dngs_tags(shot: Any, tmp_path: Path) -> None:
    """For anamorphic video, its own shape; if it is square or unknown, the camera's."""
    path = tmp_path / "clip.mkv"
    copied = ["-i", str(shot.video), "-c", "copy", "-aspect", "16:9", str(path)]
    subprocess.run(["ffmpeg", "-v", "error", *copied], check=True)
    bundle = open_bundle(pack(path, shot.raw, tmp_path / "clip.rvd"))
    assert bundle.video_info.sample_aspect == Fraction(4, 3)
    tags = {tag.code: tag.value for tag in bundle.references[0].frame.profile.tags}
    assert tags[50718] == (4, 3, 1, 1)
    assert 50718 not in {
        tag.code for tag in open_bundle(shot.bundle).references[0].frame.profile.tags
    }


def test_lens_corrections_that_are_not_carried_are_named_once(shot: Any, tmp_path: Path) -> None:
    """The camera was upside down: gain maps are rotated with the picture, a warp can't be."""
    points = struct.pack(">2I4dI4f", 2, 2, 1, 1, 0, 0, 1, 1, 1.5, 1.5, 2)
    gain_map = struct.pack(">8I", 0, 0, *shot.frame.size, 0, 1, 1, 1) + points
    lists = [
        Tag(code, 7, 20 + len(data), struct.pack(">5I", 1, number, 1, 1, len(data)) + data)
        for code, number, data in ((51009, 9, gain_map), (51022, 1, bytes(164)))
    ]
    turned = orient(replace(shot.frame, orientation=3))
    tags = (*turned.profile.tags, *lists)
    raw = replace(turned, orientation=3, profile=replace(turned.profile, tags=tags))
    write_dng(raw, tmp_path / "still.dng")
    said: list[str] = []
    bundle = open_bundle(
        pack(shot.video, tmp_path / "still.dng", tmp_path / "a.rvd", say=said.append)
    )
    (line,) = (one for one in said if "can't be kept" in one)
    assert line.startswith(
        "still.dng: can't be kept on the video's grid: WarpRectilinear (OpcodeLis"
    )
    assert "\n" not in line
    (reference,) = bundle.references
    assert np.array_equal(reference.frame.mosaic, shot.frame.mosaic)
    assert reference.frame.profile.dropped == ("WarpRectilinear (OpcodeList3)",)
    (found,) = (tag for tag in reference.frame.profile.tags if tag.code == 51009)
    corners = struct.unpack(">f", found.value[4 + 16 + 76 : 4 + 16 + 80])
    assert corners == (2.0,)


@pytest.mark.parametrize("kind", ["jpg", "tiff"])
def test_a_folder_of_other_pictures_is_a_video(kind: str, shot: Any, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    info = probe(FileSource(shot.video))
    for frame in read_frames(FileSource(shot.video), info):
        path = folder / f"{frame.index}.{kind}"
        if kind == "tiff":
            tifffile.imwrite(path, frame.rgb, photometric="rgb")
        else:
            ycc = AvFrame.from_ndarray(frame.rgb, format="rgb24").reformat(format="yuvj420p")
            encoder = CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height = ycc.width, ycc.height
            encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
            encoder.options, ycc.pts = {"qscale": "2"}, 0
            packets = [*encoder.encode(ycc), *encoder.encode(None)]
            path.write_bytes(b"".join(map(bytes, packets)))
    bundle = open_bundle(pack(folder, shot.raw, rate=info.rate))
    assert bundle.manifest.video.kind == "picture_folder"
    assert [check for check in verify(bundle) if not check.ok] == []
    unpack(bundle, tmp_path / "out")
    for path in folder.iterdir():
        assert (tmp_path / "out" / "frames" / path.name).read_bytes() == path.read_bytes()
