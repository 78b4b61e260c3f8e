"""Convert the authors' own checkpoints (`RVD_Part1.pth`, `RVD_Part2.pth`) to models."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import JsonValue
from torch import Tensor

from rvdtool.errors import ModelError
from rvdtool.fagdn.network import FagdnConfig
from rvdtool.files import describe
from rvdtool.network.checkpoint import build_network, check_weights, save_model
from rvdtool.network.pth import read_pth

PREFIX: Final = "module."
"""Prefix that PyTorch's data parallelism adds to every name."""


def import_authors(file: Path, folder: Path, *, overwrite: bool = False) -> None:
    """Convert a checkpoint of the authors' code to a model folder.

    Args:
        file: `.pth`: {"state_dict": …, "epoch": …, "optimizer": …}; the last two are optional.
        folder: the model's folder, see `save_model`.
        overwrite: replace an existing model.

    Raises:
        ModelError: the file isn't such a checkpoint, contains code, is damaged, or its weights
            don't fit the network.
        InputError: the file doesn't exist.
        OutputError: the folder has a model already (without `overwrite`), or can't be written.
    """
    checkpoint = read_pth(file)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise ModelError(
            f"{file}: not a checkpoint of the authors, which is a dict with a 'state_dict'"
        )
    state = _state(checkpoint, file)
    config = asdict(FagdnConfig())
    with torch.device("meta"):
        expected = build_network("fagdn", config, str(file)).state_dict()
    check_weights(state, expected, str(file))
    training: dict[str, JsonValue] = {"imported_from": file.name, "imported_sha256": _sha256(file)}
    epoch = checkpoint.get("epoch")
    if isinstance(epoch, int):
        training["epoch"] = epoch
    save_model(folder, "fagdn", config, state, training=training, overwrite=overwrite)


def _state(checkpoint: Mapping[str, Any], file: Path) -> dict[str, Tensor]:
    """The weights by name, without the prefix."""
    state = {}
    for name, tensor in checkpoint["state_dict"].items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ModelError(f"{file}: its state_dict must map names to tensors")
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise ModelError(
                f"{file}: {name} is not a plain tensor: {tensor.layout}, {tensor.device}"
            )
        state[name] = tensor.detach()
    if state and all(name.startswith(PREFIX) for name in state):
        return {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    return state


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{file}: can't be read: {describe(error)}") from error
