"""Measuring resumes: valid results are kept, others are measured again."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from small_videos import BLACK, WHITE, open_clip, write_video

from rvdtool.errors import MismatchError, OutputError
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.fusion import run_chain
from rvdtool.research.benchmark.measure import VideoResult, measure, wanted_frames
from rvdtool.research.benchmark.method import Method, PredictedFrame
from rvdtool.research.benchmark.methods import find_method
from rvdtool.research.benchmark.record import Place, error_map


class Told(Method):
    """Predicts the truth plus `off`, and records which frames were requested."""

    sources = ("research.benchmark.method",)

    def __init__(self, off: float = 5, *, alone: bool = False) -> None:
        self.name = "told"
        self.alone = alone  # type: ignore[misc]
        self.off = off
        self.fails_at = -1
        self.asked: list[int] = []

    def key(self) -> dict[str, str]:
        return {**super().key(), "off": str(self.off)}

    def predict(self, clip: BenchmarkClip, wanted: Sequence[int]) -> Iterator[PredictedFrame]:
        for index in wanted if self.alone else range(1, wanted[-1] + 1):
            if index == self.fails_at:
                raise KeyboardInterrupt
            self.asked.append(index)
            values = clip.raw(index).mosaic + np.float32(self.off)
            yield PredictedFrame(index, values, seconds=0.25)


@pytest.fixture
def clip(tmp_path: Path) -> BenchmarkClip:
    return open_clip(write_video(tmp_path / "rvd", frames=6))


def again(method: Method, clip: BenchmarkClip, results: Path, **options: int | None) -> VideoResult:
    options = {"frames": None, "every": 1} | options
    [result] = measure([method], clip, results, machine="a machine", **options)  # type: ignore[arg-type]
    return result


def indices(result: VideoResult) -> list[int]:
    return [frame.index for frame in result.record.frames]


def test_figures_are_kept(clip: BenchmarkClip, tmp_path: Path) -> None:
    first, second = Told(), Told()
    one, two = again(first, clip, tmp_path), again(second, clip, tmp_path)
    assert (first.asked, second.asked) == ([1, 2, 3, 4, 5], [])
    assert one == two
    assert indices(one) == [1, 2, 3, 4, 5]
    assert one.record.machine == "a machine"
    assert {frame.seconds for frame in one.record.frames} == {0.25}
    expected = 20 * np.log10(4095 / 5)
    assert one.record.frames[0].psnr_paper == pytest.approx(expected, abs=1e-6)


def test_a_chain_that_was_interrupted_starts_again(clip: BenchmarkClip, tmp_path: Path) -> None:
    first, second = Told(), Told()
    first.fails_at = 4
    with pytest.raises(KeyboardInterrupt):
        again(first, clip, tmp_path)
    assert indices(again(second, clip, tmp_path)) == second.asked == [1, 2, 3, 4, 5]


def test_frames_that_stand_alone_are_kept_one_by_one(clip: BenchmarkClip, tmp_path: Path) -> None:
    first, second = Told(alone=True), Told(alone=True)
    first.fails_at = 4
    with pytest.raises(KeyboardInterrupt):
        again(first, clip, tmp_path)
    assert indices(again(second, clip, tmp_path)) == [1, 2, 3, 4, 5]
    assert second.asked == [4, 5]


def test_every_nth_frame_only_where_frames_stand_alone(clip: BenchmarkClip, tmp_path: Path) -> None:
    slow, chained = Told(alone=True), Told()
    some = again(slow, clip, tmp_path / "slow", every=2)
    assert (indices(some), slow.asked, some.every) == ([1, 3, 5], [1, 3, 5], 2)
    every = again(chained, clip, tmp_path / "chained", every=2)
    assert (indices(every), every.every) == ([1, 2, 3, 4, 5], 1)
    rest = again(slow, clip, tmp_path / "slow")
    assert indices(rest) == [1, 2, 3, 4, 5]
    assert slow.asked == [1, 3, 5, 2, 4]


@pytest.mark.parametrize("alone", [False, True])
def test_fewer_frames_are_a_part_and_lose_nothing(
    clip: BenchmarkClip, tmp_path: Path, alone: bool
) -> None:
    method = Told(alone=alone)
    again(method, clip, tmp_path)
    part = again(method, clip, tmp_path, frames=3)
    assert indices(part) == [1, 2]
    asked = len(method.asked)
    assert indices(again(method, clip, tmp_path)) == [1, 2, 3, 4, 5]
    assert len(method.asked) == asked
    assert Place(tmp_path, "told", "clip", half=False).has_error_map(2)


def test_another_option_model_or_video_is_measured_again(
    clip: BenchmarkClip, tmp_path: Path
) -> None:
    again(Told(5), clip, tmp_path)
    other = Told(6)
    assert again(other, clip, tmp_path).record.frames[0].psnr_paper == pytest.approx(
        20 * np.log10(4095 / 6), abs=1e-6
    )
    assert other.asked
    write_video(tmp_path / "other", frames=6, seed=2)
    moved = Told(6)
    again(moved, open_clip(tmp_path / "other"), tmp_path)
    assert moved.asked == [1, 2, 3, 4, 5]


def test_other_code_is_measured_again(
    clip: BenchmarkClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again(Told(), clip, tmp_path)
    monkeypatch.setattr(Told, "sources", ("research.benchmark.clip",))
    method = Told()
    again(method, clip, tmp_path)
    assert method.asked


def test_readers_share_a_chain_and_see_what_each_saw_alone(
    clip: BenchmarkClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = [find_method(name) for name in ("fusion", "inverse-isp+gain", "copy-warp")]
    options = {"frames": None, "every": 1, "machine": "a machine"}
    alone = [measure([one], clip, tmp_path / "alone", **options)[0] for one in methods]  # type: ignore[arg-type]
    # What is known already isn't made again: the first reader, and some of the second's frames.
    measure([methods[0]], clip, tmp_path / "together", **options)  # type: ignore[arg-type]
    measure([methods[1]], clip, tmp_path / "together", **options | {"frames": 3})  # type: ignore[arg-type]
    chains = []
    monkeypatch.setattr(
        "rvdtool.research.benchmark.measure.run_chain",
        lambda *args: chains.append(args) or run_chain(*args),
    )
    together = measure(
        [*methods, find_method("raw-1-along-flow")], clip, tmp_path / "together", **options
    )  # type: ignore[arg-type]
    assert len(chains) == 1
    assert [one.method for one in together[:3]] == [one.method for one in alone]
    for one, other in zip(alone, together, strict=False):
        assert indices(one) == indices(other) == [1, 2, 3, 4, 5]
        for a, b in zip(one.record.frames, other.record.frames, strict=True):
            assert (a.psnr, a.ssim) == (b.psnr, b.ssim)


def test_half_size_stands_beside_full_size(clip: BenchmarkClip, tmp_path: Path) -> None:
    again(Told(), clip, tmp_path)
    half = Told()
    again(half, BenchmarkClip(clip.folder, clip.video, half=True), tmp_path)
    assert half.asked == [1, 2, 3, 4, 5]
    full = Told()
    again(full, clip, tmp_path)
    assert full.asked == []


def test_damaged_figures_are_measured_again(clip: BenchmarkClip, tmp_path: Path) -> None:
    again(Told(), clip, tmp_path)
    [file] = (tmp_path / "scores").rglob("*.json")
    file.write_bytes(file.read_bytes()[:-40])
    method = Told()
    assert indices(again(method, clip, tmp_path)) == method.asked == [1, 2, 3, 4, 5]


def test_a_lost_error_map_is_made_again_and_a_damaged_one_is_named(
    clip: BenchmarkClip, tmp_path: Path
) -> None:
    method = Told(alone=True)
    again(method, clip, tmp_path)
    place = Place(tmp_path, "told", "clip", half=False)
    [file] = (tmp_path / "scores").rglob("*.npy")
    file.write_bytes(b"no array")
    with pytest.raises(OutputError, match=r"5\.npy: can't be read: .*; remove it and run again"):
        place.read_error_map(5)
    file.unlink()
    again(method, clip, tmp_path)
    assert method.asked == [1, 2, 3, 4, 5, 5]
    expected = 5 / (WHITE - np.reshape(BLACK, (2, 2)))
    assert place.read_error_map(5)[:2, :2] == pytest.approx(expected, rel=1e-3)


def test_error_maps_of_large_frames_are_means(clip: BenchmarkClip) -> None:
    mosaic = np.full((40, 960), 500, np.uint16)
    true = clip.reference.__class__(
        mosaic, clip.reference.phase, (0, 0, 0, 0), 4000, 12, clip.reference.profile
    )
    values = mosaic + np.tile(np.float32([[40, 0], [0, 0]]), (20, 480))
    error = error_map(values, true)
    assert error.shape == (20, 480)
    np.testing.assert_allclose(error, 10 / 4000, rtol=1e-5)


def test_nan_is_named(clip: BenchmarkClip, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"told, clip, frame 1: .*NaN"):
        again(Told(np.nan), clip, tmp_path)


def test_where_nothing_can_be_written(clip: BenchmarkClip, tmp_path: Path) -> None:
    (tmp_path / "scores").write_bytes(b"a file")
    with pytest.raises(OutputError, match="can't be"):
        again(Told(), clip, tmp_path)


@pytest.mark.parametrize(
    ("count", "frames", "every", "expected"),
    [
        (6, None, 1, [1, 2, 3, 4, 5]),
        (6, None, 2, [1, 3, 5]),
        (6, None, 3, [2, 5]),
        (6, 4, 2, [1, 3]),
        (6, 99, 10, [5]),
        (2, None, 1, [1]),
    ],
)
def test_the_last_frame_is_always_scored_and_the_first_never(
    count: int, frames: int | None, every: int, expected: list[int]
) -> None:
    assert list(wanted_frames(count, frames, every)) == expected
