"""Options for plain 16-bit mosaics, whose files don't contain their levels."""

from typing import TYPE_CHECKING, Annotated

import typer

from rvdtool.errors import UsageError

if TYPE_CHECKING:
    from rvdtool.raw.read import MosaicLevels

_PANEL = "For a plain TIFF, PNG or FITS mosaic, which doesn't state these (give all four)"

Black = Annotated[
    str | None,
    typer.Option(
        help="Black level: one number, or four for the 2×2 cell, row by row.",
        rich_help_panel=_PANEL,
    ),
]
White = Annotated[
    int | None,
    typer.Option(help="Value at which photosites are saturated.", rich_help_panel=_PANEL),
]
Phase = Annotated[
    str | None, typer.Option(help="CFA phase: RGGB, BGGR, GRBG or GBRG.", rich_help_panel=_PANEL)
]
Bits = Annotated[int | None, typer.Option(help="Bits per value, 1 to 16.", rich_help_panel=_PANEL)]


def parse_levels(
    black: str | None, white: int | None, phase: str | None, bits: int | None
) -> "MosaicLevels | None":
    """Parse the levels that the user gives for plain mosaics; None if none is given.

    Raises:
        UsageError: only some of the four are given, or one can't be parsed.
    """
    if black is None and white is None and phase is None and bits is None:
        return None
    if black is None or white is None or phase is None or bits is None:
        raise UsageError(
            "a TIFF, PNG or FITS mosaic needs all of --black, --white, --phase and --bits; "
            "for example: --black 64 --white 1023 --phase RGGB --bits 10"
        )
    from rvdtool.raw.frame import CfaPhase
    from rvdtool.raw.read import MosaicLevels

    try:
        numbers = [float(number) for number in black.split(",")]
        first, second, third, fourth = numbers * 4 if len(numbers) == 1 else numbers
    except ValueError as error:
        raise UsageError(
            f"--black {black}: give one number or four, such as 64,64,63,64"
        ) from error
    if phase.upper() not in CfaPhase.__members__:
        raise UsageError(f"--phase {phase}: give one of {', '.join(CfaPhase.__members__)}")
    return MosaicLevels((first, second, third, fourth), white, CfaPhase(phase.upper()), bits)
