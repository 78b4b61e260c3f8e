"""Motion over several frames."""

import numpy as np
import pytest
from numpy.typing import NDArray
from small_shots import Array, pan, render, texture

from rvdtool.reconstruct.flow import Flow, flow_image, sample
from rvdtool.reconstruct.motion import Motion, MotionTracker, NearFlow, same_scene, trust

STEP = (1.3, -0.7)
FRAMES = 11


def greys(scenes: list[Array]) -> list[NDArray[np.uint8]]:
    return [flow_image(render(scene)) for scene in scenes]


def follow(
    pictures: list[NDArray[np.uint8]],
    given: NearFlow | None = None,
    blanks: list[NDArray[np.bool_]] | None = None,
) -> list[Motion]:
    tracker = MotionTracker(pictures[0], given)
    far: Flow = np.zeros((*pictures[0].shape, 2), np.float32)
    result = []
    for index in range(1, len(pictures)):
        blank = blanks[index] if blanks else np.zeros(pictures[0].shape, bool)
        motion = tracker(index, pictures[index], pictures[index - 1], far, blank)
        far = motion.far
        result.append(motion)
    return result


def visible(flow: Flow, steps: int) -> Flow:
    """The part of a flow whose target is well inside the other frame."""
    right, down = int(abs(STEP[0]) * steps) + 10, int(abs(STEP[1]) * steps) + 10
    return flow[down:-10, 10:-right]


def test_a_pan_is_followed_back_to_the_reference() -> None:
    for index, motion in enumerate(follow(greys(pan(FRAMES, step=STEP))), start=1):
        near = np.abs(visible(motion.near, 1) - STEP)
        far = np.abs(visible(motion.far, index) - np.multiply(index, STEP))
        assert near.mean() < 0.1
        assert far.mean() < 0.1, index
        assert np.quantile(far, 0.99) < 0.3, index


def test_slow_drift_does_not_add_up() -> None:
    """0.2 pixels per frame: errors of flows between neighbours would accumulate."""
    motions = follow(greys(pan(FRAMES, step=(0.2, 0.1))))
    assert np.abs(motions[-1].far[10:-10, 10:-10] - (2, 1)).mean() < 0.1


def test_changes_of_brightness_do_not_affect_flow() -> None:
    scenes = pan(5, step=STEP)
    pictures = [flow_image(render(scene, 1 + 0.1 * (k % 2))) for k, scene in enumerate(scenes)]
    far = visible(follow(pictures)[-1].far, 4)
    assert np.quantile(np.abs(far - np.multiply(4, STEP)), 0.95) < 0.3


def test_given_flows_are_used() -> None:
    """They are read by index, and composed to the flow to the reference frame."""
    step = (45.0, 0.0)
    pictures = greys(pan(3, step=step, size=(96, 192)))
    asked = []

    def near(index: int, size: tuple[int, int]) -> Flow:
        asked.append((index, size))
        return np.full((*size, 2), step, np.float32)

    motions = follow(pictures, near)
    assert asked == [(1, (96, 192)), (2, (96, 192))]
    assert np.array_equal(motions[0].near, np.full((96, 192, 2), step, np.float32))
    assert np.abs(motions[1].far[10:-10, 10:90] - (90, 0)).mean() < 0.3


def test_a_blank_area_moves_with_its_surroundings() -> None:
    """Inside a white disc, any flow matches; only that of its border is plausible."""
    scenes = pan(6, step=(2, 1))
    y, x = np.mgrid[:96, :128]
    blanks = []
    for index, scene in enumerate(scenes):
        inside = (x - 74 + 2 * index) ** 2 + (y - 50 + index) ** 2 < 15**2
        scene[inside] = 1
        blanks.append(inside)

    def near(index: int, size: tuple[int, int]) -> Flow:
        """Correct around the disc, wrong inside."""
        flow = np.full((*size, 2), (2, 1), np.float32)
        flow[blanks[index]] = (-3, 3)
        return flow

    motion = follow(greys(scenes), near, blanks)[-1]
    inside = (x - 64) ** 2 + (y - 45) ** 2 < 12**2
    assert np.abs(motion.far[inside] - (10, 5)).max() < 3


def test_new_objects_are_not_trusted() -> None:
    scenes = pan(2, step=(0, 0))
    scenes[1] = scenes[1].copy()
    scenes[1][30:70, 40:90] = texture((40, 50), 7)
    first, now = greys(scenes)
    known = trust(now, first.astype(np.float32))
    assert known[35:65, 45:85].mean() < 0.05
    assert known[:20].mean() > 0.95


def test_trust_ignores_brightness_but_not_shifts() -> None:
    now = greys(pan(1))[0]
    assert trust(now, 0.8 * now.astype(np.float32) - 5).mean() > 0.95
    shifted = sample(now.astype(np.float32), np.full((*now.shape, 2), (6, 6), np.float32))
    assert trust(now, shifted).mean() < 0.2


@pytest.mark.parametrize("level", [0, 128, 255])
def test_frames_without_detail_are_not_trusted(level: int) -> None:
    flat = np.full((64, 96), level, np.uint8)
    assert not trust(flat, flat.astype(np.float32)).any()
    for motion in follow([flat, flat]):
        assert np.isfinite(motion.far).all()


def test_a_cut_is_detected_and_the_reference_matched_again() -> None:
    scenes = pan(9, step=STEP)
    other = pan(3, step=STEP, seed=77)
    pictures = greys([*scenes[:3], *other, *scenes[3:6]])
    tracker = MotionTracker(pictures[0])
    far, lost, motions = np.zeros((*pictures[0].shape, 2), np.float32), False, []
    for index in range(1, len(pictures)):
        blank = np.zeros(pictures[0].shape, bool)
        motion = tracker(index, pictures[index], pictures[index - 1], far, blank, lost)
        far, lost = motion.far, motion.lost
        motions.append(motion)
    assert [motion.cut for motion in motions] == [
        False,
        False,
        True,
        False,
        False,
        True,
        False,
        False,
    ]
    assert [motion.lost for motion in motions] == [False, False, True, True, True] + [False] * 3
    assert np.abs(visible(motions[-1].far, 5) - np.multiply(5, STEP)).mean() < 0.15


@pytest.mark.parametrize("level", [0, 255])
def test_a_flat_frame_is_a_cut_but_a_flat_scene_is_not(level: int) -> None:
    flat = np.full((96, 128), level, np.uint8)
    scene = greys(pan(1))[0]
    assert not same_scene(flat, scene.astype(np.float32))
    assert not same_scene(scene, flat.astype(np.float32))
    assert same_scene(flat, flat.astype(np.float32))


def test_brightness_and_noise_are_not_a_cut() -> None:
    scene = pan(1)[0]
    rng = np.random.default_rng(0)
    one = flow_image(render(scene, 0.3))
    noisy = np.clip(one + rng.normal(0, 12, one.shape), 0, 255).astype(np.uint8)
    assert same_scene(noisy, flow_image(render(scene)).astype(np.float32))


def test_matches_are_trusted_in_spite_of_noise() -> None:
    """Each frame has noise as strong as the texture; earlier, nothing was trusted."""
    scene, rng = 60 + 200 * texture((192, 256), 3)[..., 1], np.random.default_rng(0)
    first, now = (
        np.clip(scene + rng.normal(0, 12, scene.shape), 0, 255).astype(np.uint8) for _ in range(2)
    )
    assert trust(now, first.astype(np.float32)).mean() > 0.5
    other = 60 + 200 * texture((192, 256), 8)[..., 1] + rng.normal(0, 12, scene.shape)
    assert trust(now, other.astype(np.float32)).mean() < 0.05
