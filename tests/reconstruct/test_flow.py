"""Flow: direction, exactness, and flow files."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_shots import pan, render

from rvdtool.errors import InputError, MismatchError
from rvdtool.reconstruct.flow import (
    Flow,
    bridge,
    compose,
    estimate_flow,
    flow_image,
    invert,
    leaves,
    list_flows,
    outside,
    read_flow,
    read_flow_to_next,
    resize_flow,
    sample,
    sample_mosaic,
    sample_mosaics,
    working_size,
)

SIZES = ((16, 24), (17, 24), (16, 25), (17, 25))
every_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
channels = pytest.mark.parametrize("shape", [(), (2,), (3,), (4,)], ids=lambda s: f"shape{s}")


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-3, 3, shape).astype(np.float32)


def constant_flow(size: tuple[int, int], dx: float, dy: float) -> Flow:
    return np.full((*size, 2), (dx, dy), np.float32)


def smooth_flow(size: tuple[int, int], strength: float, seed: int) -> Flow:
    flow = cv2.GaussianBlur(noise(*size, 2, seed=seed), (0, 0), 12)
    return (strength * flow / np.abs(flow).max()).astype(np.float32)


def inner(array: NDArray[Any], margin: int = 8) -> NDArray[Any]:
    return array[margin:-margin, margin:-margin]


def sampled(mosaic: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Warp one mosaic [H, W] or several [H, W, C]."""
    if mosaic.ndim == 2:
        return sample_mosaic(mosaic, flow)
    return np.stack(sample_mosaics(mosaic, flow), axis=-1)


@every_size
@channels
def test_zero_flow_is_the_identity(size: tuple[int, int], shape: tuple[int, ...]) -> None:
    image = noise(*size, *shape)
    zero = constant_flow(size, 0, 0)
    assert np.array_equal(sample(image, zero), image)
    assert np.array_equal(sampled(image, zero), image)
    assert not outside(zero).any()


@every_size
@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 1), (-3, 2), (5, -4)])
def test_whole_pixels_are_shifted_exactly(size: tuple[int, int], dx: int, dy: int) -> None:
    """`flow = (dx, dy)`: what is at (x, y) lies at (x + dx, y + dy) in the other frame."""
    image = noise(*size)
    y, x = np.mgrid[: size[0], : size[1]]
    wanted = image[np.clip(y + dy, 0, size[0] - 1), np.clip(x + dx, 0, size[1] - 1)]
    assert np.array_equal(sample(image, constant_flow(size, dx, dy)), wanted)


@every_size
@channels
@pytest.mark.parametrize(("dx", "dy"), [(2, 0), (0, 2), (-4, 2), (6, -4)])
def test_mosaics_are_shifted_exactly_by_whole_cells(
    size: tuple[int, int], shape: tuple[int, ...], dx: int, dy: int
) -> None:
    mosaic = noise(*size, *shape)
    shifted = sampled(mosaic, constant_flow(size, dx, dy))
    top, left = max(0, -dy), max(0, -dx)
    bottom, right = size[0] - max(0, dy), size[1] - max(0, dx)
    wanted = mosaic[top + dy : bottom + dy, left + dx : right + dx]
    assert np.array_equal(shifted[top:bottom, left:right], wanted)


def test_mosaics_follow_the_scene_between_photosites() -> None:
    """A ramp in each colour is exact at any fraction of a pixel."""
    y, x = np.mgrid[:24, :32].astype(np.float32)
    mosaic = x + 10 * y
    moved = sample_mosaic(mosaic, constant_flow((24, 32), 1.25, -0.5))
    assert np.allclose(inner(moved), inner(mosaic + 1.25 - 5), atol=1e-4)


@every_size
@given(seed=st.integers(0, 10_000), reach=st.floats(0.1, 50))
@settings(max_examples=20, deadline=None)
def test_colours_never_mix(size: tuple[int, int], seed: int, reach: float) -> None:
    cell = np.array([[1, 2], [3, 4]], np.float32)
    mosaic = np.tile(cell, (9, 13))[: size[0], : size[1]]
    flow = np.random.default_rng(seed).uniform(-reach, reach, (*size, 2)).astype(np.float32)
    assert np.array_equal(sample_mosaic(mosaic, flow), mosaic)


@every_size
def test_leaves_equals_outside_at_the_given_pixels(size: tuple[int, int]) -> None:
    flow = np.random.default_rng(2).normal(0, 8, (*size, 2)).astype(np.float32)
    where = np.nonzero(noise(*size) > 0.5)
    assert np.array_equal(leaves(flow, where), outside(flow)[where])


def test_outside_begins_half_a_pixel_beyond_the_edge() -> None:
    assert not outside(constant_flow((8, 12), 0.4, -0.4)).any()
    left = outside(constant_flow((8, 12), -0.6, 0))
    assert left[:, 0].all()
    assert not left[:, 1:].any()
    below = outside(constant_flow((8, 12), 0, 2))
    assert below[-2:].all()
    assert not below[:-2].any()


