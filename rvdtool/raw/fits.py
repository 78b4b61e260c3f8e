"""Read 16-bit mosaics of astronomy cameras from FITS (FITS standard 4.0, chapters 3 to 5)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import RawError
from rvdtool.raw.frame import CfaPhase, require_readable_size

MAGIC = b"SIMPLE  ="

_BLOCK, _CARD = 2880, 80
_MOST_BLOCKS = 1000
_UPSIDE_DOWN = "BOTTOM-UP"


def read_fits(path: Path, phase: CfaPhase) -> NDArray[np.uint16]:
    """Read the mosaic of a FITS file's first image, with the picture's top row first.

    ROWORDER tells which row comes first in the file; without it, the first row is the top row.

    Args:
        path: a FITS file.
        phase: the CFA phase at the picture's top-left corner, as given by the user.

    Raises:
        RawError: not one plane of 16 bits, truncated, or BAYERPAT contradicts `phase`.
    """
    with path.open("rb") as file:
        cards, start = _header(file.read(_BLOCK * _MOST_BLOCKS))
        shape = tuple(_number(cards, f"NAXIS{axis}", 0) for axis in (2, 1))
        if _number(cards, "NAXIS", 0) != 2 or _number(cards, "BITPIX", 0) != 16:
            raise RawError(
                f"a FITS file whose first image has {_number(cards, 'NAXIS', 0)} axes and BITPIX "
                f"{_number(cards, 'BITPIX', 0)}; a mosaic has 2 axes and 16 bits (funpack unpacks "
                "a compressed one)"
            )
        require_readable_size((shape[0], shape[1]))
        file.seek(start)
        data = file.read(2 * shape[0] * shape[1])
    if len(data) < 2 * shape[0] * shape[1]:
        raise RawError("cut short: the file ends before its pixels do; copy it again")
    zero = _number(cards, "BZERO", 0)
    values = np.frombuffer(data, ">i2").reshape(shape).astype(np.int32) + zero
    if _number(cards, "BSCALE", 1) != 1 or zero not in (0, 32768) or int(values.min()) < 0:
        raise RawError(
            f"its numbers are scaled (BZERO {zero}, BSCALE {cards.get('BSCALE', '1')}) or "
            "negative; the camera's own whole numbers from 0 to 65535 are needed"
        )
    _require_phase(cards, phase, shape[0])
    if cards.get("ROWORDER", "").upper() == _UPSIDE_DOWN:
        values = values[::-1]
    return np.ascontiguousarray(values, np.uint16)


def _header(data: bytes) -> tuple[dict[str, str], int]:
    """Keywords with their values as text, and the offset at which the header ends.

    Raises:
        RawError: the header has no end.
    """
    cards: dict[str, str] = {}
    for place in range(0, len(data) - _CARD + 1, _CARD):
        card = data[place : place + _CARD].decode("latin-1")
        name, value = card[:8].rstrip(), card[10:].strip()
        if name == "END":
            return cards, (place // _BLOCK + 1) * _BLOCK
        if card[8:10] == "= ":
            text = value[1:].split("'")[0] if value.startswith("'") else value.split("/")[0]
            cards.setdefault(name, text.strip())
    raise RawError("damaged: its FITS header has no end")


def _number(cards: dict[str, str], name: str, default: int) -> int:
    try:
        value = float(cards.get(name, default))
        return int(value) if value.is_integer() else -1
    except ValueError as error:
        raise RawError(f"damaged: its {name} is {cards[name]!r}") from error


def _require_phase(cards: dict[str, str], phase: CfaPhase, height: int) -> None:
    """Refuse a phase that contradicts BAYERPAT. Programs disagree whether BAYERPAT starts at the
    top row or at the file's first row, so both are accepted."""
    said = cards.get("BAYERPAT", "").upper()
    if len(said) != 4 or any(_number(cards, f"{axis}BAYROFF", 0) for axis in "XY"):
        return
    flipped = said if height % 2 else said[2:] + said[:2]
    if phase.value not in (said, flipped):
        raise RawError(
            f"its BAYERPAT is {said}, which can't be the {phase.value} that was given; try "
            f"--phase {said}"
        )
