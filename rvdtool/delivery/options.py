"""Options for de-rendering a bundle."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rvdtool.raw.dng import Compression
from rvdtool.reconstruct.chain import GainMode

if TYPE_CHECKING:
    from rvdtool.network.checkpoint import Model


@dataclass(frozen=True)
class DerenderOptions:
    """Options for de-rendering a bundle.

    Attributes:
        compression: compression of the DNGs.
        flow: folder of `.npy` flows, each from a frame to the next (RVD's layout); None to estimate
            them.
        gain: whether changes of brightness are attributed to the ISP or to the exposure, see
            `rvdtool.reconstruct.brightness`. `auto` uses the bundle's exposures, if it has any.
        existing: what to do if the output folder has files in it.
        model: a trained network on its device (`rvdtool.network.device.place`); or None.
        name: name of the files and the reel; None for the clip's own.
        time_code: time code of frame 0, as `14:23:11:05`; None for the video's, else the RAW's.
        rate: frames per second, for a video of variable frame rate; None for its median rate.
        audio: write the video's sound beside the frames.
        confidence: folder for maps of each frame's expected error; None to write none.
        frames: the frames to write, in steps of 1; None for all.
        grain: add the sensor noise that reconstructed frames lack.
        memory: bytes of memory that the run may take; None for what is free.
    """

    compression: Compression = "ljpeg"
    flow: Path | None = None
    gain: GainMode = "auto"
    existing: Literal["refuse", "overwrite", "resume"] = "refuse"
    model: "Model | None" = None
    name: str | None = None
    time_code: str | None = None
    rate: Fraction | None = None
    audio: bool = True
    confidence: Path | None = None
    frames: range | None = None
    grain: bool = False
    memory: int | None = None
