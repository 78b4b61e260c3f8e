"""The inputs of each task's network, and its losses and scores."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from small_runs import TINY, make, write_folder

from rvdtool.errors import UsageError
from rvdtool.evaluate.metrics import psnr
from rvdtool.fagdn.chain import FagdnChain
from rvdtool.fagdn.network import Fagdn, FagdnConfig
from rvdtool.network.calibrated import SMALL
from rvdtool.raw.bayer import to_planes
from rvdtool.raw.frame import CfaPhase
from rvdtool.research.benchmark.packed import pack
from rvdtool.research.dataset.loader import Snippet
from rvdtool.research.dataset.rvd import RvdFolder, open_rvd, write_frame_flow
from rvdtool.research.training import cam
from rvdtool.research.training import fagdn as published
from rvdtool.research.training.calibrated import CalibratedTask
from rvdtool.research.training.fagdn import FagdnTask, mse_and_ssim
from rvdtool.research.training.pairs import flow_to_next, read_batches, score
from rvdtool.research.training.presets import Overrides, make_task


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RvdFolder:
    """Videos v0 (RGGB) and v1 (another phase)."""
    return write_folder(tmp_path_factory.mktemp("set") / "videos")


def whole_snippet(folder: RvdFolder, *, flow: bool = False) -> Snippet:
    """Frames 0 and 1 of v0, uncropped, as it is RGGB."""
    video = folder.videos[0]
    camera = folder.camera(video)
    assert camera.phase is CfaPhase.RGGB
    rgb = [folder.read_srgb(video, k) for k in range(2)]
    planes = [to_planes(folder.read_raw(video, k), camera.phase) for k in range(2)]
    flows = flow_to_next(folder, video, 0, *rgb)[None] if flow else None
    return Snippet(video.video_name, 0, np.stack(planes), np.stack(rgb), flows, camera)


def test_cam_sees_what_the_benchmark_shows_it(folder: RvdFolder) -> None:
    video = folder.videos[0]
    batch = cam.collate([whole_snippet(folder)])
    packed = pack(folder.read_srgb(video, 0), folder.read_first(video))
    torch.testing.assert_close(batch.srgb[0], torch.from_numpy(packed.srgb))
    torch.testing.assert_close(batch.raw[0], torch.from_numpy(packed.raw))


def test_the_papers_network_gets_the_inputs_of_its_chain(folder: RvdFolder) -> None:
    video = folder.videos[0]
    batch = published.collate([whole_snippet(folder, flow=True)])
    network = Fagdn(FagdnConfig(features=2)).eval()
    chain = FagdnChain(network, folder.read_first(video), folder.read_srgb(video, 0))
    seen = chain.observe(folder.read_srgb(video, 1))
    height, width = batch.true.shape[-2:]
    top, left = (seen.srgb.shape[1] - height) // 2, (seen.srgb.shape[2] - width) // 2

    def inner(planes: Any) -> torch.Tensor:
        return torch.from_numpy(planes[:, top : top + height, left : left + width].copy())

    torch.testing.assert_close(batch.from_rgb[0], inner(chain.state.srgb))
    torch.testing.assert_close(batch.from_raw[0], inner(chain.state.planes))
    torch.testing.assert_close(batch.to_rgb[0], inner(seen.srgb))
    torch.testing.assert_close(batch.flow[0], inner(seen.flow))
    true = to_planes(folder.read_raw(video, 1), CfaPhase.RGGB) / np.float32(2**12 - 1)
    torch.testing.assert_close(batch.true[0], torch.from_numpy(true.astype(np.float32)))


def test_the_folders_own_flow_is_taken(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "videos", videos=1, frames=2)
    size = folder.read_raw(folder.videos[0], 0).shape
    write_frame_flow(folder.root, "v0", "000000", np.full((*size, 2), (3, 1), np.float32))
    flow = published.collate([whole_snippet(folder, flow=True)]).flow
    assert (flow[0, 0] == 1.5).all()
    assert (flow[0, 1] == 0.5).all()


@pytest.mark.parametrize("start", [0, 2])
def test_processes_share_the_batches_of_one(folder: RvdFolder, start: int) -> None:
    """A step's batch doesn't depend on the number of earlier steps in this session."""

    def batches(batch: int, **share: int) -> list[list[Snippet]]:
        settings = replace(TINY, batch=batch)
        return list(islice(read_batches([folder], settings, length=1, **share), 4 - start))

    one = list(islice(read_batches([folder], replace(TINY, batch=4), length=1), start, 4))
    for rank in range(2):
        for whole, half in zip(one, batches(2, step=start, rank=rank, processes=2), strict=True):
            for left, right in zip(whole[rank::2], half, strict=True):
                np.testing.assert_array_equal(left.planes, right.planes)


def test_all_folders_are_one_set(folder: RvdFolder, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other", videos=1, frames=2)
    other = replace(other, videos=(other.videos[0],))
    snippets = islice(read_batches([folder, other], TINY, length=2, flow=False), 8)
    lengths = {(snippet.video, snippet.planes.shape) for batch in snippets for snippet in batch}
    assert {name for name, _ in lengths} == {"v0", "v1"}


def test_ssim_is_skimages_over_3x3_windows() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.uniform(0, 1, (2, 12, 15))
    padded = [np.pad(image, 1, mode="reflect") for image in (one, two)]
    _, each = structural_similarity(
        *padded, win_size=3, data_range=1, use_sample_covariance=False, full=True
    )
    tensors = [torch.from_numpy(image)[None, None] for image in (one, two)]
    mse, ssim = mse_and_ssim(*tensors)
    assert float(ssim) == pytest.approx(((1 - each[1:-1, 1:-1]) / 2).mean(), abs=1e-9)
    assert float(mse) == pytest.approx(((one - two) ** 2).mean(), abs=1e-12)


def test_the_paper_sums_the_side_outputs_and_the_code_averages_them(folder: RvdFolder) -> None:
    batch = published.collate([whole_snippet(folder, flow=True)])
    batch = published.PairBatch(*(tensor[..., :32, :32] for tensor in batch))
    network = Fagdn(FagdnConfig(features=2)).eval()
    outcomes = [
        FagdnTask([folder], None, TINY, as_code=as_code, without=without).loss(network, batch)
        for as_code, without in ((False, ()), (True, ()), (False, ("auxiliary_loss",)))
    ]
    (mse, ssim, total), (_, _, mean), (_, _, none) = (one.figures.tolist() for one in outcomes)
    assert total == pytest.approx(3 * mean)
    assert none == 0
    for outcome, auxiliary in zip(outcomes, (total, mean, 0), strict=True):
        assert float(outcome.loss.detach()) == pytest.approx(mse + ssim + 0.5 * auxiliary)


def test_the_papers_schedule(folder: RvdFolder, tmp_path: Path) -> None:
    """Two videos of 4 frames: 6 pairs per epoch."""
    paper = make_task("paper", [folder], None, tmp_path, Overrides(batch=2))
    assert paper.settings.steps == 60 * 6 // 2
    assert make_task("paper", [folder], None, tmp_path, Overrides(batch=2), 3).settings.steps == 60
    rates = [paper.rate_at(step) for step in (0, 59, 60, 119, 120, 179)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    code = make_task("fagdn-code", [folder], None, tmp_path, Overrides())
    assert (code.settings.rate, code.settings.batch) == (2e-3, 2)
    assert (
        make_task("cam", [folder], None, tmp_path, Overrides(epochs=0.5, batch=1)).settings.steps
        == 3
    )


def test_parts_are_left_out_by_name(folder: RvdFolder, tmp_path: Path) -> None:
    def task(preset: str, *without: str) -> Any:
        return make_task(preset, [folder], None, tmp_path, Overrides(without=without))

    bare = task("paper", "warping", "gla")
    assert bare.config == FagdnConfig(warping=False, confidence_map=False, gla=False)
    assert not task("fagdn-calibrated", "anchored").config.anchored
    assert task("fagdn-calibrated", "chained").switches == {"chained": False}
    with pytest.raises(UsageError, match="full_resolution"):
        task("fagdn-calibrated", "meta")


def test_the_small_network_is_less_than_a_third_of_ours(folder: RvdFolder, tmp_path: Path) -> None:
    ours, small = (
        make_task(preset, [folder], None, tmp_path, Overrides())
        for preset in ("fagdn-calibrated", "fagdn-calibrated-small")
    )
    assert isinstance(small, CalibratedTask)
    assert small.config == SMALL
    assert small.settings == ours.settings
    sizes = [
        sum(parameter.numel() for parameter in task.make_network().parameters())
        for task in (ours, small)
    ]
    assert 3 * sizes[1] < sizes[0] < 3_000_000


def test_parts_are_added_by_name(folder: RvdFolder, tmp_path: Path) -> None:
    def task(preset: str, *also: str) -> Any:
        return make_task(preset, [folder], None, tmp_path, Overrides(also=also))

    assert not task("fagdn-calibrated").config.gla
    assert task("fagdn-calibrated", "gla").config.gla
    with pytest.raises(UsageError, match="gla"):
        task("fagdn-calibrated", "anchored")
    with pytest.raises(UsageError, match="nothing can"):
        task("paper", "gla")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (Overrides(crop=66), "multiples"),
        (Overrides(steps=3, epochs=1), "not both"),
        (Overrides(batch=0), "batch"),
    ],
)
@pytest.mark.parametrize("preset", ["paper", "cam", "fagdn-calibrated", "fagdn-calibrated-small"])
def test_impossible_overrides_are_refused(
    folder: RvdFolder, tmp_path: Path, preset: str, overrides: Overrides, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        make_task(preset, [folder], None, tmp_path, overrides)


def test_an_unknown_preset_names_those_there_are(folder: RvdFolder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fagdn-code"):
        make_task("papers", [folder], None, tmp_path, Overrides())


def test_score_is_the_published_psnr() -> None:
    rng = np.random.default_rng(0)
    one, two = (rng.integers(0, 4096, (6, 8)).astype(np.uint16) for _ in range(2))
    expected = psnr(one / 4095, two / 4095, peak=1.0)
    assert score(one, two, 12) == pytest.approx(expected)
    assert score(one, one, 12) == 120


@pytest.mark.parametrize("kind", ["fagdn", "cam"])
def test_training_lowers_the_loss_on_one_crop(kind: str, folder: RvdFolder, tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = make(kind, open_rvd(folder.root), tmp_path, replace(TINY, rate=1e-2, steps=30))
    network = task.make_network()
    optimizer = task.make_optimizer(network)
    task.begin(0, 0, 1)
    batch = task.next_batch()
    losses = []
    for _ in range(30):
        outcome = task.loss(network, batch)
        optimizer.zero_grad()
        torch.autograd.backward(outcome.loss)
        optimizer.step()
        losses.append(float(outcome.loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
