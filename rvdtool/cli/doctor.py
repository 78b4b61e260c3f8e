"""`rvdtool doctor`: facts about this machine for a bug report."""

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Any

import typer

from rvdtool._version import __version__
from rvdtool.cli import console
from rvdtool.errors import RvdError

_FEATURES = (
    "sse4.2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vnni", "avx512bf16",
    "amx-bf16", "neon", "bf16", "sve",
)  # fmt: skip
"""Processor features that matter for compiled loops and PyTorch, by LLVM's names."""

_ENCODERS = ("libx264", "libx265", "prores_ks", "dnxhd", "ffv1")
"""FFmpeg's encoders that rvdtool uses."""

_FAULTS = (RvdError, ImportError, OSError, RuntimeError, AttributeError)
"""Errors of a broken installation; the remaining facts are still shown."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show versions, processor, devices, memory, disk and models, for a bug report.

    The facts contain no paths, user name or host name. If a part of the installation doesn't work,
    it is named, and the exit code is 1.

    Example: rvdtool doctor
    """
    facts: dict[str, Any] = {}
    problems: list[str] = []
    for name, find in _CHECKS.items():
        try:
            facts[name] = find()
        except _FAULTS as error:
            facts[name] = None
            problems.append(f"{name}: {console.one_line(str(error))}")
    for name, model in (facts["models"] or {}).items():
        if not model["intact"]:
            problems.append(f"models: {model['fault']}; install rvdtool again, or leave out {name}")
    missing = [name for name, found in (facts["packages"] or {}).items() if found is None]
    if missing:
        problems.append(f"packages: {', '.join(missing)} missing; install rvdtool again")
    if as_json:
        console.print_json({**facts, "problems": problems})
    else:
        for name, value in facts.items():
            console.print_line(f"{name:<10} {'unknown' if value is None else _words(value)}")
    if problems:
        raise RvdError("; ".join(problems))


def _words(value: object) -> str:
    """A fact as one line: `name value, name value`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(map(_words, value))
    return "unknown" if value is None else str(value)


def _packages() -> dict[str, str | None]:
    """Versions of rvdtool's dependencies; None for those not installed."""
    found: dict[str, str | None] = {}
    for requirement in requires("rvdtool") or ():
        if "extra ==" in requirement:
            continue
        match = re.match(r"[\w.-]+", requirement)
        assert match is not None
        try:
            found[match[0]] = version(match[0])
        except PackageNotFoundError:
            found[match[0]] = None
    return found


def _cpu() -> dict[str, object]:
    from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

    from rvdtool.reconstruct.compiled import cores

    has = get_host_cpu_features()
    return {
        "name": get_host_cpu_name(),
        "cores": cores(),
        "features": [name for name in _FEATURES if has.get(name)],
    }


def _devices() -> dict[str, object]:
    import torch

    from rvdtool.network.device import choose_device, computes_in_bf16

    chosen = choose_device(None)
    found: dict[str, object] = {
        f"cuda:{index}": f"{one.name} with {one.total_memory / 1e9:.1f} GB"
        for index, one in enumerate(
            torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())
        )
    }
    if torch.backends.mps.is_available():
        found["mps"] = "Apple GPU"
    bits = "16-bit" if computes_in_bf16(torch.device("cpu")) else "32-bit"
    return {**found, "cpu": f"computes networks in {bits}", "default": str(chosen)}


def _ffmpeg() -> dict[str, object]:
    import av

    return {
        "version": av.ffmpeg_version_info,
        "encoders": [name for name in _ENCODERS if name in av.codecs_available],
    }


def _libraw() -> str:
    import rawpy

    return ".".join(map(str, rawpy.libraw_version))


def _memory() -> str | None:
    if not hasattr(os, "sysconf"):  # Windows
        return None
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} GB"


def _disk() -> dict[str, str]:
    """Free disk space, without the paths, which may contain the user's name."""
    places = {"here": Path.cwd(), "temporary": Path(tempfile.gettempdir())}
    return {
        name: f"{shutil.disk_usage(path).free / 1e9:.1f} GB free" for name, path in places.items()
    }


def _models() -> dict[str, dict[str, object]]:
    """The included models, and whether their weights are intact."""
    from rvdtool.network.checkpoint import list_models, load_model

    found: dict[str, dict[str, object]] = {}
    for name in list_models():
        try:
            model = load_model(name)
            found[name] = {"sha256": model.sha256, "intact": True}
        except RvdError as error:
            found[name] = {"intact": False, "fault": str(error)}
    return found


_CHECKS: dict[str, Callable[[], object]] = {
    "rvdtool": lambda: __version__,
    "python": lambda: f"{platform.python_version()} ({platform.python_implementation()})",
    "system": lambda: f"{platform.system()} {platform.release()} {platform.machine()}",
    "output": lambda: getattr(sys.stdout, "encoding", None),
    "packages": _packages,
    "ffmpeg": _ffmpeg,
    "libraw": _libraw,
    "cpu": _cpu,
    "memory": _memory,
    "devices": _devices,
    "disk": _disk,
    "models": _models,
}
