"""SMPTE time code (ST 12-1)."""

import io
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from rvdtool.errors import UsageError
from rvdtool.raw.ifd import ifds_in

_LABEL = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})")
_TIME_CODES = 51043
_DROP_FRAME = 0x40
"""Drop-frame flag in the first byte of a binary time code (ST 331, 7.2)."""

MOST_FRAMES = 39
"""Largest frame number in a binary time code, which has two bits for the tens."""


@dataclass(frozen=True)
class TimeCode:
    """A frame's number since midnight, at a rate.

    Attributes:
        number: actual number of frames since 00:00:00:00, also for drop-frame time code.
        rate: frames per second.
        drop: drop-frame: labels skip two numbers (at 59.94, four) each minute except every tenth,
            so that they follow the clock at 29.97 frames per second.
    """

    number: int
    rate: Fraction
    drop: bool = False

    @property
    def base(self) -> int:
        """Frame numbers per second."""
        return max(1, round(self.rate))

    @classmethod
    def parse(cls, label: str, rate: Fraction) -> Self:
        """Read `14:23:11:05`, or `14:23:11;05` for drop-frame.

        Raises:
            UsageError: not a time code, not valid at this rate, or a label that drop-frame skips.
        """
        match = _LABEL.fullmatch(label.strip())
        if match is None:
            raise UsageError(
                f"time code {label!r}: give HH:MM:SS:FF, such as 14:23:11:05 (14:23:11;05 for "
                "drop-frame)"
            )
        hours, minutes, seconds, frame = (int(match[k]) for k in (1, 2, 3, 5))
        drop = match[4] != ":"
        base = max(1, round(rate))
        if hours > 23 or minutes > 59 or seconds > 59 or frame >= base:
            raise UsageError(
                f"time code {label}: at {float(rate):.5g} frames per second the last one is "
                f"23:59:59:{base - 1:02d}"
            )
        if drop and not can_drop(rate):
            raise UsageError(
                f"time code {label}: drop-frame exists at 29.97 and 59.94 frames per second, not "
                f"at {float(rate):.5g}; write it with a colon before the frame"
            )
        left_out = base // 15 if drop else 0
        if frame < left_out and seconds == 0 and minutes % 10:
            raise UsageError(f"time code {label}: drop-frame time code skips this number")
        total = 60 * hours + minutes
        number = (60 * total + seconds) * base + frame - left_out * (total - total // 10)
        return cls(number, rate, drop)

    @classmethod
    def decode(cls, data: bytes, rate: Fraction) -> Self:
        """Read a binary time code, as returned by `encode`.

        Raises:
            UsageError: not a time code, or not valid at this rate.
        """
        if len(data) < 8:
            raise UsageError("a binary time code has 8 bytes")
        base = max(1, round(rate))
        group = _group(base)
        masks = (0x3F, 0x7F, 0x7F, 0x3F)
        frame, seconds, minutes, hours = (
            10 * (byte >> 4 & mask >> 4) + (byte & 15)
            for byte, mask in zip(data[:4], masks, strict=True)
        )
        frame = frame * group + (data[4] & 15 if group > 1 else 0)
        mark = ";" if data[0] & _DROP_FRAME else ":"
        return cls.parse(f"{hours:02d}:{minutes:02d}:{seconds:02d}{mark}{frame:02d}", rate)

    def after(self, frames: int) -> Self:
        """The time code a number of frames later (or earlier, if negative); it wraps after a
        day."""
        day = 24 * 3600 * self.base
        if self.drop:
            day -= (24 * 60 - 24 * 6) * (self.base // 15)
        return type(self)((self.number + frames) % day, self.rate, self.drop)

    def encode(self) -> bytes:
        """Encode for the TimeCodes tag: 8 bytes BCD: frame, seconds, minutes, hours, user bits.

        At rates above MOST_FRAMES, frames are counted in pairs (ST 12-1, 12) or larger groups, and
        the index within the group is stored in the first user bits.
        """
        hours, minutes, seconds, frame = self._fields()
        group = _group(self.base)
        fields = (frame // group, seconds, minutes, hours, frame % group)
        data = bytearray((value // 10) << 4 | value % 10 for value in fields)
        data[0] |= _DROP_FRAME if self.drop else 0
        return bytes(data).ljust(8, b"\0")

    def __str__(self) -> str:
        """`14:23:11:05`, or `14:23:11;05` for drop-frame."""
        hours, minutes, seconds, frame = self._fields()
        mark = ";" if self.drop else ":"
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}{mark}{frame:02d}"

    def _fields(self) -> tuple[int, int, int, int]:
        """Hours, minutes, seconds, frame of the label."""
        number = self.number
        if self.drop:
            left_out = self.base // 15
            ten_minutes = 600 * self.base - 9 * left_out
            tens, rest = divmod(number, ten_minutes)
            # The first of ten minutes skips no numbers.
            minutes = max(0, rest - left_out) // (60 * self.base - left_out)
            number += left_out * (9 * tens + minutes)
        seconds, frame = divmod(number, self.base)
        return seconds // 3600 % 24, seconds // 60 % 60, seconds % 60, frame


def can_drop(rate: Fraction) -> bool:
    """Whether drop-frame time code exists at a rate: 30000/1001 and its multiples."""
    return (rate / Fraction(30000, 1001)).denominator == 1


def _group(base: int) -> int:
    """Number of frames that share a number in a binary time code."""
    return 1 if base <= MOST_FRAMES else -(-base // 30)


def read_time_code_tag(file: io.RawIOBase, size: int) -> bytes | None:
    """Read the binary time code in a DNG's TimeCodes tag; None if not there, or not a TIFF.

    Raises:
        RawError: the file's tags are damaged.
    """
    tree = ifds_in(file, size)
    tag = None if tree is None else tree.first.get(_TIME_CODES)
    return tag.value[:8] if tag is not None and isinstance(tag.value, bytes) else None
