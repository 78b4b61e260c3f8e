"""Folders of RAW frames become videos of a set."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rvdtool.dataset.build import BuildOptions, build, plan
from rvdtool.dataset.rvd import open_rvd
from rvdtool.dataset.tags import TagMeter
from rvdtool.errors import InputError, MismatchError, UsageError
from rvdtool.raw.bayer import orient
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.raw.render import default_render, render
from rvdtool.raw.sequence import frame_name

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
    _build([clip("a", frames)], tmp_path / "set", drop=1, keep=3, render=kind, flow=True)
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
