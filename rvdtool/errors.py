"""All errors that rvdtool raises on purpose.

    RvdError                    base class; the CLI prints it in one line and exits with exit_code
    ├── UsageError              arguments that contradict each other or the input
    ├── InputError              a file the user gave can't be used
    │   ├── RawError            … as a RAW frame (not Bayer, no levels, damaged)
    │   ├── VideoError          … as a video (not a video, no frames, damaged, HDR)
    │   ├── BundleError         … as a bundle (not one, truncated, altered, too new)
    │   └── ModelError          … as a trained network (not one, altered, other shapes, NaN)
    ├── MismatchError           two inputs don't belong together (sizes, counts, phases)
    └── OutputError             the result can't be written (exists, no permission, disk full)

A message says what was given, what is allowed, and what to do next.
"""

from typing import ClassVar, Final

_LONGEST: Final = 200
"""Characters of what is quoted in a message."""


class RvdError(Exception):
    """Base of all errors of rvdtool."""

    exit_code: ClassVar[int] = 1


class UsageError(RvdError):
    """Arguments contradict each other or the input."""

    exit_code: ClassVar[int] = 2


class InputError(RvdError):
    """A file the user gave can't be used."""

    exit_code: ClassVar[int] = 3


class RawError(InputError):
    """A file can't be used as a RAW frame."""


class VideoError(InputError):
    """A file can't be used as a video."""


class BundleError(InputError):
    """A file can't be used as a bundle."""


class ModelError(InputError):
    """A file can't be used as a trained network, or no network of that name ships."""


class MismatchError(RvdError):
    """Two inputs don't belong together."""

    exit_code: ClassVar[int] = 4


class OutputError(RvdError):
    """The result can't be written."""

    exit_code: ClassVar[int] = 5


def brief(said: BaseException | str) -> str:
    """Another library's error, or text from a file, as part of a message: short and in one line."""
    text = " ".join((said if isinstance(said, str) else str(said) or type(said).__name__).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
