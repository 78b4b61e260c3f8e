"""sRGB video + one RAW frame in, a RAW (DNG) frame for every video frame out.

    path = rvdtool.pack(Path("clip.mp4"), Path("first.dng"))
    bundle = rvdtool.open_bundle(path)
    model = rvdtool.load_model(rvdtool.DEFAULT_MODEL)
    for frame in rvdtool.derender(bundle, model=model):
        ...

The names below are public; `docs/api.md` describes them. Each is imported on first use, so that
`import rvdtool` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from rvdtool._version import __version__ as __version__
from rvdtool.errors import BundleError as BundleError
from rvdtool.errors import InputError as InputError
from rvdtool.errors import MismatchError as MismatchError
from rvdtool.errors import ModelError as ModelError
from rvdtool.errors import OutputError as OutputError
from rvdtool.errors import RawError as RawError
from rvdtool.errors import RvdError as RvdError
from rvdtool.errors import UsageError as UsageError
from rvdtool.errors import VideoError as VideoError

if TYPE_CHECKING:
    from rvdtool.bundle.store import Bundle as Bundle
    from rvdtool.bundle.store import open_bundle as open_bundle
    from rvdtool.bundle.unpack import unpack as unpack
    from rvdtool.bundle.verify import Check as Check
    from rvdtool.bundle.verify import verify as verify
    from rvdtool.capture.pack import pack as pack
    from rvdtool.capture.stills import Still as Still
    from rvdtool.delivery.folder import DerenderReport as DerenderReport
    from rvdtool.delivery.folder import derender as derender
    from rvdtool.delivery.folder import derender_to_folder as derender_to_folder
    from rvdtool.delivery.options import DerenderOptions as DerenderOptions
    from rvdtool.evaluate.compare import Comparison as Comparison
    from rvdtool.evaluate.compare import Matching as Matching
    from rvdtool.evaluate.compare import compare as compare
    from rvdtool.evaluate.compare import match_frames as match_frames
    from rvdtool.evaluate.metrics import Scores as Scores
    from rvdtool.evaluate.metrics import psnr as psnr
    from rvdtool.evaluate.metrics import ssim as ssim
    from rvdtool.network.checkpoint import Model as Model
    from rvdtool.network.checkpoint import load_model as load_model
    from rvdtool.raw.dng import write_dng as write_dng
    from rvdtool.raw.frame import CameraProfile as CameraProfile
    from rvdtool.raw.frame import CfaPhase as CfaPhase
    from rvdtool.raw.frame import RawFrame as RawFrame
    from rvdtool.raw.read import MosaicLevels as MosaicLevels
    from rvdtool.raw.read import read_raw as read_raw
    from rvdtool.raw.timecode import TimeCode as TimeCode

_HOMES = {
    "Bundle": "rvdtool.bundle.store",
    "CameraProfile": "rvdtool.raw.frame",
    "CfaPhase": "rvdtool.raw.frame",
    "Check": "rvdtool.bundle.verify",
    "Comparison": "rvdtool.evaluate.compare",
    "DerenderOptions": "rvdtool.delivery.folder",
    "DerenderReport": "rvdtool.delivery.folder",
    "Matching": "rvdtool.evaluate.compare",
    "Model": "rvdtool.network.checkpoint",
    "MosaicLevels": "rvdtool.raw.read",
    "RawFrame": "rvdtool.raw.frame",
    "Scores": "rvdtool.evaluate.metrics",
    "Still": "rvdtool.capture.stills",
    "TimeCode": "rvdtool.raw.timecode",
    "compare": "rvdtool.evaluate.compare",
    "derender": "rvdtool.delivery.folder",
    "derender_to_folder": "rvdtool.delivery.folder",
    "load_model": "rvdtool.network.checkpoint",
    "match_frames": "rvdtool.evaluate.compare",
    "open_bundle": "rvdtool.bundle.store",
    "pack": "rvdtool.capture.pack",
    "psnr": "rvdtool.evaluate.metrics",
    "read_raw": "rvdtool.raw.read",
    "ssim": "rvdtool.evaluate.metrics",
    "unpack": "rvdtool.bundle.unpack",
    "verify": "rvdtool.bundle.verify",
    "write_dng": "rvdtool.raw.dng",
}
"""Public names → the modules that define them."""

DEFAULT_MODEL = "fagdn-calibrated-small"
"""The trained network that `rvdtool derender` uses by default."""

_ERRORS = [
    "BundleError",
    "InputError",
    "MismatchError",
    "ModelError",
    "OutputError",
    "RawError",
    "RvdError",
    "UsageError",
    "VideoError",
]

__all__ = ["DEFAULT_MODEL", "__version__", *_ERRORS, *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'rvdtool' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
