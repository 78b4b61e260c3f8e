"""Grain: the sensor's noise where it is missing, repeatable, and never added to a true RAW."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from numpy.typing import NDArray
from small_shots import BLACK, CAMERA, WHITE, make_bundle, pan

from rvdtool.bundle.store import open_bundle
from rvdtool.delivery import folder as folder_module
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.grain import ReferenceNoise, with_grain
from rvdtool.delivery.options import DerenderOptions
from rvdtool.errors import OutputError
from rvdtool.raw.bayer import denormalise, normalise
from rvdtool.raw.frame import CfaPhase, RawFrame, Tag
from rvdtool.reconstruct.references import Result

SIZE = (256, 384)
SLOPE, OFFSET = 2e-4, 4e-5
"""Noise of a well-lit small sensor: two to four DN of 4000."""


def ramp() -> NDArray[np.float32]:
    return np.tile(np.linspace(0.02, 0.7, SIZE[1], dtype=np.float32), (SIZE[0], 1))


def noisy(light: NDArray[np.float32], seed: int = 1) -> NDArray[np.float32]:
    draw = np.random.default_rng(seed).standard_normal(light.shape, np.float32)
    return light + draw * np.sqrt(SLOPE * light + OFFSET)


def frame(light: NDArray[np.float32], *tags: Tag, phase: CfaPhase = CfaPhase.RGGB) -> RawFrame:
    values = denormalise(light, BLACK, WHITE)
    return RawFrame(values, phase, BLACK, WHITE, 12, replace(CAMERA, tags=tags))


def profile(*pairs: float) -> Tag:
    return Tag(51041, 12, len(pairs), pairs)


def test_noise_is_measured_where_the_raw_does_not_state_it() -> None:
    light = ramp()
    textured = light.copy()
    stripes = np.random.default_rng(2).uniform(0.6, 1.4, (SIZE[0], 100)).astype(np.float32)
    textured[:, 240:340] *= stripes  # a brightness that is nowhere flat
    for scene, tolerance in ((light, 0.1), (textured, 0.2)):
        noise = ReferenceNoise.of(frame(noisy(scene)))
        assert not noise.stated
        expected = SLOPE * light + OFFSET
        np.testing.assert_allclose(noise.variance(light) / expected, 1, atol=tolerance)


@pytest.mark.parametrize("phase", list(CfaPhase))
def test_a_noise_profile_is_by_color(phase: CfaPhase) -> None:
    half = np.full((32, 48), 0.5, np.float32)
    pairs = (1e-4, 1e-6, 2e-4, 2e-6, 4e-4, 4e-6)
    noise = ReferenceNoise.of(frame(half, profile(*pairs), phase=phase))
    assert noise.stated
    by_color = [slope / 2 + offset for slope, offset in zip(pairs[::2], pairs[1::2], strict=True)]
    cell = np.array(by_color)[phase.pattern]
    np.testing.assert_allclose(noise.variance(half)[:2, :2], cell, rtol=2e-3)
    one = ReferenceNoise.of(frame(half, profile(1e-4, 1e-6), phase=phase))
    np.testing.assert_allclose(one.variance(half), 5.1e-5, rtol=2e-3)


@pytest.mark.parametrize("pairs", [(np.nan, 0.0), (-1e-4, 0.0), (2.0, 0.0), (1e-4,) * 8])
def test_implausible_noise_is_not_used(pairs: tuple[float, ...]) -> None:
    noise = ReferenceNoise.of(frame(noisy(ramp()), profile(*pairs)))
    assert not noise.stated
    assert np.isfinite(noise.variance(ramp())).all()


def test_only_what_is_missing_is_added() -> None:
    light, sensor = ramp(), profile(SLOPE, OFFSET)
    half = light.copy()
    half[SIZE[0] // 2 :] = noisy(light)[SIZE[0] // 2 :]  # as if copied from a true RAW
    white = half.copy()
    white[:40, :40] = 1.0
    made = frame(white, sensor)
    grained = with_grain(made, ReferenceNoise.of(made), 5)
    values = normalise(grained.mosaic, grained.black, grained.white)
    assert (grained.mosaic[:40, :40] == WHITE).all()
    relative = (values - light) ** 2 / (SLOPE * light + OFFSET)
    assert relative[:80, 80:].mean() == pytest.approx(1, abs=0.05)
    assert relative[-80:].mean() == pytest.approx(1, abs=0.1)
    added = values[-80:] - normalise(made.mosaic, made.black, made.white)[-80:]
    assert (added**2 / (SLOPE * light + OFFSET)[-80:]).mean() < 0.2
    assert abs((values - light)[:80, 80:].mean()) < 2e-4


def test_every_frame_has_grain_of_its_own_the_same_each_time() -> None:
    made = frame(ramp(), profile(SLOPE, OFFSET))
    noise = ReferenceNoise.of(made)
    one, again, other = (with_grain(made, noise, index).mosaic for index in (3, 3, 4))
    assert (one == again).all()
    both = [part.astype(float) - made.mosaic for part in (one, other)]
    assert abs(np.corrcoef(both[0].ravel(), both[1].ravel())[0, 1]) < 0.02


def test_a_run_with_grain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make_bundle(tmp_path, pan(6))
    plain, grain, resumed = (tmp_path / name for name in ("plain", "grain", "resumed"))
    for options in ((plain,), (grain, "--grain")):
        assert run("derender", bundle, "-o", *options, "--model", "none", "--json") == 0
        told, said = capsys.readouterr()
        assert json.loads(told)["grain"] is ("--grain" in options)
        assert ("noise of first.dng, from measurements in it" in said) is ("--grain" in options)
    written = [{one.name: one.read_bytes() for one in it.glob("*.dng")} for it in (plain, grain)]
    same = [name for name in written[0] if written[0][name] == written[1][name]]
    assert same == ["clip_000000.dng"]  # the true RAW stays as it is
    assert b"--grain" not in written[1]["clip_000000.dng"]
    assert b"noise of the sensor added by rvdtool derender --grain" in written[1]["clip_000003.dng"]

    def stop(result: Result) -> None:
        if result.index == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(folder_module, "CHECKPOINT_EVERY", 3)
    with pytest.raises(KeyboardInterrupt):
        derender_to_folder(open_bundle(bundle), resumed, DerenderOptions(grain=True), watch=stop)
    with pytest.raises(OutputError, match="with other options"):
        derender_to_folder(open_bundle(bundle), resumed, DerenderOptions(existing="resume"))
    again = DerenderOptions(grain=True, existing="resume")
    report = derender_to_folder(open_bundle(bundle), resumed, again)
    assert report.resumed_at == 4
    assert {one.name: one.read_bytes() for one in resumed.glob("*.dng")} == written[1]
