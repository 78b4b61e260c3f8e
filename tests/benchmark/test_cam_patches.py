"""CAM's training patches are what the benchmark will show it."""

from itertools import islice
from pathlib import Path

import pytest
import torch
from small_videos import open_clip, write_video

from rvdtool.benchmark.packed import pack
from rvdtool.dataset.loader import Run
from rvdtool.dataset.rvd import open_rvd
from rvdtool.errors import UsageError
from rvdtool.network.cam import Cam, CamConfig, CamLossOptions, cam_loss
from rvdtool.raw.bayer import to_planes
from rvdtool.raw.frame import CfaPhase
from rvdtool.training.cam import cam_batches, collate


def test_a_frame_becomes_what_the_benchmark_packs(tmp_path: Path) -> None:
    clip = open_clip(write_video(tmp_path, frames=2))
    raw, picture = clip.raw(1), clip.srgb(1)
    planes = to_planes(raw.mosaic, raw.phase)
    run = Run("clip", 1, planes[None], picture[None], None, clip.folder.camera(clip.video))
    patches, packed = collate([run, run]), pack(picture, raw)
    for one in range(2):
        torch.testing.assert_close(patches.srgb[one], torch.from_numpy(packed.srgb))
        torch.testing.assert_close(patches.raw[one], torch.from_numpy(packed.raw))


def test_the_same_seed_gives_the_same_patches(tmp_path: Path) -> None:
    write_video(tmp_path, frames=2)
    folder = open_rvd(write_video(tmp_path, "other", frames=2, phase=CfaPhase.GBRG, seed=2))
    one, same = (list(islice(cam_batches(folder, batch=2, side=16), 2)) for _ in range(2))
    for left, right in zip(one, same, strict=True):
        torch.testing.assert_close(left.raw, right.raw, rtol=0, atol=0)
    other = next(cam_batches(folder, batch=2, side=16, seed=1))
    assert not torch.equal(one[0].raw, other.raw)


def test_the_loss_takes_them(tmp_path: Path) -> None:
    patches = next(cam_batches(open_rvd(write_video(tmp_path, frames=2)), batch=2, side=16))
    torch.manual_seed(0)
    losses = cam_loss(Cam(CamConfig(features=2)), patches.srgb, patches.raw, CamLossOptions(meta=0))
    assert 0 < float(losses.reconstruction.detach()) < 1


def test_a_patch_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder = open_rvd(write_video(tmp_path, frames=2))
    with pytest.raises(UsageError, match="doesn't fit"):
        next(cam_batches(folder, side=128))
