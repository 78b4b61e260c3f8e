"""Snippets: consecutive frames, cropped and augmented alike."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from rvdtool.errors import InputError, MismatchError, UsageError
from rvdtool.raw.frame import CfaPhase
from rvdtool.research.dataset.loader import SnippetOptions, iterate_snippets
from rvdtool.research.dataset.rvd import (
    RvdFolder,
    RvdVideo,
    RvdWriter,
    VideoCamera,
    frame_names,
    open_rvd,
    write_frame_flow,
    write_frame_raw,
    write_frame_srgb,
)

SIZE = (48, 64)
BLACK = {(0, 0): 10.0, (0, 1): 11.0, (1, 0): 12.0, (1, 1): 13.0}


@pytest.fixture
def folder(tmp_path: Path) -> RvdFolder:
    """Two videos whose RAW encodes colour and frame, and whose sRGB encodes position and frame."""
    writer = RvdWriter(tmp_path)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for name, phase, count in (("a", CfaPhase.GBRG, 5), ("b", CfaPhase.RGGB, 3)):
        color = np.tile(phase.pattern.astype(int), (SIZE[0] // 2, SIZE[1] // 2))
        site = (y % 2) * 2 + x % 2
        for index, frame in enumerate(frame_names(count)):
            mosaic = (1000 * color + 100 * site + index).astype(np.uint16)
            rgb = np.stack([y, x, np.full(SIZE, index)], axis=-1).astype(np.uint8)
            write_frame_raw(tmp_path, name, frame, mosaic)
            write_frame_srgb(tmp_path, name, frame, rgb)
            flow = np.broadcast_to(np.float32((3, 1)), (*SIZE, 2))
            write_frame_flow(tmp_path, name, frame, flow)
        black = (10.0, 11.0, 12.0, 13.0)
        camera = VideoCamera(bits=12, white=4095, black=black, phase=phase)
        writer.finish(RvdVideo(video_name=name, frames=frame_names(count)), camera)
    return open_rvd(tmp_path)


def test_runs_are_consecutive_packed_and_aligned(folder: RvdFolder) -> None:
    options = SnippetOptions(length=3, crop=(16, 24), crops=2, flow=True)
    seen = set()
    for snippet in islice(iterate_snippets(folder, options, seed=1), 60):
        assert snippet.planes.shape == (3, 4, 8, 12)
        assert snippet.srgb.shape == (3, 16, 24, 3)
        assert snippet.flow is not None
        assert snippet.flow.shape == (2, 16, 24, 2)
        # Colours: red, green, green, blue; frames: one after the other
        assert np.array_equal(
            snippet.planes[0] // 1000, np.array([0, 1, 1, 2])[:, None, None] + 0 * snippet.planes[0]
        )
        steps = snippet.planes % 100 - snippet.start
        assert np.array_equal(steps, np.arange(3)[:, None, None, None] + 0 * steps)
        assert np.array_equal(snippet.srgb[:, 0, 0, 2], snippet.start + np.arange(3))
        # The black level went with its site
        for plane, black in zip(snippet.planes[0], snippet.camera.black, strict=True):
            assert 10 + plane[0, 0] // 100 % 10 == black
        assert np.abs(snippet.flow).sum(axis=-1).max() == 4
        seen.add((snippet.video, snippet.start))
    assert seen == {("a", 0), ("a", 1), ("a", 2), ("b", 0)}


def test_the_same_seed_gives_the_same_runs(folder: RvdFolder) -> None:
    def first(seed: int) -> list[bytes]:
        snippets = islice(iterate_snippets(folder, SnippetOptions(crop=(16, 16)), seed), 9)
        return [snippet.srgb.tobytes() for snippet in snippets]

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_runs_longer_than_every_video_are_refused(folder: RvdFolder) -> None:
    with pytest.raises(UsageError, match="no video has 6 frames"):
        next(iterate_snippets(folder, SnippetOptions(length=6), 0))


def test_a_crop_larger_than_the_frames_is_refused(folder: RvdFolder) -> None:
    with pytest.raises(UsageError, match="doesn't fit"):
        next(iterate_snippets(folder, SnippetOptions(crop=(256, 256)), 0))


def test_a_missing_frame_is_named(folder: RvdFolder) -> None:
    for video in folder.videos:
        folder.raw_path(video, 1).unlink()
    with pytest.raises(InputError, match=r"000001\.tiff"):
        list(islice(iterate_snippets(folder, SnippetOptions(crop=(16, 16)), 0), 40))


def test_frames_of_another_size_are_named(folder: RvdFolder) -> None:
    video = folder.videos[0]
    write_frame_srgb(folder.root, "a", video.frames[2], np.zeros((48, 62, 3), np.uint8))
    with pytest.raises(MismatchError, match="a, frame 000002"):
        list(islice(iterate_snippets(folder, SnippetOptions(crop=(16, 16)), 0), 60))
