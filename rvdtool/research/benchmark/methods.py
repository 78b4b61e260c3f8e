"""Find methods by name, as given on the command line."""

import re
from functools import cache
from pathlib import Path

from rvdtool.errors import UsageError
from rvdtool.research.benchmark.copy_warp import CopyWarp
from rvdtool.research.benchmark.fusion import PARTS, Fusion, KnownGain, Part
from rvdtool.research.benchmark.inverse_isp import Inverse
from rvdtool.research.benchmark.method import Method

UNTRAINED = (CopyWarp.name, Inverse.name, Fusion.name)
"""The methods that the benchmark compares by default."""

NAMES = (*UNTRAINED, "inf", *PARTS, KnownGain.name)
"""All methods that need no trained model."""

CODECS = ("hevc-CRF", "jxl-DISTANCE", "dng-ljpeg", "dng-log10", "dng-jxl")
"""Codecs of the RAW frames themselves."""

TUNED = "+tuned"
KNOWN_PREVIOUS = "+known-previous"
_KINDS = {
    TUNED: ("cam", "a CAM can be tuned"),
    KNOWN_PREVIOUS: ("fagdn-calibrated", "a calibrated FAGDN can be given the previous RAW"),
}
"""Suffix of a model's name → the kind of model that supports it, and the reason for the message."""


@cache
def find_method(name: str, device: str = "cpu") -> Method:
    """The method of a given name.

    Args:
        name: one of `NAMES`, one of `CODECS` with a number, or a trained model's name or folder.
            A CAM may be followed by `+tuned`, a calibrated FAGDN by `+known-previous`; that and
            `fusion` by `+4raw`, to reconstruct a bundle with that many RAWs.
        device: the networks' device, in PyTorch's syntax.

    Raises:
        ModelError: the model is damaged or altered.
        UsageError: neither a method nor a model, or a suffix that this kind of model doesn't have.
    """
    untrained: dict[str, type[Method]] = {
        one.name: one for one in (CopyWarp, Inverse, Fusion, KnownGain)
    }
    if name in untrained:
        return untrained[name]()
    if name in PARTS:
        return Part(name)
    codec = _codec(name, device)
    if codec is not None:
        return codec
    if name == "inf":
        from rvdtool.research.benchmark.inf import Inf

        return Inf(device)
    return _trained(name, device)


def _codec(name: str, device: str) -> Method | None:
    """The codec of a given name; None if it is the name of another method or of a model."""
    from rvdtool.research.benchmark.bundled import Bundled
    from rvdtool.research.benchmark.codecs import DNGS, Dng, Hevc, JpegXl

    if found := re.fullmatch(r"(.+)\+(\d+)raw", name):
        model = None if found[1] == Fusion.name else found[1]
        return Bundled(model, int(found[2]), device)
    kind, _, setting = name.partition("-")
    if kind == "dng" and setting in DNGS:
        return Dng(DNGS[setting])
    if kind == "hevc" and re.fullmatch(r"\d+", setting):
        return Hevc(int(setting))
    if kind == "jxl" and re.fullmatch(r"\d+(\.\d+)?", setting):
        return JpegXl(float(setting))
    return None


def _trained(name: str, device: str) -> Method:
    from rvdtool.network.checkpoint import list_models, load_model
    from rvdtool.research.benchmark.cam import CamMethod

    suffix = next((one for one in _KINDS if name.endswith(one)), "")
    model_name = name.removesuffix(suffix)
    if model_name not in list_models() and not Path(model_name).exists():
        raise UsageError(
            f"{name}: neither a method ({', '.join((*NAMES, *CODECS))}) nor a trained model's "
            "name or folder"
        )
    model = load_model(model_name)
    if suffix:
        kind, what = _KINDS[suffix]
        if model.kind != kind:
            raise UsageError(f"{name}: only {what}; {model.name} is of kind {model.kind!r}")
    if model.kind == "cam":
        return CamMethod(model, tuned=suffix == TUNED, device=device)
    if model.kind == "fagdn":
        from rvdtool.research.benchmark.fagdn import PaperFagdn

        return PaperFagdn(model, device)
    from rvdtool.research.benchmark.calibrated import Calibrated, KnownPrevious

    return (KnownPrevious if suffix == KNOWN_PREVIOUS else Calibrated)(model, device)
