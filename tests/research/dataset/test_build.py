"""Folders of RAW frames become videos of a set."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mlv_samples import Clip, random_mosaics, write_mlv
from numpy.typing import NDArray

import rvdtool.research.dataset.build as build_module
from rvdtool.errors import InputError, MismatchError, OutputError, UsageError
from rvdtool.raw.bayer import orient
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.raw.mlv import read_mlv
from rvdtool.raw.render import default_render, render
from rvdtool.raw.sequence import frame_name
from rvdtool.research.dataset.build import BuildOptions, build, plan
from rvdtool.research.dataset.rvd import open_rvd
from rvdtool.research.dataset.sheet import TILE_WIDTH
from rvdtool.research.dataset.tags import TagMeter, dis_flow

PROFILE = CameraProfile(
    "Test", (0.5, 1.0, 0.6), color_matrix=((0.7, -0.1, -0.1), (-0.4, 1.2, 0.2), (-0.1, 0.2, 0.6))
)
SIZE = (48, 64)


def _frame(values: NDArray[np.float64], orientation: int = 1) -> RawFrame:
    """From normalised values [H, W]."""
    mosaic = np.rint(np.clip(values, 0, 1) * (4095 - 256) + 256).astype(np.uint16)
    return RawFrame(mosaic, CfaPhase.GRBG, (256,) * 4, 4095, 12, PROFILE, orientation=orientation)


def _texture(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.float64]:
    rough = np.random.default_rng(seed).uniform(0.05, 0.6, size)
    return cv2.GaussianBlur(rough, (0, 0), 2)


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder of DNGs and return it."""

    def write(name: str, frames: list[RawFrame]) -> Path:
        folder = tmp_path / "clips" / name
        folder.mkdir(parents=True)
        for index, frame in enumerate(frames):
            write_dng(frame, folder / frame_name(name, index))
        return folder

    return write


def _build(folders: list[Path], root: Path, **options: object) -> None:
    chosen = BuildOptions(**({"keep": None, "test_share": 0} | options))  # type: ignore[arg-type]
    for _ in build(plan(folders, chosen), root, chosen):
        pass


@pytest.mark.parametrize(("kind", "draw"), [("default", default_render), ("steady", render)])
def test_mosaics_are_kept_and_rendered(
    kind: str, draw: Callable[[RawFrame], object], clip: Callable[..., Path], tmp_path: Path
) -> None:
    frames = [_frame(_texture(seed)) for seed in range(5)]
    _build([clip("a", frames)], tmp_path / "set", drop=1, keep=3, render=kind, flow="dis")
    root = open_rvd(tmp_path / "set" / "train")
    video = root.videos[0]
    assert len(video.frames) == 3
    for index in range(3):
        assert np.array_equal(root.read_raw(video, index), frames[index + 1].mosaic)
        assert np.array_equal(root.read_srgb(video, index), draw(frames[index + 1]))
    assert root.read_flow(video, 1).shape == (*SIZE, 2)
    assert not root.flow_path(video, 2).exists()
    camera = root.camera(video)
    assert (camera.bits, camera.white, camera.black) == (12, 4095, (256, 256, 256, 256))
    assert camera.phase is CfaPhase.GRBG


def test_turned_cameras_become_upright(clip: Callable[..., Path], tmp_path: Path) -> None:
    frame = _frame(_texture(1), orientation=6)
    _build([clip("a", [frame])], tmp_path / "set")
    root = open_rvd(tmp_path / "set" / "train")
    video = root.videos[0]
    upright = orient(frame)
    assert np.array_equal(root.read_raw(video, 0), upright.mosaic)
    assert root.camera(video).phase is upright.phase
    assert root.read_srgb(video, 0).shape[:2] == SIZE[::-1]


def test_videos_are_split_by_video(clip: Callable[..., Path], tmp_path: Path) -> None:
    folders = [clip(f"c{number}", [_frame(_texture(number))]) for number in range(8)]
    _build(folders, tmp_path / "set", test_share=0.25)
    parts = {
        part: {video.video_name for video in open_rvd(tmp_path / "set" / part).videos}
        for part in ("train", "test")
    }
    assert len(parts["test"]) == 2
    assert len(parts["train"]) == 6
    assert not parts["test"] & parts["train"]


