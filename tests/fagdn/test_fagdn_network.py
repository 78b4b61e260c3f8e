"""Our FAGDN gives the results of its authors' code, peculiarities included."""

import importlib.util
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from rvdtool.errors import MismatchError, ModelError
from rvdtool.fagdn import network as published
from rvdtool.fagdn.network import Fagdn, FagdnConfig, warp

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden.npz")
"""Made by `examples/compare_with_authors.py --golden`: their code's output, our seed's input."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script that made the golden file; it makes the same clip and weights again."""
    path = ROOT / "examples" / "compare_with_authors.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look it up while it is being made
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def network(script: ModuleType) -> Fagdn:
    network = Fagdn().eval()
    network.load_state_dict(script.seeded_weights(network))
    return network


def chained(script: ModuleType, network: Fagdn, steps: int = 10) -> list[np.ndarray]:
    return list(islice(script.run_ours(script.make_clip(script.SMALLEST), network), steps))


def test_ten_chained_steps_equal_the_authors_code(script: ModuleType, network: Fagdn) -> None:
    states = chained(script, network)
    with np.load(GOLDEN) as golden:
        assert np.abs(states[0][:, ::4, ::4] - golden["first"]).max() < script.BOUND
        assert states[-1].shape == golden["last"].shape
        assert np.abs(states[-1] - golden["last"]).max() < script.BOUND
        assert golden["last"].std() > 0.1  # or there would be nothing to compare


def test_the_side_outputs_equal_the_authors(script: ModuleType, network: Fagdn) -> None:
    seen = []
    network.register_forward_hook(lambda module, inputs, output: seen.append(output[1]))
    chained(script, network, steps=1)
    with np.load(GOLDEN) as golden:
        for side, scale in zip(seen[0], (2, 4, 8), strict=True):
            assert np.abs(side[0].numpy() - golden[f"side_{scale}"]).max() < script.BOUND


def corrected_warp(image: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """`warp`, corrected so that zero flow is the identity."""
    height, width = flow.shape[-2:]
    shrink = torch.tensor([width / (width - 1), height / (height - 1)])[:, None, None]
    grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    at = grid.flip(0) - flow
    # Sampled by side, normalised by side − 1: what `warp` reaches at x is x·w/(w − 1) − 1/2.
    return warp(image, grid.flip(0) - (at + 0.5) / shrink)


@pytest.mark.parametrize(
    ("name", "value"),
    [("FULL_WEIGHT", 0.0), ("GLA_PATCHES", (8, 8, 4, 4)), ("warp", corrected_warp)],
)
def test_the_golden_file_detects_a_change_of_each_peculiarity(
    name: str,
    value: object,
    script: ModuleType,
    network: Fagdn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(published, name, value)
    other = Fagdn().eval()
    other.load_state_dict(network.state_dict())
    with np.load(GOLDEN) as golden:
        difference = np.abs(chained(script, other, steps=1)[0][:, ::4, ::4] - golden["first"]).max()
    assert difference > 100 * script.BOUND


def test_zero_flow_shrinks_by_a_pixel_about_the_centre() -> None:
    ramp = torch.arange(64.0).expand(1, 1, 32, 64).clone()
    moved = warp(ramp, torch.zeros(1, 2, 32, 64))
    expected = torch.arange(64.0) * 64 / 63 - 0.5
    inside = slice(1, -1)
    assert torch.allclose(moved[0, 0, 5, inside], expected[inside], atol=1e-4)
    assert moved[0, 0, 5, 0] == 0  # reaches half a pixel beyond the frame: masked hard
    assert moved[0, 0, 5, -1] == 0


def test_the_flow_is_subtracted() -> None:
    ramp = torch.arange(64.0).expand(1, 1, 32, 64).clone()
    flow = torch.zeros(1, 2, 32, 64)
    flow[:, 0] = 7
    moved, still = warp(ramp, flow), warp(ramp, torch.zeros_like(flow))
    assert torch.allclose((still - moved)[0, 0, 5, 20:50], torch.tensor(7 * 64 / 63), atol=1e-4)


def test_number_of_weights_is_the_published_one() -> None:
    assert round(sum(weight.numel() for weight in Fagdn().parameters()) / 1e6, 2) == 10.58


@pytest.mark.parametrize("side", [(32, 48), (33, 64)])
def test_other_sides_are_refused(side: tuple[int, int]) -> None:
    network = Fagdn(FagdnConfig(features=2))
    rgb, raw, flow = (torch.zeros(1, channels, *side) for channels in (3, 4, 2))
    with pytest.raises(MismatchError, match="multiples of 32"):
        network(rgb, rgb, raw, flow)


def depends(config: FagdnConfig) -> set[str]:
    """Which inputs the output depends on."""
    torch.manual_seed(1)
    network = Fagdn(config).eval()
    inputs = {
        "previous sRGB": torch.rand(1, 3, 32, 32),
        "current sRGB": torch.rand(1, 3, 32, 32),
        "previous RAW": torch.rand(1, 4, 32, 32),
        "flow": torch.rand(1, 2, 32, 32),
    }
    for tensor in inputs.values():
        tensor.requires_grad_()
    network(*inputs.values())[0].sum().backward()
    return {name for name, x in inputs.items() if x.grad is not None and x.grad.abs().sum() > 0}


def test_the_ablations_leave_out_their_inputs() -> None:
    everything = {"previous sRGB", "current sRGB", "previous RAW", "flow"}
    small = FagdnConfig(features=4)
    assert depends(small) == everything
    assert depends(FagdnConfig(4, warping=False, confidence_map=False)) == everything - {"flow"}
    assert depends(FagdnConfig(4, gla=False)) == everything
    assert depends(FagdnConfig(4, confidence_map=False, gla=False)) == everything - {
        "previous sRGB"
    }


def test_a_confidence_map_without_warping_is_refused() -> None:
    with pytest.raises(ModelError, match="needs warping"):
        FagdnConfig(warping=False)


def test_half_precision_stays_within_its_bound(script: ModuleType, network: Fagdn) -> None:
    """The bound of docs/research/fagdn.md; no NaN in bfloat16 where flow leaves the frame."""
    exact = chained(script, network, steps=2)
    half = Fagdn().eval()
    half.load_state_dict(network.state_dict())
    rounded = chained(script, half.bfloat16(), steps=2)
    for one, other in zip(exact, rounded, strict=True):
        assert np.abs(one - other).max() < 0.03
        assert np.sqrt(np.mean((one - other) ** 2)) < 0.004
