"""Trained models run in the right chains, and their weights are part of the key."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_videos import SIZE, open_clip, write_video

from rvdtool.errors import UsageError
from rvdtool.fagdn.chain import FagdnChain
from rvdtool.network.checkpoint import build_network, load_model, save_model
from rvdtool.raw.bayer import normalise
from rvdtool.reconstruct.chain import Chain
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.methods import find_method
from rvdtool.research.dataset.rvd import write_frame_flow

PUBLISHED = {"features": 2, "warping": True, "confidence_map": True, "gla": True}
FAGDN = {
    "widths": [4, 4, 4, 4],
    "depths": [1, 1, 1, 1],
    "heads": 1,
    "gla": True,
    "full_resolution": True,
    "warping": True,
    "confidence_map": True,
    "anchored": True,
    "calibrated": True,
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkClip:
    return open_clip(write_video(tmp_path_factory.mktemp("rvd"), frames=3))


def save(folder: Path, kind: str, config: dict[str, object], seed: int = 0) -> str:
    torch.manual_seed(seed)
    state = build_network(kind, config, "test").state_dict()  # type: ignore[arg-type]
    save_model(folder, kind, config, state, training={"auxiliary_loss": False})  # type: ignore[arg-type]
    return str(folder)


def test_the_papers_network_runs_in_its_own_chain(clip: BenchmarkClip, tmp_path: Path) -> None:
    name = save(tmp_path / "rvd-part9", "fagdn", PUBLISHED)
    method = find_method(name)
    assert method.name == "rvd-part9"
    switches = {"warping": True, "confidence_map": True, "gla": True, "auxiliary_loss": False}
    assert method.switches == switches
    chain = FagdnChain(load_model(name).network, clip.reference, clip.srgb(0))  # type: ignore[arg-type]
    for prediction in method.predict(clip, [2]):
        chain.step(clip.srgb(prediction.index))
        np.testing.assert_array_equal(prediction.values, chain.values())
        assert prediction.values.dtype == np.float32
    with pytest.raises(UsageError, match="only a CAM"):
        find_method(f"{name}+tuned")


def test_the_papers_network_takes_the_folders_flow(tmp_path: Path) -> None:
    root = write_video(tmp_path / "rvd", frames=3)
    method = find_method(save(tmp_path / "model", "fagdn", PUBLISHED))
    estimated, without = list(method.predict(open_clip(root), [2])), open_clip(root).fingerprint()
    for name in ("000000", "000001"):
        write_frame_flow(root, "clip", name, np.full((*SIZE, 2), 9, np.float32))
    clip = open_clip(root)
    assert clip.fingerprint() != without
    given = list(method.predict(clip, [2]))
    assert not np.array_equal(given[1].values, estimated[1].values)
    half = open_clip(root, half=True)
    assert half.flow(1).shape == (SIZE[0] // 2, SIZE[1] // 2, 2)
    np.testing.assert_allclose(half.flow(1), 4.5)


def test_our_network_runs_in_derenders_chain(clip: BenchmarkClip, tmp_path: Path) -> None:
    """Untrained, it is the fusion."""
    method = find_method(save(tmp_path / "ours", "fagdn-calibrated", FAGDN))
    fusion = find_method("fusion").predict(clip, [1, 2])
    raw = clip.reference
    for ours, plain in zip(method.predict(clip, [1, 2]), fusion, strict=True):
        difference = normalise(ours.values, raw.black, raw.white) - normalise(
            plain.values, raw.black, raw.white
        )
        assert np.abs(difference).mean() < 1e-3
    assert method.switches["anchored"]


def test_our_network_may_be_given_the_true_previous_raw(
    clip: BenchmarkClip, tmp_path: Path
) -> None:
    name = save(tmp_path / "ours", "fagdn-calibrated", FAGDN)
    method = find_method(f"{name}+known-previous")
    assert method.name == "ours+known-previous"
    alone, given = find_method(name).predict(clip, [1, 2]), method.predict(clip, [1, 2])
    for index, (one, two) in enumerate(zip(alone, given, strict=True), start=1):
        # Frame 0, the previous one of frame 1, is known anyway.
        assert np.array_equal(one.values, two.values) == (index == 1)
    # Here by hand: continue from the true RAW of frame 1.
    chain = Chain(clip.reference, clip.srgb(0), network=load_model(name).network)  # type: ignore[arg-type]
    chain.step(clip.srgb(1))
    true = clip.raw(1).mosaic
    chain.resume(replace(chain.state, mosaic=true, variance=np.zeros(SIZE, np.float32)))
    assert np.array_equal(chain.step(clip.srgb(2)).mosaic, two.values)
    papers = save(tmp_path / "fagdn", "fagdn", PUBLISHED)
    with pytest.raises(UsageError, match="only a calibrated FAGDN"):
        find_method(f"{papers}+known-previous")


def test_other_weights_are_another_method(tmp_path: Path) -> None:
    one, other = (
        find_method(save(tmp_path / str(seed) / "model", "fagdn", PUBLISHED, seed))
        for seed in (0, 1)
    )
    assert one.name == other.name
    assert one.key()["model"] != other.key()["model"]
