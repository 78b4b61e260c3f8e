"""Methods by name, as the command line asks for them."""

from functools import cache
from pathlib import Path

from rvdtool.benchmark.copy_warp import CopyWarp
from rvdtool.benchmark.fusion import PARTS, Fusion, KnownGain, Part
from rvdtool.benchmark.inverse_isp import Inverse
from rvdtool.benchmark.method import Method
from rvdtool.errors import UsageError

UNTRAINED = (CopyWarp.name, Inverse.name, Fusion.name)
"""What the benchmark compares unless told otherwise."""

NAMES = (*UNTRAINED, "inf", *PARTS, KnownGain.name)
"""All that need no trained model."""

TUNED = "+tuned"


@cache
def find_method(name: str, device: str = "cpu") -> Method:
    """The method of a name.

    Args:
        name: one of `NAMES`, or a trained model (its name or folder); a CAM may be followed by
            `+tuned`.
        device: where networks run, in PyTorch's words.

    Raises:
        ModelError: a model that is damaged or altered.
        UsageError: neither a method nor a model; or `+tuned` behind something else than a CAM.
    """
    untrained: dict[str, type[Method]] = {
        one.name: one for one in (CopyWarp, Inverse, Fusion, KnownGain)
    }
    if name in untrained:
        return untrained[name]()
    if name in PARTS:
        return Part(name)
    if name == "inf":
        from rvdtool.benchmark.inf import Inf

        return Inf(device)
    return _trained(name, device)


def _trained(name: str, device: str) -> Method:
    from rvdtool.benchmark.cam import CamMethod
    from rvdtool.network.checkpoint import list_models, load_model

    if (
        name.removesuffix(TUNED) not in list_models()
        and not Path(name.removesuffix(TUNED)).exists()
    ):
        raise UsageError(
            f"{name}: neither a method ({', '.join(NAMES)}) nor a trained model's name or folder"
        )
    model = load_model(name.removesuffix(TUNED))
    if model.kind == "cam":
        return CamMethod(model, tuned=name.endswith(TUNED), device=device)
    if name.endswith(TUNED):
        raise UsageError(f"{name}: only a CAM can be tuned; {model.name} is of kind {model.kind!r}")
    if model.kind == "published":
        from rvdtool.benchmark.published import Published

        return Published(model, device)
    from rvdtool.benchmark.fagdn import OurFagdn

    return OurFagdn(model, device)
