"""Choose how a stream's samples are converted to display R'G'B' (matrix, range, transfer, …)."""

from dataclasses import dataclass
from typing import Literal, Self

from rvdtool.errors import UsageError, VideoError
from rvdtool.video.frame import ColorInterpretation, ColorTag

Property = Literal["matrix", "range", "transfer", "primaries"]

# Supported code points of ITU-T H.273, as stored in streams, and FFmpeg's names for them. The
# three variants of BT.601 share one matrix.
READABLE: dict[Property, dict[int, str]] = {
    "matrix": {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 9: "bt2020"},
    "range": {1: "limited", 2: "full"},
    "transfer": {
        1: "bt709",
        4: "bt470m",
        5: "bt470bg",
        6: "smpte170m",
        7: "smpte240m",
        11: "iec61966-2-4",
        12: "bt1361e",
        13: "iec61966-2-1",
        14: "bt2020-10",
        15: "bt2020-12",
    },
    "primaries": {
        1: "bt709",
        4: "bt470m",
        5: "bt470bg",
        6: "smpte170m",
        7: "smpte240m",
        22: "ebu3213",
    },
}

# Code points that are refused, and their names for the message.
REFUSED: dict[Property, dict[int, str]] = {
    "matrix": {7: "smpte240m", 8: "ycgco", 10: "bt2020c", 14: "ictcp"},
    "range": {},
    "transfer": {
        8: "linear",
        9: "log100",
        10: "log316",
        16: "smpte2084 (PQ, HDR)",
        17: "smpte428",
        18: "arib-std-b67 (HLG, HDR)",
    },
    "primaries": {
        8: "film",
        9: "bt2020 (wide)",
        10: "smpte428 (XYZ)",
        11: "smpte431 (DCI-P3, wide)",
        12: "smpte432 (Display P3, wide)",
    },
}

UNSPECIFIED = (0, 2, 3)
"""Code points of matrix, transfer or primaries that mean reserved or unspecified (H.273)."""

HD_HEIGHT = 720
"""If the matrix is not tagged, BT.709 is assumed from this frame height on, and BT.601 below."""

PROGRESSIVE = "progressive"

ALLOWED: dict[Property, tuple[str, ...]] = {
    name: tuple(dict.fromkeys(values.values())) for name, values in READABLE.items()
}
"""Values that `Assume` accepts."""


@dataclass(frozen=True)
class Assume:
    """The user's overrides of a stream's colour tags. None keeps the stream's own tag.

    `matrix` and `range` change the decoded values. `transfer` and `primaries` don't: they allow an
    HDR or wide-gamut stream to be read as if it were display-referred SDR. With `progressive`,
    frames that are flagged as interlaced are read as progressive.

    Raises:
        UsageError: a value that isn't in ALLOWED.
    """

    matrix: str | None = None
    range: str | None = None
    transfer: str | None = None
    primaries: str | None = None
    progressive: bool = False

    def __post_init__(self) -> None:
        for name, allowed in ALLOWED.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise UsageError(f"{name}={value}: {name} must be one of {', '.join(allowed)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the value of `--assume`, such as `matrix=bt709,range=limited` or `progressive`.

        Raises:
            UsageError: wrong syntax, an unknown name or value, or a name given twice.
        """
        given: dict[str, str] = {}
        parts = [part.strip() for part in text.split(",")]
        progressive = PROGRESSIVE in parts
        for part in parts:
            if part == PROGRESSIVE:
                continue
            name, equals, value = (p.strip() for p in part.partition("="))
            if not equals or name not in ALLOWED:
                raise UsageError(
                    f"'{part}' is not NAME=VALUE with a NAME of {', '.join(ALLOWED)}, "
                    f"or '{PROGRESSIVE}'; for example: matrix=bt709,range=limited"
                )
            if name in given:
                raise UsageError(f"'{text}' gives {name} twice; give it once")
            given[name] = value
        return cls(**given, progressive=progressive)


@dataclass(frozen=True)
class StreamColor:
    """A stream's colour tags.

    Attributes:
        matrix, range, transfer, primaries: code points; None if not tagged.
        is_rgb: the samples are R'G'B', so no matrix is needed.
        has_hdr_metadata: has mastering display, light level, HDR10+ or Dolby Vision metadata.
    """

    matrix: int | None
    range: int | None
    transfer: int | None
    primaries: int | None
    is_rgb: bool
    has_hdr_metadata: bool = False


def interpret(
    stream: StreamColor, assume: Assume, *, height: int, name: str
) -> ColorInterpretation:
    """Choose how to interpret a stream's samples, and record where each choice comes from.

    The user's overrides take precedence over the stream's tags. If neither gives a property, the
    defaults are: matrix BT.709 from HD_HEIGHT on and BT.601 below (as in players), limited range,
    and transfer and primaries BT.709. RGB streams default to sRGB's transfer.

    Args:
        stream: the stream's tags.
        assume: the user's overrides.
        height: frame height in pixels.
        name: the file's name, for messages.

    Raises:
        VideoError: HDR, linear or log transfer, wide primaries, or a matrix we don't decode.
        UsageError: `assume` gives RGB video a matrix or limited range.
    """
    defaults: dict[Property, str] = {
        "transfer": "iec61966-2-1" if stream.is_rgb else "bt709",
        "primaries": "bt709",
    }
    if not stream.is_rgb:
        defaults["matrix"] = "bt709" if height >= HD_HEIGHT else "bt601"
        defaults["range"] = "limited"
    _refuse(stream, assume, defaults, name)
    tags = {
        prop: _choose(prop, getattr(stream, prop), getattr(assume, prop), default)
        for prop, default in defaults.items()
    }
    if stream.is_rgb:
        if assume.matrix is not None or assume.range == "limited":
            raise UsageError(
                f"{name}: RGB video has no matrix and is full range; leave out matrix and "
                "range=limited"
            )
        tags["matrix"], tags["range"] = ColorTag("rgb", "stream"), ColorTag("full", "stream")
    return ColorInterpretation(**tags)


def _choose(prop: Property, code: int | None, override: str | None, default: str) -> ColorTag:
    if override is not None:
        return ColorTag(override, "user")
    if code is None:
        return ColorTag(default, "assumed")
    return ColorTag(READABLE[prop][code], "stream")


def _refuse(stream: StreamColor, assume: Assume, defaults: dict[Property, str], name: str) -> None:
    """Refuse a stream that isn't SDR.

    The message names all problems and the complete `--assume` option that overrides them.

    Raises:
        VideoError: HDR, linear or log transfer, wide primaries, or a matrix we don't decode.
    """
    given = {p: getattr(assume, p) for p in ALLOWED if getattr(assume, p) is not None}
    found: dict[Property, str] = {}
    if stream.has_hdr_metadata and stream.transfer is None:
        found["transfer"] = "unspecified, although it has HDR metadata"
    for prop in defaults:
        code = getattr(stream, prop)
        if code is not None and code not in READABLE[prop]:
            found[prop] = REFUSED[prop].get(code, f"code {code}")
    found = {prop: what for prop, what in found.items() if prop not in given}
    if not found:
        return
    options = given | {prop: defaults[prop] for prop in found}
    are = {prop: "are" if prop == "primaries" else "is" for prop in found}
    option = ",".join([f"{p}={v}" for p, v in options.items()] + [PROGRESSIVE] * assume.progressive)
    raise VideoError(
        f"{name}: its colour "
        f"{', its '.join(f'{prop} {are[prop]} {what}' for prop, what in found.items())}; "
        "only SDR video is supported. Convert it, or choose how to read it anyway: "
        f"--assume {option}"
    )
