"""The kinds of value in a bundle's manifest, with their limits; names of files among them.

Limits are part of the format, so that a reader can refuse an absurd bundle before it allocates
anything for it.
"""

import re
import unicodedata
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from rvdtool.raw.ifd import MOST_BYTES

MAX_MANIFEST_BYTES = 16 * 2**20
MAX_SIDE = 65_535
MAX_FRAMES = 1_000_000
"""Four and a half hours at 60 frames per second."""
MAX_IMAGES = 60_000
MAX_REFERENCES = 10_000
MAX_RATE = 100_000
"""Frames per second; at least, its inverse."""
MAX_TAG_NUMBERS = MOST_BYTES
MAX_NAME_BYTES = 255
LARGEST_FACTOR: Final = 1e9
"""Of an exposure, gain or ISO: beyond it, or below its inverse, a value is a mistake."""

NAME_PATTERN = r'^[^/\\\x00-\x1f\x7f<>:"|?*]*[^/\\\x00-\x1f\x7f<>:"|?*. ]$'
"""One path component on every system: also on Windows, which knows no dot or space at the end.
That it isn't one of Windows' devices is checked besides."""

_DEVICE = re.compile(
    r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³]) *(\..*)?", re.IGNORECASE
)
"""Names that Windows takes for a device, whatever follows their first dot."""


def require_file_name(name: str) -> str:
    """The name, if it is a file name on every system.

    Raises:
        ValueError: it isn't; as pydantic's validators do.
    """
    if not re.fullmatch(NAME_PATTERN, name) or _DEVICE.fullmatch(name):
        raise ValueError(
            f"{name[:MAX_NAME_BYTES]!r} is not a file name on every system; rename it: none of "
            '<>:"/\\|?*, no dot or space at the end, no name of a device of Windows'
        )
    if len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise ValueError(f"{name[:40]!r}… is longer than {MAX_NAME_BYTES} bytes")
    return name


def folded(name: str) -> str:
    """The same for names that some system takes for the same one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


FileName = Annotated[
    str,
    StringConstraints(max_length=MAX_NAME_BYTES),
    AfterValidator(require_file_name),
    Field(json_schema_extra={"pattern": NAME_PATTERN}),
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(max_length=65_535)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Offset = Annotated[int, Field(ge=0, le=MAX_SIDE)]
Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


def no_truth_value(value: object) -> object:
    """`false` equals 0 and `true` 1, and a Literal would take them for these numbers."""
    if isinstance(value, bool):
        raise ValueError("a number is needed")
    return value


Rotation = Annotated[Literal[0, 90, 180, 270], BeforeValidator(no_truth_value)]
FrameIndex = Annotated[int, Field(ge=0, lt=MAX_FRAMES)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Phase = Literal["RGGB", "BGGR", "GRBG", "GBRG"]
Levels4 = tuple[Number, Number, Number, Number]
Row3 = tuple[Number, Number, Number]
LensTerm = Annotated[float, Field(ge=-1, le=1)]
Positive = Annotated[float, Field(ge=1 / LARGEST_FACTOR, le=LARGEST_FACTOR)]
Positive3 = tuple[Positive, Positive, Positive]


class StrictModel(BaseModel):
    """What the format's objects have in common: no unknown field, no conversion between types."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )
