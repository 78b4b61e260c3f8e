"""Where the RAW differs from its own frame, the result follows the video."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from small_shots import BLACK, SIZE, WHITE, Array, mosaic, pan, psnr, raw_frame, render, texture

from rvdtool.raw.bayer import normalise
from rvdtool.raw.frame import RawFrame
from rvdtool.reconstruct.chain import Chain
from rvdtool.reconstruct.match import Match
from rvdtool.reconstruct.references import Clip, reconstruct
from rvdtool.video.frame import VideoFrame

WHERE = np.s_[40:104, 60:140]
LARGE = (144, 192)


def with_object(scenes: Sequence[Array], kind: str) -> list[Array]:
    """The scenes with an object that doesn't move."""
    height, width = (part.stop - part.start for part in WHERE)
    patch = {
        "textured": 1.2 * texture((height, width), 7),
        "flat": np.full((height, width, 3), (0.1, 0.3, 0.1), np.float32),
    }[kind]
    result = [scene.copy() for scene in scenes]
    for scene in result:
        scene[WHERE] = patch
    return result


def errors(estimate: np.ndarray, scene: Array) -> tuple[float, float]:
    """PSNR at the object, and far from it."""
    value, true = normalise(estimate, BLACK, WHITE), mosaic(scene)
    away = np.ones(value.shape, bool)
    away[32:112, 52:148] = False
    return psnr(value[WHERE], true[WHERE]), psnr(value[away], true[away])


@pytest.mark.parametrize("kind", ["textured", "flat"])
def test_objects_that_came_after_the_still_are_in_every_frame(kind: str) -> None:
    """Its colours occur elsewhere in the frame, so its RAW is known."""
    scenes = pan(3, size=LARGE)
    shown = with_object(scenes, kind)
    chain = Chain(raw_frame(scenes[0]), render(shown[0]))
    assert chain.first is not None
    frames = [chain.first.mosaic, *(chain.step(render(scene)).mosaic for scene in shown[1:])]
    for frame, scene in zip(frames, shown, strict=True):
        inside, away = errors(frame, scene)
        assert inside > 38  # the RAW's own content is at 20
        assert away > 45


def test_objects_that_left_after_the_still_are_gone() -> None:
    scenes = pan(2, size=LARGE)
    chain = Chain(raw_frame(with_object(scenes, "textured")[0]), render(scenes[0]))
    assert chain.first is not None
    assert min(errors(chain.first.mosaic, scenes[0])) > 38
    assert min(errors(chain.step(render(scenes[1])).mosaic, scenes[1])) > 38


def test_a_frame_that_differs_in_one_half_is_reconstructed_in_both() -> None:
    scene, other = texture(LARGE, 1), texture(LARGE, 2)
    shown = scene.copy()
    shown[:, 96:] = other[:, 96:]
    chain = Chain(raw_frame(scene), render(shown))
    assert chain.first is not None
    value = normalise(chain.first.mosaic, BLACK, WHITE)
    assert psnr(value[:, :84], mosaic(shown)[:, :84]) > 45
    assert psnr(value[:, 108:], mosaic(shown)[:, 108:]) > 35


def test_a_resampled_raw_is_not_the_frame() -> None:
    """Interpolation blurs it, so its frame is reconstructed like the others."""
    scene = texture(SIZE, 1)
    reference = raw_frame(scene)
    match = Match.of(reference, render(scene), resampled=True)
    assert match.agreement is None
    first = Chain(reference, render(scene), match=match).first
    assert first is not None
    assert psnr(normalise(first.mosaic, BLACK, WHITE), mosaic(scene)) > 50


@dataclass(frozen=True)
class Reference:
    """A substitute for a bundle's reference."""

    index: int
    frame: RawFrame
    is_resampled: bool = False


@pytest.mark.parametrize("indices", [(0,), (2,), (0, 3), (1, 2)], ids=str)
def test_all_references_are_checked_and_all_frames_follow_the_video(
    indices: tuple[int, ...],
) -> None:
    """Forward, backward and blended chains, and the references' own frames."""
    scenes = pan(4, size=LARGE)
    shown = with_object(scenes, "textured")
    clip = Clip([Reference(i, raw_frame(scenes[i], seed=i)) for i in indices])  # type: ignore[misc]
    video = (VideoFrame(index, render(scene), index) for index, scene in enumerate(shown))
    results = [result for result in reconstruct(clip, video) if result is not None]
    assert [result.index for result in results] == list(range(4))
    for result, scene in zip(results, shown, strict=True):
        inside, away = errors(result.raw.mosaic, scene)
        assert inside > 36
        assert away > 43
        assert result.expected is not None
        assert (result.differing > 0.1) == (result.index in indices)
