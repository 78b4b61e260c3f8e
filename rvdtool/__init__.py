"""sRGB video + one RAW frame in, a RAW (DNG) frame for every video frame out.

    path = rvdtool.pack(Path("clip.mp4"), Path("first.dng"))
    bundle = rvdtool.open_bundle(path)
    for check in rvdtool.verify(bundle): …

The names below are the public ones. Each is imported when it is first used, so that
`import rvdtool` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from rvdtool._version import __version__ as __version__
from rvdtool.errors import RvdError as RvdError

if TYPE_CHECKING:
    from rvdtool.bundle.store import Bundle as Bundle
    from rvdtool.bundle.store import open_bundle as open_bundle
    from rvdtool.bundle.unpack import unpack as unpack
    from rvdtool.bundle.verify import verify as verify
    from rvdtool.capture.pack import pack as pack
    from rvdtool.evaluate.compare import compare as compare
    from rvdtool.evaluate.metrics import psnr as psnr
    from rvdtool.evaluate.metrics import ssim as ssim
    from rvdtool.raw.dng import write_dng as write_dng
    from rvdtool.raw.frame import RawFrame as RawFrame
    from rvdtool.raw.read import MosaicLevels as MosaicLevels
    from rvdtool.raw.read import read_raw as read_raw

_HOMES = {
    "Bundle": "rvdtool.bundle.store",
    "MosaicLevels": "rvdtool.raw.read",
    "RawFrame": "rvdtool.raw.frame",
    "compare": "rvdtool.evaluate.compare",
    "open_bundle": "rvdtool.bundle.store",
    "pack": "rvdtool.capture.pack",
    "psnr": "rvdtool.evaluate.metrics",
    "read_raw": "rvdtool.raw.read",
    "ssim": "rvdtool.evaluate.metrics",
    "unpack": "rvdtool.bundle.unpack",
    "verify": "rvdtool.bundle.verify",
    "write_dng": "rvdtool.raw.dng",
}
"""Public name → the module that defines it."""

__all__ = ["RvdError", "__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'rvdtool' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
