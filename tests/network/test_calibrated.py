"""The calibrated FAGDN: equal to the fusion if untrained, for all sizes; and its parts."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from rvdtool.errors import ModelError
from rvdtool.network.calibrated import (
    STRIDE,
    CalibratedConfig,
    CalibratedFagdn,
    Planes,
    ReferencePlanes,
    fuse_planes,
)
from rvdtool.network.gla import PATCH, WarpedGla, warp
from rvdtool.raw.bayer import to_planes
from rvdtool.raw.frame import CfaPhase
from rvdtool.reconstruct.affinity import Candidate, Prior
from rvdtool.reconstruct.answer import Answer
from rvdtool.reconstruct.brightness import Ratio, Shading
from rvdtool.reconstruct.fusion import fuse
from rvdtool.reconstruct.packing import Packing, pack_prior

SMALL = CalibratedConfig(widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), heads=2)


def planes(seed: int = 0, size: int = 32) -> Planes:
    random = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(1, *shape, size, size, generator=random)

    return Planes(
        rgb=uniform(12),
        clipped=(uniform(12) > 0.9).float(),
        values=uniform(4, 4),
        variances=1e-5 + 1e-3 * uniform(4, 4),
        fine=1e-5 + 1e-4 * uniform(4),
        fits=uniform(2, 4),
        flow=torch.zeros(1, 2, size // 8, size // 8),
        brightness=torch.zeros(1, 2),
    )


def reference(size: int = 32) -> ReferencePlanes:
    like = planes(7, size)
    return ReferencePlanes(like.rgb, like.clipped, like.values[:, 0], like.values[:, 1], like.fine)


def randomised(config: CalibratedConfig) -> CalibratedFagdn:
    """A network without zero weights."""
    torch.manual_seed(0)
    network = CalibratedFagdn(config).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return network


def prior(size: tuple[int, int], seed: int = 0) -> Prior:
    rng = np.random.default_rng(seed)

    def candidate() -> Candidate:
        return Candidate(
            rng.uniform(0, 1, size).astype(np.float32),
            rng.uniform(1e-5, 1e-3, size).astype(np.float32),
        )

    fit, anchored, previous, warped = (candidate() for _ in range(4))
    return Prior(
        fit=fit,
        anchored=anchored,
        previous=previous,
        warped=warped,
        fine=candidate().variance,
        clipped=rng.integers(0, 8, size).astype(np.uint8),
        brightness=Ratio(1.1, Shading()),
        exposure=1.0,
        trusted=1.0,
        first_fit=candidate().value,
        previous_fit=candidate().value,
        far=rng.normal(0, 3, (*size, 2)).astype(np.float32),
    )


@pytest.mark.parametrize("phase", list(CfaPhase))
@pytest.mark.parametrize("size", [(64, 128), (37, 61), (40, 66)])
def test_an_untrained_network_is_the_fusion(phase: CfaPhase, size: tuple[int, int]) -> None:
    packing, given = Packing.of(size, phase), prior(size)
    rgb = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    network = CalibratedFagdn(replace(SMALL, gla=False)).eval()
    with torch.no_grad():
        value = network(pack_prior(packing, given, rgb, True), None)
    wanted, _ = fuse(given)
    assert np.allclose(packing.unpack(value), wanted, atol=1e-5)


@pytest.mark.parametrize(("phase", "size"), [("RGGB", (64, 128)), ("BGGR", (37, 61))])
@pytest.mark.parametrize("gla", [False, True])
def test_the_compiled_loops_equal_the_network_in_training(
    phase: str, size: tuple[int, int], gla: bool
) -> None:
    packing, given = Packing.of(size, CfaPhase(phase)), prior(size)
    given.fine[::3] = 2e-3  # where the fusion's answer counts, too
    rgb = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    network = randomised(replace(SMALL, gla=gla))
    planes = pack_prior(packing, given, rgb, True)
    with torch.inference_mode():
        shown = network.encode_reference(reference(32)) if gla else None
        if shown is not None:
            shown = F.interpolate(shown, planes.flow.shape[2:])
        wanted = packing.unpack(network(planes, shown))
        value = Answer(network, packing, True)(given, rgb, shown)
    assert np.abs(wanted - fuse(given)[0]).max() > 1e-3
    assert np.allclose(value, wanted, atol=2e-5)


def test_the_network_and_its_inputs_are_computed_on_its_device() -> None:
    # PyTorch's meta device computes shapes only, and refuses tensors of other devices.
    packing, given = Packing.of((63, 61), CfaPhase.BGGR), prior((63, 61))
    rgb = np.zeros((63, 61, 3), np.uint16)
    network = CalibratedFagdn(replace(SMALL, gla=True)).eval().to("meta")
    shown = network.encode_reference(ReferencePlanes(*(one.to("meta") for one in reference())))
    value = network(pack_prior(packing, given, rgb, True, "meta"), shown)
    assert value.device.type == "meta"
    assert value.shape[-2:] == (32, 32)


@pytest.mark.parametrize("phase", list(CfaPhase))
def test_planes_are_in_rggb_geometry(phase: CfaPhase) -> None:
    size = (64, 62)
    mosaic = np.random.default_rng(0).uniform(0, 1, size).astype(np.float32)
    packing = Packing.of(size, phase)
    planes4 = to_planes(mosaic, phase)
    packed = packing.pack(torch.from_numpy(mosaic)[None])
    assert all(side % STRIDE == 0 for side in packed.shape[-2:])
    height, width = (min(a, b) for a, b in zip(planes4.shape[1:], packed.shape[2:], strict=True))
    assert np.array_equal(packed[0, :, :height, :width].numpy(), planes4[:, :height, :width])
    assert np.array_equal(packing.unpack(packed), mosaic)


def test_the_flow_is_given_in_cells_of_the_deepest_features() -> None:
    flow = np.full((64, 128, 2), (16.0, -32.0), np.float32)
    packed = Packing.of((64, 128), CfaPhase.BGGR).pack_flow(flow)
    assert torch.allclose(packed[:, 0], torch.tensor(1.0))
    assert torch.allclose(packed[:, 1], torch.tensor(-2.0))


def test_the_networks_sizes() -> None:
    config = CalibratedConfig()
    height, width = (math.ceil(side / 2 / STRIDE) * STRIDE for side in (900, 1600))
    with torch.device("meta"):
        network = CalibratedFagdn(config).eval()
        assert sum(parameter.numel() for parameter in network.parameters()) <= 3e6
        like = Planes(
            *(torch.empty(1, n, height, width) for n in (12, 12)),
            *(torch.empty(1, 4, 4, height, width) for _ in range(2)),
            torch.empty(1, 4, height, width),
            torch.empty(1, 2, 4, height, width),
            torch.empty(1, 2, height // 8, width // 8),
            torch.empty(1, 2),
        )
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(like, None)
    assert counter.get_total_flops() <= 60e9


@pytest.mark.parametrize(
    ("switch", "changed"),
    [
        ("gla", "reference"),
        ("full_resolution", "rgb"),
        ("anchored", "the reference frame"),
        ("warping", "all but the fit"),
        ("confidence_map", "variances"),
    ],
)
def test_ablated_inputs_have_no_effect(switch: str, changed: str) -> None:
    seen = {}
    for on in (True, False):
        network = randomised(replace(SMALL, **{switch: on}))
        given, shown = planes(), reference()
        with torch.no_grad():
            before = network(given, network.encode_reference(shown))
            if changed == "reference":
                shown = shown._replace(raw=1 - shown.raw)
            elif changed == "rgb":  # other pixels of the same mean in every cell
                given = given._replace(rgb=given.rgb.reshape(1, 3, 4, 32, 32).flip(2).flatten(1, 2))
            elif changed == "variances":
                given = given._replace(variances=2 * given.variances, fine=0.1 * given.fine)
            else:
                values, fits = given.values.clone(), given.fits.clone()
                values[:, [1, 3] if changed == "the reference frame" else [1, 2, 3]] = 0.5
                fits[:, : 1 if changed == "the reference frame" else 2] = 0
                given = given._replace(values=values, fits=fits)
            after = network(given, network.encode_reference(shown))
        seen[on] = float((before - after).abs().max())
    assert seen[True] > 1e-4 > 1e-5 > seen[False]


def test_inputs_are_in_units_of_sigma() -> None:
    network = randomised(replace(SMALL, gla=False))
    given = planes()._replace(fine=torch.full((1, 4, 32, 32), 1e-4))
    with torch.no_grad():
        fused, total = fuse_planes(given.values, given.variances, given.fine)
        value = network(given, None)
    assert float(((value - fused) / total.sqrt()).abs().max()) > 1e-3
    assert bool(torch.isfinite(value).all())


def test_the_output_stays_near_the_candidates_range() -> None:
    network, given = randomised(replace(SMALL, gla=False)), planes()
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter *= 1000
        _, total = fuse_planes(given.values, given.variances, given.fine)
        sigma = total.sqrt()
        low, high = given.values.amin(dim=1) - 3 * sigma, given.values.amax(dim=1) + 3 * sigma
        assert bool((network.train()(given, None) < low - 1).any())
        answer = network.eval()(given, None)
    assert bool((answer >= low).all() & (answer <= high).all())


def test_the_output_has_half_weight_in_uncertain_highlights() -> None:
    network, given = randomised(replace(SMALL, gla=False)), planes()
    clipped = given.clipped.reshape(1, 3, 4, 32, 32).amax(dim=1) > 0
    assert 0 < clipped.float().mean() < 1
    with torch.no_grad():
        for fine, halved in ((9e-4, torch.zeros_like(clipped)), (1.1e-3, clipped)):
            given = given._replace(fine=torch.full_like(given.fine, fine))
            fused, total = fuse_planes(given.values, given.variances, given.fine)
            slack = 3 * total.sqrt()
            low, high = given.values.amin(dim=1) - slack, given.values.amax(dim=1) + slack
            free = network.train()(given, None)
            expected = torch.where(halved, (fused + free) / 2, free).clamp(low, high)
            assert torch.allclose(network.eval()(given, None), expected, atol=1e-6)
            assert bool(((free - fused).abs() > 1e-4).float().mean() > 0.9)


def test_warping_by_whole_pixels_is_exact() -> None:
    features = torch.rand(1, 3, 8, 12)
    still = torch.zeros(1, 2, 8, 12)
    assert torch.allclose(warp(features, still), features, atol=1e-6)
    step = still.clone()
    step[:, 0] = 2
    assert torch.allclose(warp(features, step)[..., :10], features[..., 2:], atol=1e-5)


def test_gla_transfers_features_of_the_reference() -> None:
    torch.manual_seed(0)
    gla = WarpedGla(8, 2).eval()
    current, other = torch.rand(1, 8, 2 * PATCH, PATCH), torch.rand(1, 8, 2 * PATCH, PATCH)
    still = torch.zeros(1, 2, 2 * PATCH, PATCH)
    with torch.no_grad():
        assert torch.equal(gla(current, other, still), current), "starts by changing nothing"
        for parameter in gla.local_guidance.out.parameters():
            torch.nn.init.normal_(parameter)
        changed = other.clone()
        changed[:, :, PATCH:] += 1 + torch.rand(1, 8, PATCH, PATCH)
        difference = (gla(current, other, still) - gla(current, changed, still)).abs().amax((0, 1))
        assert float(difference[:PATCH].max()) == 0, "local guidance stays in its patch"
        assert float(difference[PATCH:].max()) > 1e-4
        for parameter in gla.global_guidance.out.parameters():
            torch.nn.init.normal_(parameter)
        difference = (gla(current, other, still) - gla(current, changed, still)).abs().amax((0, 1))
        assert float(difference[:PATCH].min()) > 1e-6, "global guidance reaches everywhere"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"widths": (8, 8, 8, 0)}, "widths"),
        ({"depths": (1, 1, 1, 99)}, "depths"),
        ({"heads": 3}, "heads"),
    ],
)
def test_invalid_configurations_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        CalibratedConfig(**{"widths": (8, 8, 8, 8), "heads": 2} | fields)
