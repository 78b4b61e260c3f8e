"""Compare rvdtool's implementation of the published FAGDN with its authors' code.

    git clone https://github.com/zhangchen98/RAW_CVPR24
    python examples/compare_with_authors.py RAW_CVPR24

Their `main.test` runs unchanged, on the CPU, over a generated clip in their folder layout, with
weights generated from a seed; rvdtool's chain runs over the same frames. Packages that their
scripts import but don't need here (thop, torchvision, …) are replaced by stubs if not installed,
and their two metrics are left out, since newer versions of scikit-image refuse their arguments.
Also needs Pillow.

`--golden FILE` writes their results at the smallest size, for rvdtool's tests; `--speed` compares
the time of one step instead.
"""

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from unittest.mock import MagicMock

import cv2
import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rvdtool.fagdn.chain import FagdnChain, half_size, pad
from rvdtool.fagdn.network import Fagdn
from rvdtool.network.device import place
from rvdtool.raw.bayer import to_planes
from rvdtool.raw.frame import CameraProfile, CfaPhase, RawFrame
from rvdtool.reconstruct.flow import Flow
from rvdtool.video.frame import Rgb

SEED = 24
BITS = 14
STEPS = 10
SMALLEST = (90, 128)
"""The smallest size. Its planes, 45×64, are padded to 64×64: by an odd number of rows, and by no
columns (as for a width of 1600), so that flow leads beyond the picture's sides."""
SIZES = (SMALLEST, (898, 1598), (900, 1600))
BOUND = 1e-5
"""Largest allowed difference of values in 0..1: both are float32, but sum in different orders."""
UNUSED = ("thop", "torchvision", "matplotlib", "matplotlib.pyplot", "mpl_toolkits.axes_grid1")

Planes = NDArray[np.float32]


@dataclass(frozen=True)
class MadeUpClip:
    """A clip generated from integers and a seed, with motion and noise.

    Attributes:
        rgb: sRGB of each frame, uint8 [H, W, 3].
        raw: RAW of the first frame, DN [H, W].
        flows: from each frame to the next, in pixels, [H, W, 2].
    """

    rgb: Sequence[Rgb]
    raw: NDArray[np.uint16]
    flows: list[Flow]


