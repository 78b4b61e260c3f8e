"""CAM works as in its paper: superpixels, one sample each, fine-tuning on the samples."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_videos import BITS, SIZE, open_clip, write_video
from torch import Tensor

from rvdtool.errors import UsageError
from rvdtool.network.checkpoint import load_model, save_model
from rvdtool.research.benchmark.cam import CamMethod, reconstruct
from rvdtool.research.peers.cam import (
    OFFSETS,
    Cam,
    CamConfig,
    CamLossOptions,
    _gather,
    _slic_loss,
    _spread,
    cam_loss,
    pick,
    sample_loss,
)

CELL = 8
OWN = OFFSETS.index((0, 0))


def small_cam(features: int = 4) -> Cam:
    torch.manual_seed(0)
    return Cam(CamConfig(features=features)).eval()


def images(side: int = 32, batch: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Smooth pictures whose RAW is a function of them."""
    torch.manual_seed(seed)
    coarse = torch.rand(batch, 3, 4, 4)
    srgb = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic").clamp(0, 1)
    return srgb, srgb[:, [0, 1, 1, 2]] ** 2.2 * torch.tensor([0.5, 0.9, 0.9, 0.6])[:, None, None]


def random_affinity(side: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return torch.softmax(2 * torch.randn(2, 9, side, side), 1)


def surest(affinity: Tensor, row: int, column: int) -> tuple[int, int]:
    """By a loop over pixels: the pixel around a cell with the highest affinity to it."""
    side = affinity.shape[-1]
    best = {
        (y, x): float(affinity[OFFSETS.index((row - y // CELL, column - x // CELL)), y, x])
        for y in range(side)
        for x in range(side)
        if abs(row - y // CELL) <= 1 and abs(column - x // CELL) <= 1
    }
    return max(best, key=lambda place: best[place])


def test_one_pixel_is_picked_for_every_superpixel() -> None:
    affinity = random_affinity(40)
    mask = pick(affinity, CELL)
    for image in range(2):
        expected = {surest(affinity[image], row, column) for row in range(5) for column in range(5)}
        assert {tuple(place) for place in mask[image, 0].nonzero().tolist()} == expected
        assert 24 <= len(expected) <= 25  # one pixel may be the surest of two


def test_exactly_one_pixel_a_cell_where_superpixels_are_cells() -> None:
    torch.manual_seed(1)
    logits = torch.randn(1, 9, 64, 48)
    logits[:, OWN] += 20
    mask = pick(torch.softmax(logits, 1), CELL)
    per_cell = torch.nn.functional.avg_pool2d(mask, CELL) * CELL * CELL
    torch.testing.assert_close(per_cell, torch.ones(1, 1, 8, 6))
    assert float(mask.mean()) == 0.015625


def test_what_the_mask_should_do_better_reaches_the_sampler() -> None:
    affinity = random_affinity(16).requires_grad_()
    weight = torch.linspace(-3, 3, 16 * 16).view(1, 1, 16, 16)
    mask = pick(affinity, CELL)
    (mask * weight).sum().backward()
    # Straight through, clipped: each picked pixel's affinity is pushed by its weight.
    expected = (mask * weight.clamp(-1, 1)).detach().abs().sum()
    assert float(affinity.grad.abs().sum()) >= float(expected) > 0
    assert float(affinity.grad.abs().max()) <= 1


def test_superpixels_are_means_by_affinity() -> None:
    affinity, features = random_affinity(24, seed=2), torch.rand(2, 3, 24, 24)
    means = _gather(features, affinity, CELL)
    total, weight = torch.zeros(2, 3), torch.zeros(2, 1)
    for y in range(24):  # the superpixel in the middle is in reach of every pixel
        for x in range(24):
            share = affinity[:, OFFSETS.index((1 - y // CELL, 1 - x // CELL)), y, x, None]
            total, weight = total + share * features[:, :, y, x], weight + share
    torch.testing.assert_close(means[:, :, 1, 1], total / weight, rtol=1e-4, atol=1e-5)
    back = _spread(means, affinity, CELL)
    y, x = 9, 14
    expected = sum(
        affinity[:, k, y, x, None] * means[:, :, y // CELL + row, x // CELL + column]
        for k, (row, column) in enumerate(OFFSETS)
    )
    torch.testing.assert_close(back[:, :, y, x], expected)


def test_the_superpixel_loss_of_perfect_superpixels_is_their_extent() -> None:
    color = torch.rand(1, 7, 3, 3).repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)
    affinity = torch.zeros(1, 9, 24, 24)
    affinity[:, OWN] = 1
    options = CamLossOptions(compactness=1.0)
    loss = _slic_loss(affinity, color[:, :3], color[:, 3:], CELL, options)
    assert float(loss) == pytest.approx((CELL**2 - 1) / 12 / CELL**2, rel=1e-3)


def test_training_lowers_every_term() -> None:
    network, (srgb, raw) = small_cam().train(), images(batch=2)
    adam = torch.optim.Adam(network.parameters(), 1e-2)
    totals = []
    for _ in range(15):
        adam.zero_grad()
        losses = cam_loss(network, srgb, raw)
        losses.total.backward()
        adam.step()
        totals.append((float(losses.reconstruction.detach()), float(losses.meta.detach())))
    assert totals[-1][0] < 0.7 * totals[0][0]
    assert totals[-1][1] < 0.7 * totals[0][1]


def test_the_sampler_learns_from_the_reconstruction() -> None:
    network, (srgb, raw) = small_cam().train(), images()
    cam_loss(network, srgb, raw, CamLossOptions(slic=0, meta=0)).total.backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in network.sampler.head.parameters())


def test_the_meta_term_is_the_loss_after_fine_tuning() -> None:
    """It reduces the error where there are no samples, and can be left out."""
    network, (srgb, raw) = small_cam().train(), images()
    assert float(cam_loss(network, srgb, raw, CamLossOptions(meta=0)).meta) == 0
    torch.manual_seed(3)
    none = cam_loss(network, srgb, raw, CamLossOptions(inner_steps=0)).meta
    torch.manual_seed(3)
    some = cam_loss(network, srgb, raw, CamLossOptions(inner_rate=1.0)).meta
    assert some.item() < none.item()


def test_patches_that_no_cell_fits_are_refused() -> None:
    network, (srgb, raw) = small_cam(), images(side=24)
    with pytest.raises(UsageError, match="multiples of 16; got 24×24"):
        cam_loss(network, srgb, raw)


def test_fine_tuning_improves_on_its_samples_and_leaves_the_network_alone() -> None:
    network, (srgb, raw) = small_cam(), images()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    _, mask, _ = network(srgb, raw)
    plain, tuned = (reconstruct(network, srgb, raw, tuned=tuned) for tuned in (False, True))
    losses = [sample_loss(result, raw, mask).item() for result in (plain, tuned)]
    assert losses[1] < losses[0]
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("size", [(32, 48), (25, 37)])
def test_frames_of_any_size_come_back_whole(size: tuple[int, int]) -> None:
    network = small_cam()
    result = reconstruct(network, torch.rand(1, 3, *size), torch.rand(1, 4, *size), tuned=False)
    assert result.shape == (1, 4, *size)


def test_the_camera_stores_four_values_and_a_place_a_sample(tmp_path: Path) -> None:
    clip = open_clip(write_video(tmp_path / "rvd", frames=3))
    network = small_cam()
    save_model(tmp_path / "cam-a", "cam", {"features": 4, "cell": 8}, network.state_dict())
    model = load_model(tmp_path / "cam-a")
    plain, tuned = CamMethod(model, tuned=False), CamMethod(model, tuned=True)
    assert (plain.name, tuned.name) == ("cam-a", "cam-a+tuned")
    samples = SIZE[0] // 16 * SIZE[1] // 16
    assert plain.metadata_bytes(clip) == samples * (4 * BITS + 10) / 8  # 3×3 cells of 64: 576
    predictions = list(plain.predict(clip, [2]))
    assert [one.index for one in predictions] == [2]
    assert predictions[0].values.shape == SIZE
    again = next(iter(CamMethod(model, tuned=False).predict(clip, [2]))).values
    np.testing.assert_array_equal(predictions[0].values, again)
    assert plain.key() != tuned.key()
    assert plain.key()["model"] == model.sha256