def test_what_stands_is_kept_and_tags_stay_as_edited(
    clip: Callable[..., Path], tmp_path: Path
) -> None:
    one = clip("a", [_frame(_texture(1))])
    _build([one], tmp_path / "set")
    tags = tmp_path / "set" / "train" / "tags.json"
    tags.write_text('{"a": {"dark": true, "mine": true}}')
    stamp = (tmp_path / "set/train/RAW/a/000000.tiff").stat().st_mtime_ns
    _build([one, clip("b", [_frame(_texture(2))])], tmp_path / "set")
    assert (tmp_path / "set/train/RAW/a/000000.tiff").stat().st_mtime_ns == stamp
    folder = open_rvd(tmp_path / "set" / "train")
    assert folder.tags["a"] == {"dark": True, "mine": True}
    assert set(folder.tags) == {"a", "b"}


def test_a_changing_size_is_named_and_earlier_videos_stay(
    clip: Callable[..., Path], tmp_path: Path
) -> None:
    good = clip("a", [_frame(_texture(1))])
    bad = clip("b", [_frame(_texture(1)), _frame(_texture(1, (48, 60)))])
    with pytest.raises(MismatchError, match=r"b: frame 1 has another size"):
        _build([good, bad], tmp_path / "set")
    assert [video.video_name for video in open_rvd(tmp_path / "set" / "train").videos] == ["a"]


def test_an_unreadable_frame_is_named(clip: Callable[..., Path], tmp_path: Path) -> None:
    folder = clip("a", [_frame(_texture(seed)) for seed in range(3)])
    (folder / frame_name("a", 2)).write_bytes(b"no RAW")
    with pytest.raises(InputError, match=r"a_000002\.dng"):
        _build([folder], tmp_path / "set")


def test_plans_that_cannot_be(clip: Callable[..., Path], tmp_path: Path) -> None:
    folder = clip("a", [_frame(_texture(1))])
    with pytest.raises(InputError, match="1 frames after the first 0, but 120"):
        plan([folder], BuildOptions())
    with pytest.raises(UsageError, match="same name"):
        plan([folder, folder], BuildOptions(keep=1))
    with pytest.raises(InputError, match="no such folder"):
        plan([tmp_path / "none"], BuildOptions())


def test_magic_lantern_videos(tmp_path: Path) -> None:
    mosaics = random_mosaics(4)
    clip = Clip(jpeg=2, cfa=0x01000201)
    path = write_mlv(tmp_path / "M05-1200.MLV", mosaics, clip)
    _build([path], tmp_path / "set", drop=1, keep=2, render="steady")
    root = open_rvd(tmp_path / "set" / "train")
    video = root.videos[0]
    assert video.video_name == "M05-1200"
    camera = root.camera(video)
    assert (camera.bits, camera.black, camera.white) == (14, (2048,) * 4, 15000)
    assert camera.phase is CfaPhase.GBRG
    assert camera.name == "Canon EOS 5D Mark III"
    for index in range(2):
        assert np.array_equal(root.read_raw(video, index), mosaics[index + 1])
        frame = read_mlv(path).read(index + 1)
        assert np.array_equal(root.read_srgb(video, index), render(frame))


