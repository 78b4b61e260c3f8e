"""Training-free methods on a small clip."""

from pathlib import Path

import numpy as np
import pytest
from small_videos import BITS, NOISE, SIZE, WHITE, open_clip, psnr, write_video

import rvdtool
from rvdtool.errors import UsageError
from rvdtool.reconstruct.chain import Chain
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.methods import NAMES, UNTRAINED, find_method
from rvdtool.research.fingerprint import code_fingerprint


@pytest.fixture(scope="module")
def pan(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkClip:
    return open_clip(write_video(tmp_path_factory.mktemp("pan"), frames=4))


def mean_psnr(clip: BenchmarkClip, name: str) -> float:
    predictions = list(find_method(name).predict(clip, range(1, len(clip))))
    assert [one.index for one in predictions] == list(range(1, len(clip)))
    peak = 2**BITS - 1
    return float(
        np.mean([psnr(one.values, clip.raw(one.index).mosaic, peak) for one in predictions])
    )


def test_copy_warp_follows_motion(pan: BenchmarkClip) -> None:
    peak = 2**BITS - 1
    still = np.mean([psnr(pan.raw(0).mosaic, pan.raw(i).mosaic, peak) for i in (1, 2, 3)])
    assert mean_psnr(pan, "copy-warp") > still + 6


def test_copy_warp_of_a_still_scene_is_the_first_frame(tmp_path: Path) -> None:
    clip = open_clip(write_video(tmp_path, frames=3, step=(0, 0)))
    *_, last = find_method("copy-warp").predict(clip, [2])
    np.testing.assert_allclose(last.values, clip.raw(0).mosaic, atol=1e-2)


def test_the_inverse_isp_knows_colours(pan: BenchmarkClip) -> None:
    """Its error is about that of the RAW's noise and eight bits."""
    noise = 20 * np.log10((2**BITS - 1) / (NOISE * (WHITE - 65)))
    assert mean_psnr(pan, "inverse-isp") > noise - 6


def test_fusion_is_what_derender_does(pan: BenchmarkClip) -> None:
    chain = Chain(pan.reference, pan.srgb(0))
    for prediction in find_method("fusion").predict(pan, range(1, len(pan))):
        state = chain.step(pan.srgb(prediction.index)).state
        np.testing.assert_array_equal(prediction.values, state.mosaic)
        assert prediction.values.dtype == np.uint16


def test_fusion_is_above_its_parts(pan: BenchmarkClip) -> None:
    fusion = mean_psnr(pan, "fusion")
    parts = [name for name in NAMES if name not in (*UNTRAINED, "inf")]
    assert len(parts) == 5
    for name in (*parts, "copy-warp", "inverse-isp"):
        assert mean_psnr(pan, name) < fusion + 0.3, name


def test_seconds_are_told_and_the_first_frame_is_shared(pan: BenchmarkClip) -> None:
    for name in UNTRAINED:
        method = find_method(name)
        assert all(one.seconds > 0 for one in method.predict(pan, range(1, 4)))
        assert method.metadata_bytes(pan) == SIZE[0] * SIZE[1] * BITS / 8 / 4


@pytest.mark.parametrize("name", ["fuson", "models/none", "fusion+tuned"])
def test_what_is_no_method_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name.replace('+', '.')}: neither a method .copy-warp"):
        find_method(name)


def test_the_code_is_part_of_the_key() -> None:
    one, other = code_fingerprint(["reconstruct"]), code_fingerprint(["reconstruct.flow"])
    assert one != other
    assert find_method("fusion").key()["code"] != find_method("copy-warp").key()["code"]


def test_what_a_package_has_learned_is_part_of_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rvdtool, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "reconstruct").mkdir()
    (tmp_path / "reconstruct" / "chain.py").write_text("")
    before = code_fingerprint(["reconstruct"])
    (tmp_path / "reconstruct" / "learned.npz").write_bytes(b"weights")
    assert code_fingerprint(["reconstruct"]) != before


def test_every_method_names_code_that_exists() -> None:
    for name in NAMES:
        assert len(find_method(name).key()["code"]) == 64
