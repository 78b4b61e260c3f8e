"""The chain of the paper's FAGDN: inputs as its authors make them, any CFA phase, resumable."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from small_shots import make_bundle, pan

from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.delivery import folder as delivery
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.rehearsal import rehearse
from rvdtool.errors import BundleError, MismatchError, UsageError
from rvdtool.fagdn.chain import FagdnChain, half_size, pad, zero_padding
from rvdtool.fagdn.network import Fagdn, FagdnConfig
from rvdtool.network.checkpoint import Model, load_model, save_model
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.raw.read import read_raw
from rvdtool.raw.sequence import list_sequence

FRAMES = 8
CONFIG = FagdnConfig(features=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("models") / "small"
    save_model(folder, "fagdn", asdict(CONFIG), Fagdn(CONFIG).state_dict())
    return load_model(folder)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("clip")
    return open_bundle(make_bundle(folder, pan(FRAMES), phase=CfaPhase.GBRG))


class Echo(Fagdn):
    """Returns the previous RAW, and records its inputs."""

    def __init__(self) -> None:
        super().__init__(CONFIG)
        self.inputs: list[tuple[torch.Tensor, ...]] = []

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        self.inputs.append(inputs)
        return inputs[2], []


def a_reference(size: tuple[int, int], phase: CfaPhase = CfaPhase.RGGB) -> RawFrame:
    mosaic = np.random.default_rng(1).integers(300, 16000, size, np.uint16)
    camera = CameraProfile("Acme", (1.0, 1.0, 1.0))
    return RawFrame(mosaic, phase, (256, 256, 256, 256), 16000, 14, camera)


def a_picture(size: tuple[int, int], dtype: Any = np.uint8) -> Any:
    return np.random.default_rng(2).integers(0, np.iinfo(dtype).max, (*size, 3), dtype)


def test_half_size_is_opencvs_bilinear_half() -> None:
    picture = a_picture((50, 70))
    theirs = cv2.resize(picture.astype(np.float32), (35, 25)) / np.float32(255)
    assert np.array_equal(half_size(picture, CfaPhase.RGGB), theirs.transpose(2, 0, 1))


def test_8_and_16_bits_give_equal_inputs() -> None:
    picture = a_picture((50, 70))
    deep = picture.astype(np.uint16) * 257
    assert np.allclose(half_size(picture, CfaPhase.BGGR), half_size(deep, CfaPhase.BGGR))


def test_padding_is_centred_with_an_odd_row_at_the_end() -> None:
    padded = pad(np.ones((1, 29, 64), np.float32))
    assert padded.shape == (1, 32, 64)
    assert padded[0, :, 0].tolist() == [0] + [1] * 29 + [0, 0]


@pytest.mark.parametrize(
    ("rows", "kept"), [(28, range(2, 30)), (29, range(1, 31)), (31, range(32)), (32, range(32))]
)
def test_padding_is_zeroed_by_the_smaller_margin(rows: int, kept: range) -> None:
    zeroed = zero_padding(np.ones((1, 32, 32), np.float32), (rows, 32))
    assert np.flatnonzero(zeroed[0, :, 0]).tolist() == list(kept)


def test_the_networks_inputs_equal_the_authors() -> None:
    size, network = (64, 128), Echo()
    reference, pictures = a_reference(size), [a_picture(size), a_picture(size)[::-1]]
    flow = np.random.default_rng(3).normal(0, 5, (*size, 2)).astype(np.float32)
    chain = FagdnChain(network, reference, pictures[0], lambda index, _: flow)
    chain.step(pictures[1])
    previous, current, raw, moved = (tensor[0].numpy() for tensor in network.inputs[0])
    assert np.array_equal(previous, half_size(pictures[0], CfaPhase.RGGB))
    assert np.array_equal(current, half_size(pictures[1], CfaPhase.RGGB))
    assert raw[1, 3, 5] == np.float32(reference.mosaic[6, 11]) / np.float32(2**14 - 1)
    # dataset.py: divided by the sides, resized, multiplied by the new sides.
    scaled = flow / np.array([128, 64], np.float32)
    theirs = cv2.resize(scaled, (64, 32)) * np.array([64, 32], np.float32)
    assert np.allclose(moved, theirs.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize("phase", CfaPhase)
@pytest.mark.parametrize("size", [(64, 64), (63, 77)])
def test_an_unchanged_raw_is_returned_in_any_phase_and_size(
    phase: CfaPhase, size: tuple[int, int]
) -> None:
    reference = a_reference(size, phase)
    chain = FagdnChain(Echo(), reference, a_picture(size))
    chain.step(a_picture(size))
    chain.step(a_picture(size))
    assert np.abs(chain.values() - reference.mosaic).max() < 0.01
    assert np.array_equal(chain.mosaic(), reference.mosaic)


def test_mosaics_are_rounded_and_within_white() -> None:
    chain = FagdnChain(Echo(), a_reference((64, 64)), a_picture((64, 64)))
    chain.step(a_picture((64, 64)))
    planes = np.full_like(chain.state.planes, 0.5)
    planes[0] = 1
    chain.resume(replace(chain.state, planes=planes))
    assert chain.mosaic()[0, 0] == 16000
    assert chain.mosaic()[1, 1] == 8192  # 8191.5, which truncation would make 8191


def test_sizes_must_be_equal() -> None:
    with pytest.raises(MismatchError, match="must be equal"):
        FagdnChain(Echo(), a_reference((64, 64)), a_picture((64, 66)))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_resumed_run_gives_the_same_bytes(
    bundle: Bundle, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "CHECKPOINT_EVERY", 3)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    options = DerenderOptions(model=model)
    report = derender_to_folder(bundle, whole, options)
    assert report.frames == FRAMES == len(list_sequence(whole))
    first, last = (read_raw(list_sequence(whole)[index]) for index in (0, -1))
    assert np.array_equal(first.mosaic, bundle.references[0].frame.mosaic)
    assert last.phase is CfaPhase.GBRG
    assert last.mosaic.std() > 0

    class StoppedError(Exception):
        pass

    step = FagdnChain.advance

    def until(chain: FagdnChain, seen: Any) -> Any:
        if seen.index == 5:
            raise StoppedError
        return step(chain, seen)

    with monkeypatch.context() as patch, pytest.raises(StoppedError):  # noqa: PT012
        patch.setattr(FagdnChain, "advance", until)
        derender_to_folder(bundle, stopped, options)
    damaged = tmp_path / "damaged"
    shutil.copytree(stopped, damaged)
    (damaged / "clip_000002.dng").unlink()
    for folder, at in ((stopped, 4), (damaged, 0)):
        resumed = derender_to_folder(bundle, folder, replace(options, existing="resume"))
        assert resumed.resumed_at == at
        assert contents(folder) == contents(whole)


def test_a_range_of_frames_is_as_in_the_whole_clip(
    bundle: Bundle, model: Model, tmp_path: Path
) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    options = DerenderOptions(model=model, frames=range(3, 6))
    estimate = rehearse(bundle, part, options)
    assert (estimate.frames, estimate.need.temporary) == (3, 0)
    assert estimate.seconds > 0
    assert not part.exists()
    derender_to_folder(bundle, whole, DerenderOptions(model=model))
    derender_to_folder(bundle, part, options)
    for path in list_sequence(part):
        assert path.read_bytes() == (whole / path.name).read_bytes()
    assert len(list_sequence(part)) == 3


def test_a_gain_is_refused(bundle: Bundle, model: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="doesn't handle gain"):
        derender_to_folder(bundle, tmp_path, DerenderOptions(model=model, gain="fixed"))


def test_the_chain_restarts_at_every_reference(
    bundle: Bundle, model: Model, tmp_path: Path
) -> None:
    first = bundle.references[0]
    two = replace(bundle, references=(first, replace(first, index=5)))
    report = derender_to_folder(two, tmp_path, DerenderOptions(model=model))
    assert report.references == 2
    frames = [read_raw(path).mosaic for path in list_sequence(tmp_path)]
    same = [np.array_equal(frame, frames[0]) for frame in frames]
    assert [index for index, equal in enumerate(same) if equal] == [0, 5]


def test_a_bundle_without_the_raw_of_frame_0_is_refused(
    bundle: Bundle, model: Model, tmp_path: Path
) -> None:
    late = replace(bundle, references=(replace(bundle.references[0], index=2),))
    with pytest.raises(BundleError, match="starts at frame 0"):
        derender_to_folder(late, tmp_path, DerenderOptions(model=model))