def test_sources_that_are_none(clip: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(b"no RAW")
    with pytest.raises(InputError, match=r"clip\.mp4: neither a folder"):
        plan([file], BuildOptions())
    broken = tmp_path / "clip.mlv"
    broken.write_bytes(b"MLVI")
    with pytest.raises(InputError, match=r"clip\.mlv"):
        plan([broken], BuildOptions())


def test_a_contact_sheet_per_video(clip: Callable[..., Path], tmp_path: Path) -> None:
    frames = [_frame(_texture(seed)) for seed in range(5)]
    _build([clip("a", frames)], tmp_path / "set", flow="dis")
    sheet = cv2.imread(str(tmp_path / "set/train/sheets/a.png"))
    assert sheet.shape == (3 * 300, 3 * TILE_WIDTH, 3)  # 64×48 tiles at 400×300
    assert sheet[300:600, 800:].std() > 1
    assert sheet[600:, 800:].std() == 0  # the last frame has no flow


def _write_flows(folder: Path, count: int, size: tuple[int, int] = SIZE) -> list[NDArray[object]]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    flows = [rng.normal(size=(*size, 2)).astype(np.float32) for _ in range(count)]
    for index, flow in enumerate(flows):
        np.save(folder / f"{index:06d}_flow.npy", flow)
    return flows


def test_flows_are_taken_over(clip: Callable[..., Path], tmp_path: Path) -> None:
    folder = clip("a", [_frame(_texture(seed)) for seed in range(4)])
    flows = _write_flows(tmp_path / "flows" / "a", 2)
    options = {"drop": 1, "flow": "npy", "flow_folder": tmp_path / "flows"}
    _build([folder], tmp_path / "set", **options)
    root = open_rvd(tmp_path / "set" / "train")
    for index, flow in enumerate(flows):
        assert np.array_equal(root.read_flow(root.videos[0], index), flow)
    assert not root.flow_path(root.videos[0], 2).exists()


def test_flows_that_do_not_fit_are_found_before_any_work(
    clip: Callable[..., Path], tmp_path: Path
) -> None:
    folder = clip("a", [_frame(_texture(seed)) for seed in range(3)])
    options = BuildOptions(keep=3, flow="npy", flow_folder=tmp_path / "flows")
    with pytest.raises(InputError, match=r"000000_flow\.npy: no such file"):
        plan([folder], options)
    _write_flows(tmp_path / "flows" / "a", 2, (64, 48))
    with pytest.raises(MismatchError, match="48×64, but the frames are 64×48"):
        plan([folder], options)
    _write_flows(tmp_path / "flows" / "a", 2)
    last = tmp_path / "flows" / "a" / "000001_flow.npy"
    whole = last.read_bytes()
    for data, says in (
        (b"", "not a NumPy array"),
        (b"text", "not a NumPy array"),
        (whole[:-1], "cut short"),
    ):
        last.write_bytes(data)
        with pytest.raises(InputError, match=says):
            plan([folder], options)
    np.save(last, np.zeros((2, *SIZE), np.float32))
    with pytest.raises(InputError, match=r"a flow is float \[H, W, 2\]"):
        plan([folder], options)
    np.save(last, np.full((*SIZE, 2), np.nan, np.float32))
    with pytest.raises(InputError, match="finite"):
        _build([folder], tmp_path / "set", flow="npy", flow_folder=tmp_path / "flows")
    assert not (tmp_path / "set/train/data.json").exists()


@pytest.mark.parametrize(
    "options", [{"flow": "npy"}, {"flow": "dis", "flow_folder": Path()}, {"flow_folder": Path()}]
)
def test_flow_options_that_contradict(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="folder of flows"):
        BuildOptions(**options)  # type: ignore[arg-type]


def test_flow_may_be_asked_for_later(clip: Callable[..., Path], tmp_path: Path) -> None:
    folder = clip("a", [_frame(_texture(seed)) for seed in range(3)])
    _build([folder], tmp_path / "set")
    stamp = (tmp_path / "set/train/sRGB/a/000000.png").stat().st_mtime_ns
    _build([folder], tmp_path / "set", flow="dis")
    root = open_rvd(tmp_path / "set" / "train")
    pictures = [root.read_srgb(root.videos[0], index) for index in range(3)]
    assert np.array_equal(root.read_flow(root.videos[0], 1), dis_flow(pictures[1], pictures[2]))
    assert (tmp_path / "set/train/sRGB/a/000000.png").stat().st_mtime_ns == stamp
    shutil.rmtree(tmp_path / "set/train/flow")
    with pytest.raises(OutputError, match="has 3 frames, but 2 are wanted"):
        _build([folder], tmp_path / "set", flow="dis", keep=2)


def _files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_a_stopped_run_is_taken_up_within_a_video(
    clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = clip("a", [_frame(_texture(seed)) for seed in range(6)])
    _build([folder], tmp_path / "whole", flow="dis")
    options = BuildOptions(keep=None, test_share=0, flow="dis", workers=1)
    run = build(plan([folder], options), tmp_path / "set", options)
    for _ in range(4):
        next(run)
    run.close()
    root = tmp_path / "set" / "train"
    assert not (root / "data.json").exists()
    (root / "sRGB/a/000001.png").write_bytes((root / "sRGB/a/000001.png").read_bytes()[:-20])
    (root / "RAW/a/000002.tiff").write_bytes(b"II")
    drawn = []

    def count(raw: RawFrame) -> object:
        drawn.append(raw)
        return default_render(raw)

    monkeypatch.setattr(build_module, "default_render", count)
    _build([folder], tmp_path / "set", flow="dis")
    assert len(drawn) == 6 - 2  # 0 and 3 are kept; 1 and 2 were cut short, 4 and 5 missing
    assert _files(tmp_path / "set") == _files(tmp_path / "whole")


def test_half_made_videos_rendered_otherwise_start_over(
    clip: Callable[..., Path], tmp_path: Path
) -> None:
    folder = clip("a", [_frame(_texture(seed)) for seed in range(4)])
    for kind in ("default", "steady"):
        options = BuildOptions(keep=None, test_share=0, render=kind)  # type: ignore[arg-type]
        run = build(plan([folder], options), tmp_path / "set", options)
        for _ in range(2):
            next(run)
        run.close()
    _build([folder], tmp_path / "set", render="steady")
    _build([folder], tmp_path / "whole", render="steady")
    assert _files(tmp_path / "set") == _files(tmp_path / "whole")


def test_another_source_of_the_same_name_is_not_taken_for_the_first(
    clip: Callable[..., Path], tmp_path: Path
) -> None:
    first = clip("a", [_frame(_texture(seed)) for seed in range(3)])
    options = BuildOptions(keep=None, test_share=0)
    run = build(plan([first], options), tmp_path / "set", options)
    next(run)
    run.close()
    shutil.rmtree(first)
    second = clip("a", [_frame(_texture(seed)) for seed in range(10, 13)])
    _build([second], tmp_path / "set")
    _build([second], tmp_path / "whole")
    assert _files(tmp_path / "set") == _files(tmp_path / "whole")


def test_a_frame_too_small_is_named(tmp_path: Path) -> None:
    path = write_mlv(tmp_path / "tiny.mlv", random_mosaics(1, (16, 16)))
    with pytest.raises(InputError, match=r"tiny: frame 0: .*16×16"):
        _build([path], tmp_path / "set")


def _tags(frames: list[NDArray[np.float64]]) -> dict[str, bool]:
    meter = TagMeter()
    for values in frames:
        grey = np.rint(255 * np.sqrt(np.clip(values, 0, 1))).astype(np.uint8)
        meter.watch(_frame(values), np.repeat(grey[..., None], 3, axis=2))
    return meter.propose()


def test_tags_say_what_is_seen() -> None:
    rough = np.random.default_rng(3).uniform(0, 1, (160, 400))
    wide = 0.05 + 0.6 * cv2.normalize(
        cv2.GaussianBlur(rough, (0, 0), 3), None, 0, 1, cv2.NORM_MINMAX
    )
    calm = [wide[:, k : k + 200] for k in (0, 0, 1, 1)]
    none = {"fast_motion": False, "scene_change": False, "dark": False, "high_light": False}
    assert _tags(calm) == none
    assert _tags([wide[:, k : k + 200] for k in (0, 6, 12, 18)]) == none | {"fast_motion": True}
    assert _tags([0.02 * frame for frame in calm]) == none | {"dark": True}
    assert _tags([4 * frame for frame in calm]) == none | {"high_light": True}
    cut = [*calm, *[0.9 - frame / 10 for frame in calm]]
    assert _tags(cut) == none | {"scene_change": True}
