"""The DNG tags that are copied from a camera's file into reconstructed frames.

The table is used for reading from a DNG, for a bundle's manifest, and for writing DNGs (Adobe DNG
1.7.1, chapters 4 and 6). All other tags, such as those for geometry, are set by the frame itself.
"""

import struct
from dataclasses import dataclass
from typing import Final, Literal

from rvdtool.errors import RawError
from rvdtool.raw.frame import Tag
from rvdtool.raw.tiff import (
    ASCII,
    BYTE,
    FORMATS,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    encode_value,
)

Kind = Literal["integer", "rational", "real", "text", "bytes"]

_TYPES: Final[dict[Kind, tuple[int, ...]]] = {
    "integer": (SHORT, LONG),
    "rational": (RATIONAL, SRATIONAL),
    "real": (11, 12),
    "text": (ASCII, BYTE),
    "bytes": (UNDEFINED, BYTE),
}
"""The TIFF data types that programs use for each kind."""


@dataclass(frozen=True)
class Form:
    """The allowed values of a tag.

    Attributes:
        name: the tag's name.
        kind: kind of the values.
        counts: allowed numbers of values; empty for any.
        unit: the number of values is a multiple of this.
        most: largest allowed integer.
    """

    name: str
    kind: Kind
    counts: tuple[int, ...] = ()
    unit: int = 1
    most: int = 2**32 - 1


CARRIED: Final[dict[int, Form]] = {
    # colour: second matrices, calibration, balance, illuminants
    50722: Form("ColorMatrix2", "rational", (9,)),
    52531: Form("ColorMatrix3", "rational", (9,)),
    50964: Form("ForwardMatrix1", "rational", (9,)),
    50965: Form("ForwardMatrix2", "rational", (9,)),
    52532: Form("ForwardMatrix3", "rational", (9,)),
    50723: Form("CameraCalibration1", "rational", (9,)),
    50724: Form("CameraCalibration2", "rational", (9,)),
    52530: Form("CameraCalibration3", "rational", (9,)),
    50931: Form("CameraCalibrationSignature", "text"),
    50932: Form("ProfileCalibrationSignature", "text"),
    50727: Form("AnalogBalance", "rational", (3,)),
    50779: Form("CalibrationIlluminant2", "integer", (1,), most=2**16 - 1),
    52529: Form("CalibrationIlluminant3", "integer", (1,), most=2**16 - 1),
    52533: Form("IlluminantData1", "bytes"),
    52534: Form("IlluminantData2", "bytes"),
    # baseline values for processing this camera's files
    50730: Form("BaselineExposure", "rational", (1,)),
    51109: Form("BaselineExposureOffset", "rational", (1,)),
    50731: Form("BaselineNoise", "rational", (1,)),
    50732: Form("BaselineSharpness", "rational", (1,)),
    51041: Form("NoiseProfile", "real", unit=2),
    50733: Form("BayerGreenSplit", "integer", (1,)),
    50734: Form("LinearResponseLimit", "rational", (1,)),
    50738: Form("AntiAliasStrength", "rational", (1,)),
    50739: Form("ShadowScale", "rational", (1,)),
    50780: Form("BestQualityScale", "rational", (1,)),
    # the camera profile's look
    50936: Form("ProfileName", "text"),
    50942: Form("ProfileCopyright", "text"),
    50941: Form("ProfileEmbedPolicy", "integer", (1,), most=3),
    50940: Form("ProfileToneCurve", "real", unit=2),
    50937: Form("ProfileHueSatMapDims", "integer", (2, 3)),
    51107: Form("ProfileHueSatMapEncoding", "integer", (1,), most=1),
    50938: Form("ProfileHueSatMapData1", "real", unit=3),
    50939: Form("ProfileHueSatMapData2", "real", unit=3),
    52537: Form("ProfileHueSatMapData3", "real", unit=3),
    50981: Form("ProfileLookTableDims", "integer", (2, 3)),
    51108: Form("ProfileLookTableEncoding", "integer", (1,), most=1),
    50982: Form("ProfileLookTableData", "real", unit=3),
    51110: Form("DefaultBlackRender", "integer", (1,), most=1),
    # the lens
    50736: Form("LensInfo", "rational", (4,)),
    # adapted when pixels move: pixel shape, lens corrections
    50718: Form("DefaultScale", "rational", (2,)),
    51008: Form("OpcodeList1", "bytes"),
    51009: Form("OpcodeList2", "bytes"),
    51022: Form("OpcodeList3", "bytes"),
}
"""Allowed values by tag code."""


def require_carried(tag: Tag) -> None:
    """Check that a tag is one of CARRIED and has an allowed type, count and value.

    Raises:
        RawError: the tag or its value isn't allowed.
    """
    form = CARRIED.get(tag.code)
    if form is None:
        raise RawError(f"tag {tag.code} isn't one that is copied from the camera's file")
    if tag.dtype not in _TYPES[form.kind]:
        raise RawError(f"{form.name} is of TIFF type {tag.dtype}; {_TYPES[form.kind]} are allowed")
    wrong = tag.count < 1 or tag.count % form.unit or (form.counts and tag.count not in form.counts)
    if wrong:
        some = " or ".join(map(str, form.counts)) or f"a multiple of {form.unit}"
        raise RawError(f"{form.name} has {tag.count} values; {some} are expected")
    if isinstance(tag.value, str) and "\0" in tag.value:
        raise RawError(f"{form.name} has a NUL character in it")
    data = encode_value(tag)
    if len(data) != tag.count * struct.calcsize("<" + FORMATS[tag.dtype]):
        raise RawError(f"{form.name} doesn't have the {tag.count} values that it states")
    if form.kind == "integer" and max(_numbers(tag)) > form.most:
        raise RawError(f"{form.name} is {tag.value}; at most {form.most} is allowed")
    if form.name == "DefaultScale" and min(_numbers(tag)) < 1:
        raise RawError(f"{form.name} is {tag.value}; numbers above 0 are expected")


def _numbers(tag: Tag) -> tuple[int | float, ...]:
    if isinstance(tag.value, bytes):
        return struct.unpack("<" + FORMATS[tag.dtype] * tag.count, tag.value)
    return tag.value if isinstance(tag.value, tuple) else (tag.value,)
