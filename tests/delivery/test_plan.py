"""Plans for further RAWs."""

from itertools import combinations, islice
from typing import Any

import numpy as np
import pytest

from rvdtool.bundle.store import open_bundle
from rvdtool.delivery import plan as planning
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.plan import Outlook, look, look_at_video
from rvdtool.errors import UsageError
from rvdtool.video.decode import read_frames
from rvdtool.video.frame import VideoFrame
from rvdtool.video.tones import loss, tones

RNG = np.random.default_rng(0)
ONE, OTHER = (RNG.integers(low, low + 90, (24, 32, 3), np.uint8) for low in (0, 150))


def outlook(pictures: list[Any]) -> Outlook:
    frames = (VideoFrame(index, rgb, pts=index) for index, rgb in enumerate(pictures))
    return look_at_video(frames, lambda done: None)


def with_raws(outlook: Outlook, count: int) -> tuple[int, ...]:
    return next(one.frames for one in outlook.plans() if len(one.frames) == count)


def random_outlook(known: tuple[int, ...]) -> Outlook:
    shares = RNG.random((9, 96), np.float32)
    expected = RNG.uniform(30, 50, 9)
    expected[list(known)] = -np.inf
    return Outlook(known, shares / shares.sum(1, keepdims=True), expected)


def losses_of(outlook: Outlook, raws: tuple[int, ...]) -> Any:
    """The loss of each frame, [9], as the module describes it, frame by frame."""

    def nearest(frame: int, raws: tuple[int, ...]) -> float:
        around = [max((r for r in raws if r <= frame), default=None)]
        around += [min((r for r in raws if r >= frame), default=None)]
        look = outlook.looks[frame : frame + 1]
        far = [(np.array([frame - r]), outlook.looks[r]) for r in around if r is not None]
        return min(float(loss(distance, look, other)[0]) for distance, other in far)

    now, known = outlook.expected, outlook.known
    before = np.array([nearest(frame, known) for frame in range(9)])
    lacks = np.where(before > 0, now.max() - now, 0)
    weights = np.exp(-0.5 * (np.subtract.outer(range(9), range(9)) / 8) ** 2)
    share = (weights @ lacks) / (weights @ before)
    return share * [nearest(frame, raws) for frame in range(9)]


@pytest.mark.parametrize("known", [(0,), (4,), (0, 5, 6), (8,)])
def test_plans_are_the_best_of_all(known: tuple[int, ...]) -> None:
    clip = random_outlook(known)
    free = [frame for frame in range(9) if frame not in known]
    before = losses_of(clip, known)
    for further, found in enumerate(islice(clip.plans(), 4)):
        left = {
            chosen: losses_of(clip, tuple(sorted((*known, *chosen))))
            for chosen in combinations(free, further)
        }
        # Losses are float32.
        least = min(losses.sum() for losses in left.values())
        assert left[found.frames].sum() == pytest.approx(least, abs=1e-4)
        without = [frame for frame in free if frame not in found.frames]
        expected = (clip.expected + before - left[found.frames])[without]
        assert found.mean == pytest.approx(expected.mean(), abs=1e-4)
        assert found.worst[1] == pytest.approx(expected.min(), abs=1e-4)


def test_a_cut_gets_a_raw() -> None:
    (frame,) = with_raws(outlook([ONE] * 20 + [OTHER] * 8), 1)
    assert frame >= 20


def test_each_new_scene_gets_one() -> None:
    scenes = [RNG.integers(low, low + 30, (24, 32, 3), np.uint8) for low in (0, 60, 120, 180)]
    pictures = [scene for scene in scenes for _ in range(6)]
    assert [frame // 6 for frame in with_raws(outlook(pictures), 3)] == [1, 2, 3]


@pytest.mark.parametrize("expected", [None, 40.0])
def test_a_clip_without_changes_gets_them_evenly(expected: float | None) -> None:
    clip = outlook([ONE] * 36)
    if expected is not None:  # reconstructed equally well everywhere
        clip = Outlook((0,), clip.looks, np.array([-np.inf] + [expected] * 35))
        none, _, _, three = islice(clip.plans(), 4)
        assert three.mean - none.mean < 0.05
    gaps = np.diff([0, *with_raws(clip, 3)])
    # The last one has frames on both sides to itself, so 36 is 3 ½ gaps.
    assert gaps.min() >= 9
    assert gaps.max() <= 12


def test_a_scene_that_was_found_again_needs_none() -> None:
    """Frames after a black one are expected to be as good as before; those at the end aren't."""
    black = np.zeros_like(ONE)
    looks = outlook([ONE] * 10 + [black] + [ONE] * 10 + [OTHER] * 5).looks
    expected = np.array([-np.inf] + [45.0] * 20 + [30.0] * 5)
    (frame,) = with_raws(Outlook((0,), looks, expected), 1)
    assert frame >= 21


def test_there_is_a_plan_for_every_number_of_raws_that_leaves_a_frame_without() -> None:
    plans = list(random_outlook((0,)).plans())
    assert [len(one.frames) for one in plans] == list(range(8))
    for one in plans:
        assert list(one.frames) == sorted({*one.frames} - {0, one.worst[0]})
        assert one.worst[1] <= one.mean


def test_a_long_clip_considers_some_frames_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MOST_PLACES", 10)
    clip = outlook([ONE] * 39 + [OTHER] * 12)
    assert clip.every == 6
    (frame,) = with_raws(clip, 1)
    assert frame in (42, 48)


def test_nothing_is_planned_where_every_frame_has_a_raw() -> None:
    with pytest.raises(UsageError, match="every frame"):
        next(outlook([ONE]).plans())


def test_without_further_raws_a_bundle_is_expected_to_be_as_derender_says(
    shot: Any, tmp_path: Any
) -> None:
    bundle = open_bundle(shot.bundle)
    done: list[int] = []
    clip = look(bundle, done.append)
    report = derender_to_folder(bundle, tmp_path / "raws")
    assert dict(enumerate(clip.expected[1:], 1)) == report.expected
    assert sum(done) == bundle.video_info.frame_count
    frames = read_frames(bundle.checked_video(), bundle.video_info)
    assert np.array_equal(clip.looks, [tones(frame.rgb) for frame in frames])
    assert next(clip.plans()).mean == pytest.approx(np.mean(clip.expected[1:]))
