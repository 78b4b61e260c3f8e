"""Choose the device and precision for a network."""

import torch
from torch import nn

from rvdtool.errors import UsageError, brief
from rvdtool.network.checkpoint import Model, load_model


def choose_device(name: str | None) -> torch.device:
    """The device of that name, or the fastest available: CUDA, Apple's GPU (MPS), else the CPU.

    Args:
        name: PyTorch's name (`cpu`, `cuda`, `cuda:1`, `mps`); None to choose automatically.

    Raises:
        UsageError: this machine has no such device.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # PyTorch without CUDA raises AssertionError
        raise UsageError(
            f"no device {name!r} here: {brief(error)}; leave it out, or use cpu"
        ) from error
    return device


def computes_in_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is known to be faster than float32 on a device.

    True for CPUs with AVX512-BF16, including those with AMX. rvdtool's own network loses less than
    0.01 dB there. Other CPUs emulate bfloat16 slowly.
    """
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def place(network: nn.Module, device: torch.device, *, bf16: bool = False) -> None:
    """Move a network to a device, with channels last and in the given precision.

    Args:
        network: changed in place.
        device: the device, see `choose_device`.
        bf16: use bfloat16 weights and features: faster on processors that support it, less exact.
    """
    network.to(device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    # PyTorch's annotations lack this argument of modules.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def uses_bf16(model: Model, device: torch.device) -> bool:
    """Whether a model uses bfloat16 on a device by default."""
    return model.kind == "fagdn-calibrated" and computes_in_bf16(device)


def load_placed(name: str, device: str | None, bf16: bool | None, threads: int) -> Model:
    """Load a model, place it, and set PyTorch's threads for it.

    Args:
        name: as for `load_model`.
        device: see `choose_device`.
        bf16: see `place`; None: see `uses_bf16`.
        threads: number of computing threads.

    Raises:
        ModelError: see `load_model`.
        UsageError: see `choose_device`.
    """
    model, where = load_model(name), choose_device(device)
    place(model.network, where, bf16=uses_bf16(model, where) if bf16 is None else bf16)
    # Ours processes several frames at once instead: no thread waits for others within a layer, and
    # the result doesn't depend on the number of threads.
    torch.set_num_threads(1 if model.kind == "fagdn-calibrated" else threads)
    return model
