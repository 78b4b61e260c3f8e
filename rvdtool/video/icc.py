"""Read an ICC profile's name (ICC.1:2022), to find out whether it is sRGB."""

import struct

_HEADER = 128
_MOST_TAGS = 1000


def profile_name(profile: bytes) -> str:
    """The profile's description; `unnamed` if it has none or is damaged."""
    try:
        return _description(profile) or "unnamed"
    except (struct.error, UnicodeDecodeError):
        return "unnamed"


def is_srgb(name: str) -> bool:
    """Whether a profile of this name is sRGB."""
    return "srgb" in name.casefold()


def _description(profile: bytes) -> str:
    (count,) = struct.unpack_from(">I", profile, _HEADER)
    for k in range(min(count, _MOST_TAGS)):
        signature, offset, size = struct.unpack_from(">4sII", profile, _HEADER + 4 + 12 * k)
        if signature == b"desc":
            return _text(profile[offset : offset + size])
    return ""


def _text(tag: bytes) -> str:
    """Text of a `desc` tag (version 2) or of the first language of an `mluc` tag (version 4)."""
    if tag.startswith(b"desc"):
        (length,) = struct.unpack_from(">I", tag, 8)
        return tag[12 : 12 + length].rstrip(b"\0").decode("latin-1")
    length, offset = struct.unpack_from(">II", tag, 20)
    return tag[offset : offset + length].decode("utf-16-be")
