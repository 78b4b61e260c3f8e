"""Field types of a bundle's manifest with their limits, and rules for file names.

The limits are part of the format, so that readers can refuse an absurd bundle before they allocate
memory for it.
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
"""Largest number of frames per second; its inverse is the smallest."""
MAX_TAG_NUMBERS = MOST_BYTES
MAX_NAME_BYTES = 255
LARGEST_FACTOR: Final = 1e9
"""Limit of an exposure time, gain or ISO: a value above it, or below its inverse, is a mistake."""

NAME_PATTERN = r'^[^/\\\x00-\x1f\x7f<>:"|?*]*[^/\\\x00-\x1f\x7f<>:"|?*. ]$'
"""A single path component that every system allows. Windows allows no dot or space at the end. Its
device names are checked separately."""

_DEVICE = re.compile(
    r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³]) *(\..*)?", re.IGNORECASE
)
"""Names that Windows takes for a device, whatever follows the first dot."""


def require_file_name(name: str) -> str:
    """Return the name if every system allows it as a file name.

    Raises:
        ValueError: some system doesn't (pydantic expects this type from validators).
    """
    if not re.fullmatch(NAME_PATTERN, name) or _DEVICE.fullmatch(name):
        raise ValueError(
            f"{name[:MAX_NAME_BYTES]!r} is not a file name on every system; rename it: none of "
            '<>:"/\\|?*, no dot or space at the end, no Windows device name'
        )
    if len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise ValueError(
            f"{name[:40]!r}… is longer than {MAX_NAME_BYTES} bytes; use a shorter name"
        )
    return name


def folded(name: str) -> str:
    """A form of a name that is equal for names that some system takes for the same."""
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
    """Refuse booleans, which a Literal would accept as numbers, as `False == 0` and `True == 1`."""
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
    """Base of the format's objects: refuses unknown fields and doesn't convert between types."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
