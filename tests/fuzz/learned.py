"""State files of interrupted runs and trained networks: sound ones, forgeries, and their use."""

import hashlib
import io
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from rvdtool.bundle.store import open_bundle
from rvdtool.delivery import folder as delivery
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.output import STATE_FILE
from rvdtool.fagdn.authors import import_authors
from rvdtool.network.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    build_network,
    load_model,
    save_model,
)
from tests.fuzz.mutate import change, damage, read_members, write_members
from tests.fuzz.targets import OUT, said

_SMALL: dict[str, dict[str, Any]] = {
    "fagdn-calibrated": {
        **{"widths": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "heads": 2, "gla": False},
        **{"full_resolution": True, "warping": True, "confidence_map": True},
        **{"anchored": True, "calibrated": True},
    },
    "fagdn": {"features": 2, "warping": True, "confidence_map": True, "gla": True},
}
"""Kinds of network, and configurations with few weights."""

_BEGUN = "begun"


class _InterruptError(Exception):
    """Stops a run from outside of it."""


def make_states(seeds: Path, names: tuple[str, ...]) -> None:
    """Runs that were interrupted: a folder each, and their state files as seeds.

    Args:
        seeds: the folder of all seeds.
        names: of bundles.
    """
    (seeds / "state").mkdir()
    delivery.CHECKPOINT_EVERY = 2
    for name in names:
        left = iter(range(5))

        def advance(_: int, left: Any = left) -> None:
            if next(left, None) is None:
                raise _InterruptError

        begun, bundle = seeds / _BEGUN / name, open_bundle(seeds / "bundle" / f"{name}.rvd")
        try:
            derender_to_folder(bundle, begun, advance=advance)
        except _InterruptError:
            (begun / STATE_FILE).rename(seeds / "state" / f"{name}.npz")


def use_state(seeds: Path, path: Path) -> list[str]:
    """Resume the run whose state the file is or was."""
    out = path.parent / OUT
    shutil.copytree(seeds / _BEGUN / path.stem, out)
    shutil.copyfile(path, out / STATE_FILE)
    bundle = open_bundle(seeds / "bundle" / f"{path.stem}.rvd")
    return said(lambda: derender_to_folder(bundle, out, DerenderOptions(existing="resume")))


def forge_state(data: bytes, rng: random.Random) -> bytes:
    """A state of the same run with other arrays, with its checksums right."""
    with np.load(io.BytesIO(data)) as found:
        arrays = dict(found)
    for name in rng.sample(sorted(arrays.keys() - {"key"}), rng.randint(1, 2)):
        arrays[name] = _forged(arrays[name], rng)
        if rng.random() < 0.1:
            del arrays[name]
    out = io.BytesIO()
    (np.savez_compressed if rng.random() < 0.05 else np.savez)(out, **arrays)
    return out.getvalue()


def _forged(array: NDArray[Any], rng: random.Random) -> NDArray[Any]:
    """Other values, another shape or another type."""
    kind = rng.choice(("value", "value", "all", "type", "shape", "none"))
    extremes = (np.nan, np.inf, -1, 0, 1e30, -1e9, 2**31, 2**63 - 1)
    if kind in ("value", "all") and array.dtype.kind in "fiu":
        changed = array.copy()
        place = tuple(rng.randrange(side) for side in array.shape)
        with np.errstate(all="ignore"):
            value = np.array(rng.choice(extremes)).astype(array.dtype)
        changed[... if kind == "all" else place] = value
        return changed
    if kind == "shape":
        return rng.choice((array[None], array.reshape(-1), array.reshape(-1)[:-1], array.T))
    if kind == "none":
        return np.array([])
    with np.errstate(all="ignore"):
        other = array.astype(rng.choice(("f8", "f2", "i8")))
    return np.array("frame") if rng.random() < 0.2 else other


def make_models(seeds: Path) -> None:
    """Small networks as folders, split into files that are seeds, and as a checkpoint."""
    (seeds / "model").mkdir()
    for kind, config in _SMALL.items():
        torch.manual_seed(1)
        state = build_network(kind, config, kind).state_dict()
        save_model(seeds / "networks" / kind, kind, config, state)
        for file in (CONFIG_FILE, WEIGHTS_FILE):
            suffix = Path(file).suffix
            shutil.copy(seeds / "networks" / kind / file, seeds / "model" / f"{kind}{suffix}")
        named = {f"module.{name}": tensor for name, tensor in state.items()}
        torch.save({"state_dict": named, "epoch": 3}, seeds / "model" / f"{kind}.pth")


def use_model(seeds: Path, path: Path) -> list[str]:
    """Import a checkpoint, or load the network whose weights or description the file is."""
    out = path.parent / OUT
    if path.suffix == ".pth":
        return said(lambda: import_authors(path, out))
    shutil.copytree(seeds / "networks" / path.stem, out)
    name = CONFIG_FILE if path.suffix == Path(CONFIG_FILE).suffix else WEIGHTS_FILE
    shutil.copyfile(path, out / name)
    if name == WEIGHTS_FILE:
        described = json.loads((out / CONFIG_FILE).read_text())
        described["weights_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        (out / CONFIG_FILE).write_text(json.dumps(described))
    return said(lambda: load_model(out))


def forge_model(data: bytes, rng: random.Random) -> bytes:
    """Another description, other weights, or a checkpoint with another pickle, well-formed."""
    if data.startswith(b"PK"):
        members = read_members(data)
        name = rng.choice(sorted(members, key=len)[-1:] + [n for n in members if "pkl" in n])
        return write_members({**members, name: damage(members[name], rng, [])})
    if data.startswith(b"{"):
        described = json.loads(data)
        change(described, rng)
        return json.dumps(described).encode()
    return _forged_weights(data, rng)


def _forged_weights(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file with other values or another header."""
    if rng.random() < 0.4:
        tensors = safetensors.torch.load(data)
        name = rng.choice(sorted(tensors))
        forged = _forged(tensors[name].numpy(), rng)
        if forged.dtype.kind != "U":
            tensors[name] = torch.from_numpy(forged.copy())
        return safetensors.torch.save(tensors)
    size = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:size])
    change(header, rng)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[size:]
