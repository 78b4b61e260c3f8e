"""Where networks run."""

import torch
from torch import nn

from rvdtool.errors import UsageError


def choose_device(name: str | None) -> torch.device:
    """The device of that name, or the fastest available: CUDA, Apple's GPU (MPS), else the CPU.

    Args:
        name: as PyTorch has it (`cpu`, `cuda`, `cuda:1`, `mps`); None: choose.

    Raises:
        UsageError: there is no such device here.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # a PyTorch without CUDA asserts
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"no device {name!r} here: {reason}; leave it out, or use cpu") from error
    return device


def computes_in_bf16(device: torch.device) -> bool:
    """Whether a device multiplies 16-bit numbers faster than 32-bit ones, and that was measured.

    True on CPUs with AVX512-BF16 (and so on those with AMX). Our network is as good there
    (docs/derender.md); on other CPUs PyTorch would imitate it slowly.
    """
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def place(network: nn.Module, device: torch.device, *, bf16: bool = False) -> None:
    """Move a network to a device, in the layout (channels last) and precision in which it is fast.

    Args:
        network: changed in place.
        device: see `choose_device`.
        bf16: 16-bit weights and features, for processors that have them: faster, less exact.
    """
    network.to(device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    # PyTorch's own annotations don't know that modules take it.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