def test_composing_adds_constant_flows() -> None:
    composed = compose(constant_flow((20, 30), 1.5, -2), constant_flow((20, 30), -4, 0.25))
    assert np.allclose(composed, (-2.5, -1.75))


def test_composing_reads_the_second_flow_where_the_first_one_points() -> None:
    size = 20, 30
    onward = np.zeros((*size, 2), np.float32)
    onward[..., 0] = np.arange(size[1])  # each column has its own motion
    composed = compose(constant_flow(size, 3, 0), onward)
    assert np.allclose(composed[:, :-3, 0], 3 + np.arange(3, size[1]))


@pytest.mark.parametrize("seed", range(3))
def test_sampling_twice_is_sampling_along_the_composed_flow(seed: int) -> None:
    size = 64, 96
    first, second = smooth_flow(size, 3, seed), smooth_flow(size, 3, seed + 10)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    image = np.sin(x / 12) + np.cos(y / 9)
    twice = sample(sample(image, second), first)
    once = sample(image, compose(first, second))
    assert np.abs(inner(twice - once)).max() < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_a_flow_and_its_inverse_cancel(seed: int) -> None:
    forward = smooth_flow((64, 96), 4, seed)
    back = invert(forward)
    assert np.abs(inner(compose(back, forward))).max() < 0.05
    assert np.abs(inner(compose(forward, back))).max() < 0.1
    assert np.abs(inner(forward + back)).max() > 0.2  # negation alone would not suffice


def test_resizing_scales_both_axes_independently() -> None:
    flow = constant_flow((10, 20), 2, 3)
    resized = resize_flow(flow, (30, 40))
    assert resized.shape == (30, 40, 2)
    assert np.allclose(resized, (4, 9))
    assert resize_flow(flow, (10, 20)) is flow


def test_working_size() -> None:
    assert working_size((480, 640)) == (480, 640)
    assert max(working_size((2160, 3840))) == 960
    assert min(working_size((2, 3))) >= 16
    height, width = working_size((1600, 900))
    assert abs(height / width - 16 / 9) < 0.01


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_flow_images_of_8_and_16_bits_are_equal(dtype: type) -> None:
    rgb = render(pan(1)[0])
    deep = rgb if dtype is np.uint8 else rgb.astype(np.uint16) * 257
    grey = flow_image(deep)
    assert grey.dtype == np.uint8
    assert np.array_equal(grey, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


def test_the_estimator_points_from_the_current_frame_to_the_other() -> None:
    """A camera that moves right by 3 pixels: what is at x now was at x + 3 before."""
    before, now = (flow_image(render(scene)) for scene in pan(2, step=(3, -2)))
    flow = estimate_flow(now, before)
    assert np.allclose(np.median(flow.reshape(-1, 2), axis=0), (3, -2), atol=0.1)


def test_refining_does_not_change_its_start() -> None:
    before, now = (flow_image(render(scene)) for scene in pan(2, step=(3, -2)))
    start = constant_flow((now.shape[0], now.shape[1]), 2.5, -2)
    refined = estimate_flow(now, before, start)
    assert np.allclose(np.median(refined.reshape(-1, 2), axis=0), (3, -2), atol=0.1)
    assert np.allclose(start, (2.5, -2))


def test_flow_does_not_depend_on_earlier_estimates() -> None:
    """Otherwise, a resumed chain would give other frames."""
    pictures = [flow_image(render(scene)) for scene in pan(8, size=(48, 64))]
    pairs = list(zip(pictures[1:], pictures, strict=False))
    fresh = [estimate_flow(now, before) for now, before in pairs]
    for flow, (now, before) in zip(fresh, pairs, strict=True):
        estimate_flow(now, pictures[0], 2 * flow)
        assert np.array_equal(estimate_flow(now, before), flow)


def test_bridging_fills_blank_areas_from_their_surroundings() -> None:
    grey = flow_image(render(pan(1)[0]))
    flow = constant_flow((grey.shape[0], grey.shape[1]), 3, -1)
    blank = np.zeros(grey.shape, bool)
    blank[40:60, 50:80] = True
    broken = flow.copy()
    broken[blank] = (-7, 9)
    bridged = bridge(broken, grey, blank)
    assert np.abs(bridged[45:55, 58:72] - (3, -1)).max() < 1.5  # was 10
    assert np.abs(bridged[:20] - (3, -1)).max() < 0.1


def save(path: Path, flow: NDArray[Any]) -> Path:
    np.save(path, flow)
    return path


def test_flow_files_point_from_each_frame_to_the_next(tmp_path: Path) -> None:
    """A square moves by (+6, −4), as in the file; reading inverts it."""
    size = 48, 64
    before, after = np.zeros(size, np.float32), np.zeros(size, np.float32)
    before[20:30, 20:30] = 1
    after[16:26, 26:36] = 1
    path = save(tmp_path / "0000.npy", constant_flow(size, 6, -4))
    back = read_flow(path, size)
    assert back.dtype == np.float32
    assert np.array_equal(sample(before, back), after)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_flows_of_all_number_types_and_sizes_are_read(tmp_path: Path, dtype: type) -> None:
    path = save(tmp_path / "0000.npy", constant_flow((24, 32), 2, 4).astype(dtype))
    assert np.allclose(read_flow(path, (72, 96)), (-6, -12))
    assert np.allclose(read_flow_to_next(path, (72, 96)), (6, 12))


@pytest.mark.parametrize(
    ("size", "frames"),
    [
        ((450, 800), (540, 960)),  # RVD's
        ((904, 1600), (540, 960)),  # padded to a multiple of 8, as RAFT does
        ((1, 2), (16, 24)),  # rounded
        ((17, 25), (16, 24)),
    ],
)
def test_flows_of_the_frames_aspect_ratio_are_read(
    tmp_path: Path, size: tuple[int, int], frames: tuple[int, int]
) -> None:
    path = save(tmp_path / "0000.npy", constant_flow(size, 0, 0))
    assert read_flow(path, frames).shape == (*frames, 2)


@pytest.mark.parametrize("size", [(800, 450), (480, 800), (1, 1), (33, 59), (450, 900)], ids=str)
def test_flows_of_another_aspect_ratio_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    """Portrait, of another aspect ratio, or tiny: probably of another video."""
    path = save(tmp_path / "0000.npy", constant_flow(size, 0, 0))
    with pytest.raises(
        MismatchError, match=f"a flow of {size[1]}×{size[0]} doesn't fit frames of 960×540"
    ):
        read_flow(path, (540, 960))


def _archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, flow=np.zeros((4, 6, 2), np.float32))
    return file.getvalue()


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


