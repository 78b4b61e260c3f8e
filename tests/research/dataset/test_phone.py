"""The phone-like ISP: tone depends on position, content and time, and white is below 255."""

from collections.abc import Callable
from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from plain_isp import PLAIN

from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.research.dataset.isp import develop
from rvdtool.research.dataset.phone import Phone, denoise_over_time, roll_off
from rvdtool.research.dataset.recipe import Light, PhoneIsp, Recipe
from rvdtool.research.dataset.scene import SourceFolders
from rvdtool.research.dataset.simulate import Simulation

Rgb8 = NDArray[np.uint8]

PLAIN_PHONE = PhoneIsp(
    kind="phone", camera=PLAIN, temporal_denoise=0, auto_gain=0, compression=0, detail=1, white=1
)


def _frame(gray: NDArray[np.float64]) -> RawFrame:
    """A noise-free RAW frame of a grey picture, by a camera that sees linear sRGB."""
    xyz_to_srgb = (
        (3.2406, -1.5372, -0.4986),
        (-0.9689, 1.8758, 0.0415),
        (0.0557, -0.2040, 1.0570),
    )
    profile = CameraProfile("Test", (1.0, 1.0, 1.0), color_matrix=xyz_to_srgb)
    dn = np.rint(np.clip(gray, 0, 1) * 15000 + 600).astype(np.uint16)
    return RawFrame(dn, CfaPhase.RGGB, (600,) * 4, 15600, 14, profile)


def _halves(left: float, right: float) -> RawFrame:
    gray = np.full((128, 192), left)
    gray[:, 96:] = right
    return _frame(gray)


def _shown(isp: PhoneIsp, *frames: RawFrame) -> list[Rgb8]:
    phone = Phone(isp, Light(), Fraction(24))
    return [phone.render(frame, index) for index, frame in enumerate(frames)]


def _with(**changes: object) -> PhoneIsp:
    return PLAIN_PHONE.model_validate(PLAIN_PHONE.model_dump() | changes)


def test_without_its_tricks_it_is_the_camera_below_the_roll_off() -> None:
    frame = _halves(0.1, 0.4)
    (shown,) = _shown(PLAIN_PHONE, frame)
    assert np.abs(shown.astype(int) - develop(frame, PLAIN, 0, Light())).max() <= 1


@pytest.mark.parametrize("changes", [{"compression": 0.6}, {"exposures": 3, "exposure_step": 2.5}])
def test_compression_and_fusion_bring_dark_and_bright_areas_together(
    changes: dict[str, float],
) -> None:
    frame = _halves(0.02, 0.9)
    plain, mapped = (_shown(isp, frame)[0].astype(int) for isp in (PLAIN_PHONE, _with(**changes)))
    assert mapped[64, 30, 1] > plain[64, 30, 1] + 15
    assert mapped[64, 160, 1] < plain[64, 160, 1] - 8


def test_what_is_clipped_in_the_raw_frame_lies_below_255() -> None:
    (shown,) = _shown(_with(white=0.9), _halves(0.2, 1.0))
    assert 180 < shown[64, 160].max() < 0.9 * 255


def test_roll_off_rises_and_stays_below_its_limit() -> None:
    coded = roll_off(np.linspace(0, 1.5, 500, dtype=np.float32), 0.85)
    assert np.all(np.diff(coded) > 0)
    np.testing.assert_allclose(coded[:200], np.linspace(0, 1.5, 500)[:200], atol=1e-6)
    assert coded.max() < 0.85


def test_tone_follows_a_change_of_content_slowly_and_arrives() -> None:
    before, after = _halves(0.1, 0.1), _halves(0.1, 0.9)
    isp = _with(compression=0.5, auto_gain=0.5, settle=0.25)
    frames = _shown(isp, before, *[after] * 40)
    (alone,) = _shown(isp, after)
    left = [int(frame[64, 20, 1]) for frame in frames]
    assert abs(left[1] - left[0]) < abs(left[6] - left[0]) < abs(left[-1] - left[0])
    assert np.abs(frames[-1].astype(int) - alone).max() <= 1


def test_a_face_is_lit_once_it_is_found_and_sky_is_dimmed_at_the_top() -> None:
    grey, bright = _halves(0.2, 0.2), _halves(0.8, 0.8)
    lit = _shown(_with(face=0.6, face_start=2, settle=0.04), *[grey] * 8)
    assert lit[1][64, 96, 1] == lit[0][64, 96, 1]
    assert lit[7][64, 96, 1] > lit[0][64, 96, 1] + 15
    assert abs(int(lit[7][2, 2, 1]) - int(lit[0][2, 2, 1])) <= 1
    (sky,) = _shown(_with(sky=-0.8), bright)
    (plain,) = _shown(PLAIN_PHONE, bright)
    assert sky[4, 96, 1] < plain[4, 96, 1] - 15
    assert abs(int(sky[-4, 96, 1]) - int(plain[-4, 96, 1])) <= 1


def _texture(rng: np.random.Generator) -> NDArray[np.float32]:
    gray = cv2.GaussianBlur(rng.uniform(size=(96, 128)), (0, 0), 2)
    return np.repeat(gray[..., None], 3, axis=2).astype(np.float32)


def test_denoising_over_time_takes_noise_and_keeps_what_is_new() -> None:
    rng = np.random.default_rng(0)
    clean = _texture(rng)
    before, now = (clean + rng.normal(0, 0.004, clean.shape).astype(np.float32) for _ in range(2))
    now[20:40, 80:100] = 1
    quiet = denoise_over_time(now, before, 0.6)
    # √(0.4² + 0.6²) = 0.72, if both pictures counted everywhere.
    assert np.abs(quiet - clean)[:, :70].mean() < 0.85 * np.abs(now - clean)[:, :70].mean()
    np.testing.assert_allclose(quiet[24:36, 84:96], 1, atol=1e-3)


def test_denoising_over_time_follows_a_shift() -> None:
    clean = _texture(np.random.default_rng(0))
    now = np.roll(clean, (2, 3), (0, 1))
    inner = np.s_[8:-8, 8:-8]
    mixed = np.abs(0.4 * now + 0.6 * clean - now)[inner].mean()
    assert np.abs(denoise_over_time(now, clean, 0.6) - now)[inner].mean() < 0.1 * mixed


def test_a_recipe_with_it_is_simulated_the_same_every_time(
    recipe: Callable[..., Recipe], folders: SourceFolders
) -> None:
    clip = recipe(
        isp=PLAIN_PHONE.model_dump() | {"temporal_denoise": 0.5, "compression": 0.4}, frames=3
    )
    one, two = ([shot.rgb for shot in Simulation(clip, folders).shots()] for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one[0], one[2])


def test_a_camera_with_local_tone_mapping_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match="local_tone must be 0"):
        _with(camera=PLAIN.model_dump() | {"local_tone": 0.3})
