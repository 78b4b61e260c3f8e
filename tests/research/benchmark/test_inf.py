"""INF works as in its paper: a network per frame, fitted to 1.6 % of it."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from small_videos import BITS, SIZE, open_clip, psnr, write_video

from rvdtool.research.benchmark.inf import Inf, InfOptions, Siren, _patches, reconstruct
from rvdtool.research.benchmark.packed import PackedFrame

QUICK = InfOptions(steps=2)


def smooth(height: int, width: int) -> PackedFrame:
    """A smooth picture, its colours coded and rounded to 8 bits, and its RAW."""
    y, x = np.mgrid[:height, :width] / 96
    light = 0.3 + 0.2 * np.sin(3 * x + 1) * np.cos(2.5 * y)
    raw = np.stack([light, 0.8 * light, 0.8 * light, 0.6 * light]).astype(np.float32)
    coded = np.rint(255 * raw[[0, 1, 3]] ** (1 / 2.2)) / 255
    return PackedFrame(coded.astype(np.float32), raw)


def test_a_smooth_frame_from_a_sixtyfourth_of_it() -> None:
    frame = smooth(96, 96)
    assert psnr(reconstruct(frame, InfOptions(), seed=1), frame.raw, peak=1) > 50


def test_only_the_samples_are_looked_at() -> None:
    frame = smooth(40, 56)
    other = PackedFrame(frame.srgb, np.random.default_rng(0).random((4, 40, 56), np.float32))
    other.raw[:, ::8, ::8] = frame.raw[:, ::8, ::8]
    known = (reconstruct(one, QUICK, seed=1) for one in (frame, other))
    np.testing.assert_array_equal(*known)
    other.raw[:, 8, 16] += 0.1
    assert not np.array_equal(*(reconstruct(one, QUICK, seed=1) for one in (frame, other)))


def test_same_seed_same_frame_and_nobody_elses_dice() -> None:
    frame = smooth(24, 24)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one = reconstruct(frame, QUICK, seed=5)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    np.testing.assert_array_equal(reconstruct(frame, QUICK, seed=5), one)
    assert not np.array_equal(reconstruct(frame, QUICK, seed=6), one)


@pytest.mark.parametrize(("side", "count"), [(24, 1), (383, 1), (385, 2), (800, 3)])
def test_patches_cover_a_side(side: int, count: int) -> None:
    patches = _patches(side, InfOptions())
    assert len(patches) == count
    assert patches[0][0] == 0
    assert patches[-1][1] == side
    assert all(one[1] == two[0] for one, two in pairwise(patches))


def test_a_patch_is_fitted_to_its_neighbours_samples_too() -> None:
    """Its neighbour matters, a patch two away doesn't."""
    options, frame = InfOptions(steps=2, patch=16), smooth(16, 64)
    first = np.s_[:, :, :16]
    plain = reconstruct(frame, options, seed=1)[first]
    for column, matters in ((24, True), (40, False)):
        changed = PackedFrame(frame.srgb, frame.raw.copy())
        changed.raw[:, 8, column] += 0.2
        same = np.array_equal(reconstruct(changed, options, seed=1)[first], plain)
        assert same != matters


def test_the_network_is_the_papers() -> None:
    network = Siren(4)
    assert sum(p.numel() for p in network.parameters()) == sum(
        i * o + o
        for i, o in [(3, 256), (256, 256), (256, 128), (2, 256), (256, 256), (256, 128)]
        + [(256, 256)] * 3
        + [(256, 4)]
    )
    outputs = network(torch.rand(500, 3), torch.rand(500, 2))
    assert outputs.shape == (500, 4)
    assert 0.01 < float(outputs.detach().std()) < 1  # SIREN's first weights keep signals alive


def test_the_method_predicts_the_frames_asked_for(tmp_path: Path) -> None:
    clip = open_clip(write_video(tmp_path, frames=4))
    method = Inf(options=QUICK)
    predictions = list(method.predict(clip, [1, 3]))
    assert [one.index for one in predictions] == [1, 3]
    assert all(one.values.shape == SIZE and one.values.min() >= 0 for one in predictions)
    assert method.metadata_bytes(clip) == 6 * 8 * 4 * BITS / 8
    assert method.metadata_bytes(clip) < 0.016 * SIZE[0] * SIZE[1] * BITS / 8
    assert method.key() != Inf(options=InfOptions(steps=3)).key()
