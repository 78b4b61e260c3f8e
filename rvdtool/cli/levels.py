"""Options for plain 16-bit mosaics, which don't state their own levels."""

from typing import TYPE_CHECKING, Annotated

import typer

from rvdtool.errors import UsageError

if TYPE_CHECKING:
    from rvdtool.raw.read import MosaicLevels

_PANEL = "Plain 16-bit mosaics (all four, if there are any)"

Black = Annotated[
    str | None,
    typer.Option(
        help="Black level in DN: one number, or four for the 2×2 cell (64,64,65,64).",
        rich_help_panel=_PANEL,
    ),
]
White = Annotated[int | None, typer.Option(help="White level in DN.", rich_help_panel=_PANEL)]
Bits = Annotated[int | None, typer.Option(help="Bits per DN.", rich_help_panel=_PANEL)]
Phase = Annotated[
    str | None,
    typer.Option(
        help="CFA phase at the top-left corner: RGGB, BGGR, GRBG or GBRG.", rich_help_panel=_PANEL
    ),
]


def parse_levels(
    black: str | None, white: int | None, bits: int | None, phase: str | None
) -> "MosaicLevels | None":
    """What the four options say together; None if none of them is given.

    Raises:
        UsageError: only some of them, or values that can't be.
    """
    from rvdtool.raw.frame import CfaPhase
    from rvdtool.raw.read import MosaicLevels

    if {black, white, bits, phase} == {None}:
        return None
    if black is None or white is None or bits is None or phase is None:
        raise UsageError("--black, --white, --bits and --phase belong together; give all four")
    try:
        numbers = [float(number) for number in black.split(",")]
    except ValueError as error:
        raise UsageError(f"--black is one number or four with commas; got {black}") from error
    if len(numbers) not in (1, 4):
        raise UsageError(f"--black is one number or four with commas; got {black}")
    if phase not in CfaPhase.__members__:
        raise UsageError(f"--phase is one of {', '.join(CfaPhase.__members__)}; got {phase}")
    if not (1 <= bits <= 16 and 0 <= min(numbers) <= max(numbers) < white < 2**bits):
        raise UsageError(
            f"levels must hold 0 ≤ black < white < 2^bits with at most 16 bits; "
            f"got black {black}, white {white}, {bits} bits"
        )
    first, second, third, fourth = numbers * (4 // len(numbers))
    return MosaicLevels((first, second, third, fourth), white, CfaPhase[phase], bits)