GOOD = np.zeros((4, 6, 2), np.float32)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not an array", id="text"),
        pytest.param(_npy(GOOD)[:-8], id="truncated"),
        pytest.param(_archive(), id="npz"),
        pytest.param(_archive()[:-30], id="truncated npz"),
        pytest.param(_npy(np.array([[[None, {}]]])), id="pickled objects"),
        pytest.param(_npy(GOOD).replace(b"(4, 6, 2)", b"(4**9, 2)"), id="broken header"),
        pytest.param(_npy(GOOD).replace(b"(4, 6, 2)", b"(4, 6, 2("), id="unterminated header"),
    ],
)
def test_files_without_an_array_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "0000.npy"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"0000\.npy: can't be read"):
        read_flow(path, (4, 6))


@pytest.mark.parametrize("name", ["none.npy", "folder.npy"])
def test_missing_files_and_folders_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(InputError, match=name):
        read_flow(tmp_path / name, (4, 6))


@pytest.mark.parametrize(
    "flow",
    [
        pytest.param(np.zeros((4, 6)), id="two axes"),
        pytest.param(np.zeros((2, 4, 6)), id="channels first"),
        pytest.param(np.zeros((4, 6, 3)), id="three channels"),
        pytest.param(np.zeros((0, 6, 2)), id="no pixels"),
        pytest.param(np.full((4, 6, 2), np.nan), id="NaN"),
        pytest.param(np.full((4, 6, 2), np.inf), id="infinity"),
        pytest.param(np.full((4, 6, 2), 1e300), id="overflow"),
        pytest.param(np.zeros((4, 6, 2), complex), id="complex"),
        pytest.param(np.full((4, 6, 2), "1"), id="strings"),
        pytest.param(np.zeros((4, 6, 2), [("x", "f4")]), id="records"),
    ],
)
def test_arrays_of_wrong_shape_or_values_are_refused(tmp_path: Path, flow: NDArray[Any]) -> None:
    path = save(tmp_path / "0000.npy", flow)
    with pytest.raises(MismatchError, match=r"0000\.npy: a flow is"):
        read_flow(path, (4, 6))


def test_flows_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{index}_flow.npy", GOOD) for index in range(8, 12)]
    assert list_flows(tmp_path, 5) == paths


def test_a_clip_has_one_flow_less_than_frames(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{index:04d}.npy", GOOD) for index in range(4)]
    (tmp_path / "notes.txt").touch()
    assert list_flows(tmp_path, 5) == paths
    assert list_flows(tmp_path, 4) == paths[:3]  # with a surplus last one
    for frames in (3, 6):
        with pytest.raises(MismatchError, match=f"4 flows for a video of {frames} frames"):
            list_flows(tmp_path, frames)
    with pytest.raises(InputError, match="no such folder"):
        list_flows(tmp_path / "none", 5)
