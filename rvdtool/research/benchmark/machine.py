"""Describe the machine that figures were measured on."""

import os
import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


def describe_machine(jobs: int, threads: int, device: str) -> str:
    """Processor, cores, how they were shared, and the networks' device, in one line."""
    amx = ", AMX" if "amx_bf16" in _cpu_facts().get("flags", "").split() else ""
    share = f"{jobs} {'video' if jobs == 1 else 'videos'} at a time, {threads} "
    share += "thread each" if threads == 1 else "threads each"
    accelerator = "" if device == "cpu" else f", networks on {_accelerator(device)}"
    return f"{_processor()}, {os.cpu_count()} cores{amx}, {share}{accelerator}"


def _processor() -> str:
    return _cpu_facts().get("model name") or platform.processor() or platform.machine()


def _cpu_facts() -> dict[str, str]:
    """The entries of the first processor in /proc/cpuinfo; empty if there is no such file."""
    if not CPU_INFO.exists():
        return {}
    lines = (line.partition(":") for line in CPU_INFO.read_text().split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _accelerator(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