def make_clip(size: tuple[int, int], steps: int = STEPS) -> MadeUpClip:
    """Make a clip of moving coloured blocks with noise; some flows point beyond the frame."""
    numbers = np.random.Generator(np.random.PCG64(SEED))
    height, width = size

    def blocks(side: int, *rest: int) -> NDArray[np.float64]:
        coarse = numbers.random((-(-height // side), -(-width // side), *rest))
        return coarse.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]

    scene = blocks(8, 3) * 220
    rgb = [
        (np.roll(scene, (2 * step, 3 * step), (0, 1)) + blocks(1, 3) * 35).astype(np.uint8)
        for step in range(steps + 1)
    ]
    raw = ((0.05 + 0.7 * blocks(8) + 0.2 * blocks(1)) * (2**BITS - 1)).astype(np.uint16)
    flows = [((blocks(16, 2) - 0.5) * 80).astype(np.float32) for _ in range(steps)]
    return MadeUpClip(rgb, raw, flows)


def seeded_weights(network: nn.Module) -> dict[str, Tensor]:
    """Weights that depend only on names, shapes and the seed, and preserve the signal's scale."""
    numbers = np.random.Generator(np.random.PCG64(SEED))
    state = {}
    for name, old in sorted(network.state_dict().items()):
        # In a transposed convolution of stride 2, an output depends on one pixel of each channel.
        inputs = old.shape[0] if "upconv" in name else old[0].numel()
        bound = 0.1 if old.ndim == 1 else (4.5 / inputs) ** 0.5
        values = (numbers.random(tuple(old.shape)) * 2 - 1) * bound
        state[name] = torch.from_numpy(values.astype(np.float32))
    return state


def run_ours(clip: MadeUpClip, network: Fagdn) -> Iterator[Planes]:
    """Yield the state of rvdtool's chain after every step, [4, h, w]."""
    reference = RawFrame(
        mosaic=clip.raw,
        phase=CfaPhase.RGGB,
        black=(0, 0, 0, 0),
        white=2**BITS - 1,
        bits=BITS,
        profile=CameraProfile("made up", (1.0, 1.0, 1.0)),
    )
    chain = FagdnChain(network, reference, clip.rgb[0], lambda index, size: clip.flows[index - 1])
    for rgb in clip.rgb[1:]:
        yield chain.step(rgb).planes


class Recorder:
    """A wrapper of their network that records its outputs, and its inputs of step 1."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.states: list[Tensor] = []
        self.inputs: list[Tensor] = []
        self.sides: list[Tensor] = []

    def eval(self) -> None:
        """As `nn.Module.eval`."""
        self.network.eval()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As `nn.Module.__call__`."""
        output, sides = self.network(*inputs)
        if not self.states:
            self.inputs, self.sides = [tensor.clone() for tensor in inputs], sides
        self.states.append(output)  # not a copy: `test` zeroes its padding afterwards
        print(".", end="", flush=True)
        return output, sides


def run_theirs(clone: Path, clip: MadeUpClip, state: dict[str, Tensor]) -> Recorder:
    """Run their `test` on the clip."""
    height, width = clip.raw.shape
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        listed = write_their_folder(clip, root)
        arguments = ["--save_dir", f"{root}/out", "--testset_root", scratch]
        with their_modules(clone, [*arguments, "--input_size", f"{height},{width}"]) as main:
            network = main.RawVideoNetwork(main.args)
            network.load_state_dict(state)
            recorder = Recorder(network)
            main.psnr = main.ssim = lambda predicted, true: 0.0
            main.test([listed], recorder, main.args)
    print()
    return recorder


def write_their_folder(clip: MadeUpClip, root: Path) -> dict[str, Any]:
    """Write the clip in their layout; return its entry in their `data.json`."""
    frames = [f"{index:04d}" for index in range(len(clip.rgb))]
    for kind in ("RAW", "sRGB", "flow"):
        (root / kind / "clip").mkdir(parents=True)
    for index, name in enumerate(frames):
        # Only the first RAW frame is used; the others are true values for their metric.
        tifffile.imwrite(root / "RAW" / "clip" / f"{name}.tiff", clip.raw)
        picture = cv2.cvtColor(clip.rgb[index], cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(root / "sRGB" / "clip" / f"{name}.png"), picture)
        if index < len(clip.flows):
            np.save(root / "flow" / "clip" / f"{name}_flow.npy", clip.flows[index])
            cv2.imwrite(str(root / "flow" / "clip" / f"{name}_flow.png"), picture)
    return {"video_name": "clip", "frames": frames}


@contextmanager
def their_modules(clone: Path, arguments: list[str]) -> Iterator[Any]:
    """Import their main.py, which reads the command line on import."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    known, given = set(sys.modules), sys.argv
    for name in UNUSED:
        if not is_installed(name):
            sys.modules[name] = MagicMock()
    sys.path.insert(0, str(clone))
    sys.argv = ["main.py", *arguments]
    try:
        yield importlib.import_module("main")
    finally:
        sys.argv = given
        sys.path.remove(str(clone))
        for name in set(sys.modules) - known:
            if name.split(".")[0] in {"main", "model", "dataset", "config", "logger", "loss"}:
                del sys.modules[name]


def is_installed(name: str) -> bool:
    """Whether a module can be imported, or has been replaced already."""
    if name in sys.modules:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def compare(clone: Path, size: tuple[int, int], golden: Path | None) -> float:
    """Compare at one size; print the differences, and return the largest."""
    clip, network = make_clip(size), Fagdn().eval()
    state = seeded_weights(network)
    network.load_state_dict(state)
    theirs = run_theirs(clone, clip, state)
    with torch.inference_mode():
        output, sides = network(*theirs.inputs)
        their_output, _ = theirs.network(*theirs.inputs)
    one = largest([output, *sides], [their_output, *theirs.sides])
    ours = [torch.from_numpy(planes)[None] for planes in run_ours(clip, network)]
    each = [largest([a], [b]) for a, b in zip(ours, theirs.states, strict=True)]
    spread = theirs.states[-1].std().item()
    print(
        f"{size[1]}×{size[0]}: network alone, all outputs: {one:.1e}; chain after step 1: "
        f"{each[0]:.1e}, after step {len(each)}: {each[-1]:.1e}, largest: {max(each):.1e} "
        f"(values have a standard deviation of {spread:.2f})"
    )
    if golden is not None and size == SMALLEST:
        two, four, eight = (side[0].numpy() for side in theirs.sides)
        np.savez_compressed(
            golden,
            first=theirs.states[0][0, :, ::4, ::4].numpy(),
            last=theirs.states[-1][0].numpy(),
            side_2=two,
            side_4=four,
            side_8=eight,
        )
    return max(one, *each)


def compare_speed(clone: Path, rounds: int = 3) -> None:
    """Time one step at 900×1600: theirs, rvdtool's, and rvdtool's in 16 bits. Best of several."""
    size = SIZES[-1]
    clip = make_clip(size, 1)
    with tempfile.TemporaryDirectory() as scratch:
        with their_modules(clone, ["--save_dir", f"{scratch}/out"]) as main:
            theirs = main.RawVideoNetwork(main.args).eval()
        state = seeded_weights(theirs)
        theirs.load_state_dict(state)
    runs: dict[str, nn.Module] = {"theirs, float32": theirs}
    for name, bf16 in (("ours, float32", False), ("ours, bfloat16", True)):
        runs[name] = Fagdn().eval()
        runs[name].load_state_dict(state)
        place(runs[name], torch.device("cpu"), bf16=bf16)
    rgb = [torch.from_numpy(pad(half_size(picture, CfaPhase.RGGB)))[None] for picture in clip.rgb]
    raw = pad(to_planes(clip.raw.astype(np.float32), CfaPhase.RGGB) / np.float32(2**BITS - 1))
    flow = pad(clip.flows[0][::2, ::2].transpose(2, 0, 1) / np.float32(2))
    inputs = (*rgb, torch.from_numpy(raw)[None], torch.from_numpy(flow)[None])
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    outputs = {}
    with torch.inference_mode():
        for name, network in list(runs.items()) * rounds:
            start = perf_counter(), process_time()
            outputs[name] = network(*inputs)[0].float()
            seconds[name].append((perf_counter() - start[0], process_time() - start[1]))
    base = min(cpu for _, cpu in seconds["theirs, float32"])
    for name, measured in seconds.items():
        wall, cpu = (min(values) for values in zip(*measured, strict=True))
        error = outputs[name] - outputs["theirs, float32"]
        print(
            f"{name}: {wall:.2f} s, {cpu:.2f} s of CPU time, {base / cpu:.1f} × as fast; "
            f"differs by {error.abs().max():.1e} at most, {error.square().mean().sqrt():.1e} RMS"
        )


def largest(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Largest absolute difference of tensors that must have the same shapes."""
    for one, other in zip(ours, theirs, strict=True):
        if one.shape != other.shape:
            sys.exit(f"shapes differ: ours {list(one.shape)}, theirs {list(other.shape)}")
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    """Compare at all sizes; exit with 1 if they differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("clone", type=Path, help="of github.com/zhangchen98/RAW_CVPR24")
    parser.add_argument("--golden", type=Path, help="write a file for tests/network")
    parser.add_argument("--smallest", action="store_true", help="only the smallest size")
    parser.add_argument("--speed", action="store_true", help="compare the speed of one step only")
    arguments = parser.parse_args()
    if arguments.speed:
        compare_speed(arguments.clone.resolve())
        return
    sizes = (SMALLEST,) if arguments.smallest else SIZES
    worst = max(compare(arguments.clone.resolve(), size, arguments.golden) for size in sizes)
    sys.exit(0 if worst <= BOUND else f"they differ by {worst:.1e}; {BOUND:.0e} is allowed")


if __name__ == "__main__":
    main()
